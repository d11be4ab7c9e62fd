"""Which output files stand as a run wrote them, and which are left over from another one."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from engine.inputs import content_digest
from engine.jobs import ItemId, Written
from engine.ledger import OutputRow


class Standing:
    """The files of an output folder, as the ledger knows them. A file that stands is the value.

    Paths are relative to the output folder.
    """

    def __init__(self, out: Path, rows: Mapping[str, OutputRow]) -> None:
        self._out = out
        self._rows = dict(rows)

    def current(self, path: str, item: ItemId, key: str) -> bool:
        """Whether a file is there, unaltered, made by this step from this key.

        One that was touched or copied back is read again; its content decides. The item's number
        may be another than when it was written: a new photo moves those that follow it.
        """
        row = self._rows.get(path)
        if row is None or row.key != key or row.item[0] != item[0]:
            return False
        self._rows[path] = replace(row, item=item)
        return self._unaltered(path, row)

    def _unaltered(self, path: str, row: OutputRow) -> bool:
        """Whether a file is there as it was written; if its stat is another, its content counts."""
        try:
            stat = (self._out / path).stat()
            if stat.st_size != row.size:
                return False
            same = stat.st_mtime_ns == row.mtime_ns
            return same or content_digest(self._out / path) == row.digest
        except OSError:
            return False

    def exists(self, path: str) -> bool:
        """Whether there is such a file; one whose path no disk would take is none."""
        try:
            return (self._out / path).is_file()
        except OSError:
            return False

    def note(self, written: Collection[Written]) -> None:
        """Take in files that were just written."""
        for w in written:
            path = Path(w.path).relative_to(self._out).as_posix()
            row = OutputRow(path, w.output, w.item, w.key, w.digest, w.size, w.mtime_ns)
            self._rows[path] = row

    def row(self, path: str) -> OutputRow | None:
        """What is known of a file."""
        return self._rows.get(path)

    def stale(self, declared: Collection[str]) -> list[str]:
        """Files that an earlier run wrote, that are still there, and that nothing declares now."""
        wanted = set(declared)
        return sorted(p for p in self._rows if p not in wanted and (self._out / p).is_file())

    def prune(self, paths: Collection[str]) -> list[str]:
        """Delete stale files and the folders that this leaves empty; give those that went.

        A file that somebody else altered stays, and so does one that a link leads outside to.
        """
        gone = []
        root = self._out.resolve()
        for path in paths:
            file = self._out / path
            try:
                if not file.parent.resolve().is_relative_to(root):
                    continue
                if file.exists() and not self._unaltered(path, self._rows[path]):
                    continue
                file.unlink(missing_ok=True)
            except OSError:
                continue
            gone.append(path)
            self._rows.pop(path, None)
            for folder in Path(path).parents[:-1]:
                try:
                    (self._out / folder).rmdir()
                except OSError:
                    break
        return gone
