"""A command or an address hears how a run ended."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from engine.farewell import say_farewell

RESULT = {"exit_code": 0, "outputs": 3}


def test_a_command_reads_the_result(tmp_path: Path) -> None:
    script = tmp_path / "note it.py"
    script.write_text("import sys; open(sys.argv[1], 'w').write(sys.stdin.read())")
    said = say_farewell(f"{sys.executable} '{script}' {tmp_path / 'told.json'}", RESULT)
    assert said == ""
    assert json.loads((tmp_path / "told.json").read_text()) == RESULT


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("false", "exit code 1"),
        ("no-such-command-anywhere", "No such file"),
        ("echo 'unclosed", "No closing quotation"),
        ("http://127.0.0.1:9/", "refused"),
    ],
)
def test_what_goes_wrong_is_said(where: str, said: str) -> None:
    assert said in say_farewell(where, RESULT)


def test_an_address_gets_a_post() -> None:
    heard: list[object] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert say_farewell(f"http://127.0.0.1:{server.server_port}/done", RESULT) == ""
        thread.join()
    assert heard == [RESULT]
