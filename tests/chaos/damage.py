"""What can happen to the files of a store, of a run's own folder and of its outputs."""

import ctypes
import os
import random
from pathlib import Path

_CAPABILITY_VERSION_3 = 0x20080522
#: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: with them file permissions mean nothing to root.
_ABOVE_PERMISSIONS = (1, 2)
_PR_CAPBSET_DROP = 24


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def respect_permissions() -> None:
    """Give up root's way around file permissions, for this process and all it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = _Header(_CAPABILITY_VERSION_3, 0)
    sets = (_Sets * 2)()
    if libc.capget(ctypes.byref(header), sets) or not sets[0].permitted & 0b110:
        return
    for capability in _ABOVE_PERMISSIONS:
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
        keep = ~(1 << capability)
        sets[0].effective &= keep
        sets[0].permitted &= keep
        sets[0].inheritable &= keep
    if libc.capset(ctypes.byref(header), sets):
        raise OSError(ctypes.get_errno(), "capset")


def truncate(path: Path, rng: random.Random) -> None:
    """Cut a file short."""
    os.truncate(path, rng.randrange(path.stat().st_size + 1))


def flip(path: Path, rng: random.Random) -> None:
    """Turn some bytes of a file over."""
    whole = bytearray(path.read_bytes())
    for _ in range(min(len(whole), 1 + rng.randrange(64))):
        whole[rng.randrange(len(whole))] ^= 0xFF
    with path.open("r+b") as file:
        file.write(whole)


def delete(path: Path, _: random.Random) -> None:
    """Remove a file."""
    path.unlink()


def lock_up(path: Path, _: random.Random) -> None:
    """Let nobody read a file."""
    path.chmod(0)


def scribble(path: Path, rng: random.Random) -> None:
    """Put something else in a file's place."""
    path.unlink()
    path.write_bytes(rng.randbytes(rng.randrange(1, 5000)))


WAYS = (truncate, flip, delete, lock_up, scribble)


def harm(files: list[Path], rng: random.Random) -> str:
    """Do one of these things to one of some files; say what, or nothing when there was none."""
    rng.shuffle(files)
    for path in files:
        # An output that is there and whole is as it should be, whoever may read it.
        way = rng.choice([w for w in WAYS if w is not lock_up or path.suffix != ".png"])
        try:
            way(path, rng)
        except (FileNotFoundError, PermissionError):  # it went, or is locked up already
            continue
        return f"{way.__name__} {kind(path)}"
    return ""


def kind(path: Path) -> str:
    """What a file is, without what differs from run to run."""
    return "pack" if path.suffix == ".pack" else path.name


def store_files(cache: Path) -> list[Path]:
    """The packs of a store and its databases."""
    found = [p for p in cache.rglob("*") if p.is_file() and p.suffix in (".pack", ".sqlite")]
    return sorted(found) + sorted(cache.glob("*.sqlite-wal"))


def run_files(out: Path) -> list[Path]:
    """The ledger of a run and what it has put out."""
    return sorted(p for p in [*out.glob("*.png"), *out.glob(".run/ledger.sqlite*")] if p.is_file())
