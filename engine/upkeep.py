"""Looking after a cache: what it holds, what may go, whether it is sound, a new index."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.bucket import Copied, export_packs, import_packs, is_url
from engine.compaction import compact
from engine.errors import UsageError
from engine.index import Index
from engine.op import SILENT, Progress
from engine.page import duration, number, plural, size_text
from engine.store import default_root, open_store, sweep
from engine.travel import export_store, import_store

#: What can be done to a cache; the last two name a file or a URL.
ACTIONS = ("stats", "gc", "verify", "rebuild", "export", "import")
WITH_FILE = ACTIONS[-2:]
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@dataclass(frozen=True, slots=True)
class Care:
    """What was found or done, as numbers by name and as text. `sound`: nothing was damaged."""

    numbers: Mapping[str, float]
    text: str
    sound: bool = True

    def as_json(self) -> dict[str, Any]:
        """The result as `--json` prints it."""
        return dict(self.numbers)

    def as_text(self) -> str:
        """The result for people."""
        return self.text


def look_after(
    action: str,
    root: Path | None,
    max_size: str | None = None,
    where: str | Path | None = None,
    progress: Progress = SILENT,
) -> Care:
    """Do one of ACTIONS on the cache in a folder (default: the user's).

    `where` names a tar file, or a folder in an object store by its URL; `progress` hears of files
    that went to such a place, or came from there.
    Raises: UsageError for a size that is none, or a file that is missing or one too many;
    StoreError when the cache, or the place, cannot be used.
    """
    if (where is not None) != (action in WITH_FILE):
        raise UsageError(f"cache {action}: {'takes no' if where else 'needs a'} file or URL")
    folder = open_store((root or default_root()).absolute())
    with Index(folder) as index:
        if is_url(where):
            return _reach(action, folder, index, str(where), progress)
        if where is not None:
            return _travel(action, folder, index, Path(where))
        if action == "gc":
            return _collect(folder, index, max_size)
        if action == "verify":
            return _verify(index)
        if action == "rebuild":
            index.rebuild()
        return _stats(folder, index)


def _stats(folder: Path, index: Index) -> Care:
    index.absorb()
    found = index.stats()
    numbers = {
        "records": found.records,
        "evicted": found.gone,
        "packs": found.packs,
        "bytes": found.size,
        "seconds": found.seconds,
    }
    lines = [
        str(folder),
        f"{plural(found.records, 'result')} in {plural(found.packs, 'file')}, "
        f"{size_text(found.size)}, worth {duration(found.seconds)} of computing",
    ]
    if found.gone:
        lines.append(f"{plural(found.gone, 'result')} known without their content")
    return Care(numbers, "\n".join(lines))


def _collect(folder: Path, index: Index, max_size: str | None) -> Care:
    """Sweep what dead writers left, merge small files, and evict down to a size."""
    swept = sweep(folder)
    index.absorb()
    limit = read_size(max_size) if max_size else None
    freed = index.evict(limit) if limit is not None else 0
    fewer = compact(folder, index, limit=limit)
    text = (
        f"removed {plural(swept, 'unfinished file')}, merged {plural(fewer, 'small file')} away, "
        f"freed {size_text(freed)}"
    )
    return Care({"swept": swept, "merged": fewer, "freed_bytes": freed}, text)


def _travel(action: str, folder: Path, index: Index, file: Path) -> Care:
    """Write the cache to a tar file, or take one in."""
    if action == "export":
        count = export_store(folder, file)
        return Care({"packs": count}, f"wrote {plural(count, 'file')} to {file}")
    new, refused = import_store(folder, index, file)
    text = f"took in {plural(new, 'new file')}"
    if refused:
        text += f"; {number(refused)} of the tar file's entries are no part of a sound cache"
    return Care({"packs": new, "refused": refused}, text, sound=not refused)


def _reach(action: str, folder: Path, index: Index, url: str, progress: Progress) -> Care:
    """Copy the cache to a URL, or from there, as far as it is missing."""
    if action == "export":
        found = export_packs(folder, url, progress)
        text = f"sent {_amount(found)}; {number(found.before)} were there"
        advice = "damaged here and not sent; `cache verify` forgets what is in them"
    else:
        found = import_packs(folder, index, url, progress)
        text = f"took in {_amount(found)}; nothing in {number(found.before)} others was missing"
        advice = "not sound there, or not whole yet; if they stay so, delete them there"
    if found.refused:
        some = ", ".join(found.refused[:3]) + (", ..." if len(found.refused) > 3 else "")
        text += f"\n{plural(len(found.refused), 'file')} {advice}: {some}"
    numbers = {
        "packs": found.packs,
        "bytes": found.size,
        "before": found.before,
        "refused": len(found.refused),
    }
    return Care(numbers, text, sound=not found.refused)


def _amount(copied: Copied) -> str:
    return f"{plural(copied.packs, 'file')} ({size_text(copied.size)})"


def _verify(index: Index) -> Care:
    damaged = index.verify()
    if not damaged:
        return Care({"damaged": 0}, "everything is sound")
    text = f"{plural(len(damaged), 'result')} damaged; forgotten, and made again when needed"
    return Care({"damaged": len(damaged)}, text, sound=False)


def read_size(text: str) -> int:
    """Read a size such as '20GB', '500 MB' or '1e9'.

    Raises: UsageError when it is none.
    """
    found = re.fullmatch(r"\s*([\d.]+(?:e\d+)?)\s*([kmgt]?)i?b?\s*", text.lower())
    try:
        amount = float(found.group(1)) if found else -1.0
    except ValueError:
        amount = -1.0
    if found is None or amount < 0:
        raise UsageError(f"'{text}' is not a size; write 500MB or 20GB")
    return int(amount * _UNITS[found.group(2)])
