"""What is done when a run has ended, as the command line asked: a command, or a POST to an address.

Both get the result as the one line of JSON that `--json` prints.
"""

import json
import shlex
import subprocess
from collections.abc import Mapping
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

WEB = ("http://", "https://")
LONGEST_S = 30.0


def say_farewell(where: str, result: Mapping[str, Any]) -> str:
    """Tell a command (on its standard input) or an address of a result; say what went wrong."""
    told = json.dumps(result).encode() + b"\n"
    try:
        if where.startswith(WEB):
            headers = {"Content-Type": "application/json"}
            request = Request(where, data=told, headers=headers, method="POST")  # noqa: S310
            with urlopen(request, timeout=LONGEST_S):  # noqa: S310  (http or https, see WEB)
                return ""
        command = shlex.split(where)
        ended = subprocess.run(command, input=told, stdout=2, timeout=LONGEST_S, check=False)  # noqa: S603
    except (OSError, ValueError, URLError, subprocess.TimeoutExpired) as error:
        return f"--on-finish {where}: {error}"
    code = ended.returncode
    return f"--on-finish {where}: it ended with exit code {code}" if code else ""
