"""What a command works with: the request, its graph and listings, and the cache it opens."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from engine.dag import Graph, Json, SourceItem
from engine.errors import StoreError, UsageError, suggestion
from engine.glance import Questions
from engine.graph import load_graph
from engine.history import load_run
from engine.index import Index, index_path
from engine.inputs import list_source
from engine.items import Items
from engine.ledger import DATABASE, OutputRow
from engine.listing import Listing
from engine.local import stand_ins
from engine.memo import Memo
from engine.outputs import Standing
from engine.profiles import ClusterSpec, cluster_of
from engine.samples import with_samples
from engine.store import default_root, open_store
from engine.subset import first, until
from engine.surroundings import Surroundings

#: The folder inside the output folder that a run keeps its own files in.
RUN_FOLDER = ".run"
HERE = ClusterSpec()
#: Files whose contents are looked up at once.
_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: a workflow (path or text), its params, and the flags."""

    workflow: str | Path
    surroundings: Surroundings
    params: Mapping[str, Json] = field(default_factory=dict)
    out: Path | None = None
    cache: Path | None = None
    limit: int | None = None
    until: str = ""
    force: tuple[str, ...] = ()
    cluster: ClusterSpec = HERE
    prune: bool = False
    retry_failed: bool = False
    reasons: tuple[str, ...] = ()  # retry_failed: only of these; () is all
    on_finish: str = ""
    quiet: bool = False
    verbose: bool = False


_GIVEN = ("workflow", "surroundings", "params", "cluster")
_PATHS = ("out", "cache")


def make_request(
    workflow: str | Path,
    params: Mapping[str, Json],
    surroundings: Surroundings,
    flags: Mapping[str, Any],
) -> Request:
    """Make a request of flags by name; those of the workers go into its cluster.

    Raises: UsageError for a flag that does not exist.
    """
    workers = {"cluster", *(f.name for f in fields(ClusterSpec))}
    known = {f.name for f in fields(Request)}.difference(_GIVEN)
    for name in flags:
        if name not in workers | known:
            raise UsageError(f"unknown flag '{name}'{suggestion(name, workers | known)}")
    given = {name: value for name, value in flags.items() if value is not None}
    cluster = cluster_of(given)
    given = {name: value for name, value in given.items() if name in known}
    given |= {name: Path(given[name]).expanduser() for name in _PATHS if name in given}
    given |= {name: tuple(given[name]) for name in ("force", "reasons") if name in given}
    return Request(workflow, surroundings, params, cluster=cluster, **given)


def load(request: Request) -> Graph:
    """Make the checked graph of a request, up to the step it names.

    Raises: SpecError, UsageError.
    """
    graph = load_graph(request.workflow, request.surroundings, request.params)
    for name in request.force:
        if name not in graph.steps:
            raise UsageError(f"--force {name}: no such step{suggestion(name, graph.steps)}")
    return until(graph, request.until) if request.until else graph


def out_folder(request: Request, graph: Graph) -> Path:
    """Where the outputs go: as asked, else out/<workflow name>."""
    return (request.out or Path("out") / graph.name).absolute()


def numerics(request: Request) -> str:
    """The class of numbers a run makes: results of different classes have different keys."""
    return "cuda-float32" if request.cluster.gpus and not stand_ins() else "cpu-float32"


@dataclass(frozen=True, slots=True)
class Session:
    """An opened request: what it reads is listed, the cache is at hand.

    `declared` is the graph as written; `items.graph` has the implicit steps too.
    """

    request: Request
    declared: Graph
    items: Items
    out: Path
    store: Path
    index: Index
    memo: Memo

    @property
    def run_dir(self) -> Path:
        """Where the run keeps its ledger and report."""
        return self.out / RUN_FOLDER


@contextmanager
def open_session(request: Request) -> Iterator[Session]:
    """Open what a request names; its databases close with the context.

    Raises: SpecError, UsageError, StoreError.
    """
    declared = load(request)
    out = out_folder(request, declared)
    graph = with_samples(declared, request.surroundings.registry)
    listings: dict[str, Sequence[SourceItem]] = {
        name: list_source(source, out) for name, source in graph.sources.items()
    }
    if request.limit is not None:
        listings = first(graph, listings, request.limit)
    store = open_store((request.cache or default_root()).absolute())
    memo = Memo(index_path(store, "memo.sqlite"))
    try:
        with Index(store) as index:
            index.absorb()
            listings = {name: _remembered(memo, items) for name, items in listings.items()}
            items = Items(graph, listings)
            yield Session(request, declared, items, out, store, index, memo)
    finally:
        memo.close()


def _remembered(memo: Memo, items: Sequence[SourceItem]) -> Sequence[SourceItem]:
    """Give files that have not changed since they were last read the digest they had then."""
    if isinstance(items, Listing):
        for start in range(0, len(items), _AT_ONCE):
            some = {items.path(i): i for i in range(start, min(start + _AT_ONCE, len(items)))}
            known = memo.digests((path, items.stat(i)) for path, i in some.items())
            for path, digest in known.items():
                items.learn(some[path], digest)
        return items
    files = ((i.path, (i.size, i.mtime_ns, i.inode)) for i in items if i.path and not i.identity)
    known = memo.digests(files)
    return tuple(i if i.identity else replace(i, identity=known.get(i.path, "")) for i in items)


def paces(memo: Memo) -> Callable[[str], float | None]:
    """Make the function that tells how long one item of an op took here."""
    known = memo.paces()
    return lambda op: known[op].seconds if op in known else None


def questions(session: Session) -> Questions:
    """Make what planning asks of the cache, the output folder and past runs; it only reads."""
    rows: Mapping[str, OutputRow] = {}
    if (session.run_dir / DATABASE).exists():
        with suppress(UsageError, StoreError):  # no run yet, or a ledger that a run makes anew
            rows = load_run(session.run_dir).outputs
    current = Standing(session.out, rows).current
    return Questions(session.index.lookup, current, paces(session.memo), session.index.fates)
