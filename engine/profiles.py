"""Which workers a run is to use: as flags say it, or a `cluster:` profile of a YAML file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from engine.errors import UsageError
from engine.reading import Entry, maybe
from engine.yaml_text import Problems, parse_yaml

Kind: TypeAlias = Literal["ssh", "slurm"]
#: What each kind of profile may say; the first of them must be said.
PROFILES: Mapping[str, tuple[str, ...]] = {
    "local": ("workers", "memory"),
    "gpu": ("gpus", "workers"),
    "scheduler": ("address", "gpus", "tls"),
    "ssh": (
        *("hosts", "workers", "cpus", "gpus", "interface", "python", "folder"),
        *("username", "port", "key", "known_hosts"),
    ),
    "slurm": (
        *("workers", "memory", "cpus", "gpus", "queue", "account", "walltime"),
        *("directives", "prologue", "interface", "python"),
    ),
}
NEEDED = {"local": (), "gpu": (), "scheduler": ("address",), "ssh": ("hosts",)}
TLS = ("ca", "cert", "key")


@dataclass(frozen=True, slots=True)
class Hire:
    """Workers that the driver starts elsewhere: `count` on each host, or as jobs of a queue.

    Lines of `prologue` run in a job before its worker; `directives` are lines for the queue.
    `key` and `known_hosts` are files; what SSH is not told it looks up where it always does.
    """

    kind: Kind
    count: int
    hosts: tuple[str, ...] = ()
    memory_bytes: int = 4 << 30
    cpus: int = 1
    gpus: int = 0
    queue: str = ""
    account: str = ""
    walltime: str = "01:00:00"
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    interface: str = ""
    python: str = ""
    folder: str = ""
    username: str = ""
    port: int = 0
    key: str = ""
    known_hosts: str = ""

    @property
    def workers(self) -> int:
        """How many workers there will be in all."""
        return self.count * max(1, len(self.hosts))


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """Which workers to use.

    workers: local processes, None = one per CPU, 0 = a thread of this process. With `gpus`, those
        beside the GPU workers, None = as many as they need.
    gpus: "all" or device numbers, "0,1": one process each. Of workers elsewhere: each must have
        one, or each of those that declare the resource GPU.
    scheduler: an address or a scheduler file of a cluster that runs already.
    hire: workers to be started elsewhere.
    memory_bytes: most a CPU worker may allocate, None = its share of the machine, 0 = no limit.
    """

    workers: int | None = None
    gpus: str = ""
    scheduler: str = ""
    hire: Hire | None = None
    memory_bytes: int | None = None
    dashboard: bool = False
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""

    @property
    def elsewhere(self) -> bool:
        """Whether workers may be on other machines."""
        return bool(self.scheduler or self.hire)

    @property
    def name(self) -> str:
        """What to call the workers in a message."""
        if self.hire is not None:
            return f"the {self.hire.kind} workers"
        return f"--scheduler {self.scheduler}" if self.scheduler else "the local workers"


def cluster_of(flags: Mapping[str, Any]) -> ClusterSpec:
    """What flags say about workers; a profile named by `cluster` stands below the other flags.

    Raises: UsageError when the profile cannot be read; SpecError when it is wrong.
    """
    names = {field.name for field in fields(ClusterSpec)}
    given = {name: flags[name] for name in names if flags.get(name) is not None}
    profile = flags.get("cluster")
    return replace(read_profile(Path(profile)) if profile else ClusterSpec(), **given)


def read_profile(path: Path) -> ClusterSpec:
    """Read the `cluster:` block of a YAML file.

    Raises: UsageError when there is no such file; SpecError with every mistake in it.
    """
    try:
        text = path.expanduser().read_bytes()
    except OSError as error:
        raise UsageError(f"--cluster {path}: {error.strerror}") from error
    document = parse_yaml(text, str(path))
    problems = Problems(document)
    top = Entry(document.data, (), problems).fields(("cluster",), needed=("cluster",))
    found = _cluster(top["cluster"], path.expanduser().parent) if "cluster" in top else None
    problems.check()
    assert found is not None
    return found


def _cluster(entry: Entry, folder: Path) -> ClusterSpec:
    """Read the block itself; what is wrong in it is noted."""
    every = sorted({key for keys in PROFILES.values() for key in keys})
    kind = maybe(entry.fields(("kind", *every), needed=("kind",)).get("kind"), _kind)
    if kind is None:
        return ClusterSpec()
    parts = entry.fields(("kind", *PROFILES[kind]), needed=NEEDED.get(kind, ("workers",)))
    gpus = _gpus(parts.get("gpus"), kind)
    if kind in ("local", "gpu"):
        workers = maybe(parts.get("workers"), lambda e: e.integer(1))
        memory = maybe(parts.get("memory"), Entry.size)
        return ClusterSpec(workers, gpus, memory_bytes=memory)
    if kind == "scheduler":
        address = maybe(parts.get("address"), Entry.text) or ""
        tls = parts["tls"].fields(TLS, needed=TLS) if "tls" in parts else {}
        ca, cert, key = (_file(tls[name], folder) if name in tls else "" for name in TLS)
        where = _at(address, folder)
        return ClusterSpec(gpus=gpus, scheduler=where, tls_ca=ca, tls_cert=cert, tls_key=key)
    return ClusterSpec(gpus=gpus, hire=_hire(kind, parts, folder))


def _kind(entry: Entry) -> str | None:
    return entry.choice(tuple(PROFILES))


def _gpus(entry: Entry | None, kind: str) -> str:
    """GPUs as `--gpus` has them. Elsewhere it is how many a worker has, of which it uses one."""
    if entry is None:
        return "all" if kind == "gpu" else ""
    if kind == "gpu":
        return entry.text('"all" or device numbers such as "0,1"') or ""
    return "all" if maybe(entry, lambda e: e.integer(0, 1)) else ""


def _hire(kind: str, parts: Mapping[str, Entry], folder: Path) -> Hire:
    """Read what is to be started elsewhere."""
    texts = ("queue", "account", "walltime", "interface", "python", "folder", "username")
    lists = ("hosts", "directives", "prologue")
    given: dict[str, Any] = {key: parts[key].text() or "" for key in texts if key in parts}
    given |= {key: parts[key].texts() for key in lists if key in parts}
    given |= {key: _file(parts[key], folder) for key in ("key", "known_hosts") if key in parts}
    given["gpus"] = int(bool(_gpus(parts.get("gpus"), kind)))
    if "cpus" in parts:
        given["cpus"] = parts["cpus"].integer(1) or 1
    if "port" in parts:
        given["port"] = parts["port"].integer(1, 65535) or 0
    if "memory" in parts:
        given["memory_bytes"] = parts["memory"].size() or 0
    count = maybe(parts.get("workers"), lambda e: e.integer(1)) or 1
    return Hire("slurm" if kind == "slurm" else "ssh", count, **given)


def _file(entry: Entry, folder: Path) -> str:
    """A file named in a profile, beside which it may lie."""
    name = entry.text("a file") or ""
    if name and not (folder / Path(name).expanduser()).is_file():
        entry.error(f"there is no file '{name}'")
    return str(folder / Path(name).expanduser())


def _at(address: str, folder: Path) -> str:
    """An address as it is; a scheduler file beside the profile as a path."""
    if not address.endswith(".json"):
        return address
    return os.fspath(folder / Path(address).expanduser())
