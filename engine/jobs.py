"""What travels between driver and worker: chunks out, outcomes back. Frozen, picklable, small.

The driver computes every key before a chunk leaves; a worker never plans. A chunk is one slice of
one segment: steps in topological order, each with the items that must be computed, and the output
files to write. Values go through the store, never through Dask.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from engine.dag import Json, Step
from engine.errors import Reason
from engine.op import Members
from engine.records import Record
from engine.values import ScalarItem

#: (step name, item number): the address of one item of one step.
ItemId: TypeAlias = tuple[str, int]
Status: TypeAlias = Literal["done", "cached", "quarantined", "skipped"]


@dataclass(frozen=True, slots=True)
class FromItem:
    """An input computed by a job of the same chunk, or read from the store when `record` is set."""

    item: ItemId
    port: str
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class FromPhoto:
    """An input decoded from a picture file; the content must still have this digest."""

    path: str
    digest: str


@dataclass(frozen=True, slots=True)
class FromScalar:
    """An input known to the driver: a source field or value."""

    value: ScalarItem


Input: TypeAlias = FromItem | FromPhoto | FromScalar


@dataclass(frozen=True, slots=True)
class Job:
    """One item of one step to compute.

    `wires` gives one input per plain wire and one per member of a sequence wire. `settings` are
    resolved and normalised; `seeds` holds the resolved seed per seed setting; `captions` the
    member texts per caption setting; `networks` the Network values by slot (an Input when a step
    made it). `when` inputs line up with the step's `when.refs`.
    """

    step: str
    number: int
    key: str
    label: str
    wires: Mapping[str, tuple[Input, ...]]
    settings: Mapping[str, Json]
    seeds: Mapping[str, int] = field(default_factory=dict)
    captions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    members: Members | None = None
    networks: Mapping[str, Input] = field(default_factory=dict)
    when: tuple[Input, ...] = ()
    alone: bool = False  # under suspicion: its batch holds nothing else

    @property
    def id(self) -> ItemId:
        """The item's address."""
        return (self.step, self.number)

    def inputs(self) -> Iterator[Input]:
        """Everything it may read."""
        for members in self.wires.values():
            yield from members
        yield from self.networks.values()
        yield from self.when


@dataclass(frozen=True, slots=True)
class Export:
    """One output file to write: `path` is absolute and inside the output root."""

    output: int
    path: str
    source: Input
    item: ItemId  # the declared item and its key, for the ledger
    key: str
    format: str
    quality: int
    provenance: str  # JSON text, "" when metadata is none
    label: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One Dask task: jobs, each after those that it reads, and files to write.

    One that was `split` has less to do than the worker was given that has it in hands.
    """

    id: str
    segment: str
    jobs: tuple[Job, ...]
    exports: tuple[Export, ...]
    home: tuple[int, ...] = ()  # the slice of the segment's home axis
    stored: frozenset[str] = frozenset()  # steps whose results go to the store
    split: bool = False
    pool: str = ""  # the kind of workers it is for: "cpu", "gpu" or any
    models: frozenset[str] = frozenset()  # those that it works with, by name


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one job. `record` is set when done (also when only scalars were kept)."""

    item: ItemId
    status: Status
    key: str
    record: Record | None = None
    reason: Reason | None = None
    message: str = ""
    traceback: str = ""
    seconds: float = 0.0
    batch: int = 1
    thumbnail: bytes = b""


@dataclass(frozen=True, slots=True)
class Written:
    """One output file that now exists."""

    output: int
    path: str
    item: ItemId
    key: str
    digest: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Lost:
    """An input that the store no longer has; the driver plans its producer again.

    `pack`: where it was looked for, if it was anywhere.
    """

    item: ItemId
    key: str
    pack: str = ""


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What a worker returns for a chunk. Of its `seconds`, ops took `computing`."""

    chunk: str
    outcomes: tuple[Outcome, ...]
    written: tuple[Written, ...]
    lost: tuple[Lost, ...] = ()
    failed_exports: tuple[tuple[Export, str], ...] = ()  # with the message
    worker: str = ""
    seconds: float = 0.0
    computing: float = 0.0


@dataclass(frozen=True, slots=True)
class Program:
    """What every worker needs to know of the run."""

    steps: Mapping[str, Step]
    store_root: str
    run_dir: str
    out_root: str
    device: str = "cpu"
