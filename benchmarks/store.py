"""What the store costs: packs written and read, keys looked up, packs learned, values encoded.

Prints one JSON line per figure, wall and CPU time per piece. Page cache warm; no fsync, by design.
"""

import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from engine import store
from engine.codecs import decode, encode
from engine.compaction import compact
from engine.index import Index
from engine.records import Record
from engine.values import FeatureMap, Image, Latent, Value

PACKS, PER_PACK = 300, 100


def measured(figure: str, pieces: int, work: Callable[[], object]) -> None:
    """Run once and print microseconds per piece."""
    wall, busy = time.perf_counter(), time.process_time()
    work()
    spent = {
        "us": (time.perf_counter() - wall) / pieces * 1e6,
        "cpu_us": (time.process_time() - busy) / pieces * 1e6,
    }
    machine = {"cpus": len(os.sched_getaffinity(0)), "machine": platform.machine()}
    told = {name: round(value, 2) for name, value in spent.items()}
    print(json.dumps({"benchmark": "store", "figure": figure, **told, **machine}), flush=True)


def key(number: int) -> str:
    """A key as the engine makes them."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def values(root: Path) -> None:
    """Encode, write, read and decode one value of each common kind and size."""
    picture = Image(torch.rand(1, 3, 256, 256) * 2 - 1)
    features = FeatureMap(torch.rand(1, 512, 64, 64), torch.rand(1, 3, 64, 64), "64", "f")
    kinds: dict[str, tuple[Value, int]] = {
        "latent 36 KiB": (Latent(torch.rand(1, 18, 512), "w_plus", "f"), 300),
        "picture 256 px": (picture, 100),
        "features 4 MiB": (features, 20),
    }
    for name, (value, times) in kinds.items():
        raw = encode(value)
        kept: list[Record] = []

        def write(
            kept: list[Record] = kept, raw: bytes = raw, times: int = times, name: str = name
        ) -> None:
            for i in range(times):
                kept.extend(store.write_pack(root, [(Record(f"{name}{i}"), {"value": raw})]))

        def read(kept: list[Record] = kept) -> None:
            for record in kept:
                assert store.read_port(root, record, "value") is not None

        measured(f"encode {name}", times, lambda v=value, n=times: [encode(v) for _ in range(n)])  # type: ignore[misc]
        measured(f"decode {name}", times, lambda r=raw, n=times: [decode(r) for _ in range(n)])  # type: ignore[misc]
        measured(f"write {name}, a pack each", times, write)
        measured(f"read {name}, verified", times, read)


def keys(root: Path) -> None:
    """Write, learn, look up and merge many small records."""
    records: list[Record] = []

    def write() -> None:
        for p in range(PACKS):
            entries = [
                (
                    Record(key(p * PER_PACK + i), seconds=0.1, scalars={"n": 1}),
                    {"code": b"x" * 1000},
                )
                for i in range(PER_PACK)
            ]
            records.extend(store.write_pack(root, entries))

    total = PACKS * PER_PACK
    measured("write a 1 KB record, 100 to a pack", total, write)
    index = Index(root, root / "first.sqlite")
    index.close()
    (root / "index.sqlite").unlink(missing_ok=True)
    measured("absorb a record of another run", total, lambda: Index(root).close())
    with Index(root) as index:
        names = [record.key for record in records]

        def look_up() -> None:
            for i in range(0, total, 768):
                assert index.lookup(names[i : i + 768])

        def add() -> None:
            for i in range(0, total, PER_PACK):
                index.add(records[i : i + PER_PACK])

        measured("look a key up, 768 at once", total, look_up)
        measured("add a record, 100 at once", total, add)
        measured("merge a record into a large pack", total, lambda: compact(root, index))
        measured("verify a record", total, index.verify)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        values(store.open_store(Path(folder, "values")))
        keys(store.open_store(Path(folder, "keys")))


if __name__ == "__main__":
    main()
