"""One slice of a segment: settle what needs no work, and prepare jobs and files for the rest.

Forward: every item's key, then one look-up for all of them. Backward: what is really needed. An
output that is up to date needs nothing above it; a value whose payload is gone is computed again
only when something below it must run.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from engine import keys, when
from engine.dag import Graph, Step
from engine.destinations import destinations
from engine.errors import ItemError
from engine.examine import Blocked, Case, Examiner, UnreadError
from engine.glance import Glance, Questions, Terms
from engine.items import Items
from engine.jobs import Export, FromItem, FromScalar, Input, ItemId, Job, Status
from engine.lineage import provenance
from engine.listing import Contents
from engine.records import Record
from engine.segments import Segment, Segmented, reads
from engine.states import CACHED, DONE, RUNNING, UNKNOWN, WANTED, States


@dataclass(slots=True)
class Home:
    """The work of one place along a segment's home axis."""

    index: int
    jobs: list[Job] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    alone: bool = False


class Surveyor:
    """Surveys slices; `gone` holds keys whose stored payload turned out to be lost."""

    def __init__(
        self,
        items: Items,
        plan: Segmented,
        states: States,
        digests: Mapping[str, Contents[Blocked]],
        ask: Questions,
        terms: Terms,
    ) -> None:
        self.items = items
        self.graph: Graph = items.graph
        self.plan = plan
        self.states = states
        self.ask = ask
        self.terms = terms
        self.paths = destinations(items)
        self.gone: set[str] = set()
        self.alone: set[ItemId] = set()
        self.lost: list[ItemId] = []  # settled items found to be needed and not to be had
        self._known: dict[ItemId, Record] = {}  # what this survey has learned of items
        self._look = Examiner(
            items, digests, states.key, states.blocked, states.through, terms.numerics
        )
        self._consumed = {r.ref.node for s in self.graph.steps.values() for r in reads(s)}
        self._outputs_of: dict[str, list[int]] = {}
        for i, output in enumerate(self.graph.outputs):
            self._outputs_of.setdefault(output.ref.node, []).append(i)
        self._glance = Glance(plan, states, self._look, ask, terms, self._outputs_left)

    def survey(self, part: Segment, homes: Sequence[int]) -> list[Home]:
        """Settle what needs no work in these homes, and prepare the rest."""
        homes = self._glance(part, homes, self.gone)
        cases = {
            item: self._examine(self.graph.steps[item[0]], item[1], home)
            for item, home in self._items(part, homes)
            if self.states[item] == UNKNOWN
        }
        found = self._ask({case.key for case in cases.values() if case.key})
        read = (origin for case in cases.values() for origin in case.when)
        self._known = self.records(o.item for o in read if isinstance(o, FromItem))
        for case in cases.values():
            self._decide(case, found)
        exports = self._demand(part, homes, cases)
        return [] if self.terms.forecast else self._prepare(part, homes, cases, exports)

    def records(self, items: Iterable[ItemId]) -> dict[ItemId, Record]:
        """What is known of those of these items that are settled."""
        by_item = {
            item: self.states.key(item) for item in items if self.states[item] in (DONE, CACHED)
        }
        found = self._ask(set(by_item.values()))
        return {item: found[key] for item, key in by_item.items() if key in found}

    def _ask(self, wanted: Set[str]) -> Mapping[str, Record]:
        return self.ask.records(wanted - self.gone) if wanted else {}

    def case(self, item: ItemId) -> Case:
        """Examine one item by itself (for provenance and explain)."""
        origin = self.states.through(FromItem(item, ""))
        if isinstance(origin, FromItem):
            step, number = origin.item
            return self._look.case(self.graph.steps[step], number, 0)
        told = {"op": "coalesce", "wires": {"values": [keys.source_key(origin)]}}
        place = self.items.spaces[item[0]].place(item[1])
        return Case(item, place, 0, components=told, wires={"values": (origin,)})

    def _items(self, part: Segment, homes: Sequence[int]) -> Iterator[tuple[ItemId, int]]:
        """Every item of a slice with its home, in topological order of the steps."""
        for name in part.steps:
            for home in homes:
                for number in self.items.spaces[name].numbers(part.home, home):
                    yield (name, number), home

    # -- forward -----------------------------------------------------------------------------

    def _examine(self, step: Step, number: int, home: int) -> Case:
        try:
            if step.coalesce:
                return self._coalesce(step, number, home)
            case = self._look.case(step, number, home)
        except UnreadError:
            return Case((step.name, number), {}, home)
        if self.terms.forecast and not all(self.states.is_keyed(o.item) for o in case.inputs()):
            case.key = ""  # it hangs on an unread photo
        self.states.set_key(case.id, case.key)
        return case

    def _coalesce(self, step: Step, number: int, home: int) -> Case:
        """Make an item stand for the first of its inputs that is there."""
        case, chosen = self._look.first(step, number, home)
        if chosen is not None:
            self.states.stand_for(case.id, chosen)
        return case

    def _decide(self, case: Case, found: Mapping[str, Record]) -> None:
        """Settle a case that can be told now, or note its record, or leave it to the demand."""
        step = self.graph.steps[case.id[0]]
        blocked = case.blocked
        if blocked is None and any(self.states.blocked(origin.item) for origin in case.inputs()):
            blocked = Blocked()
        if blocked is not None:
            status: Status = "skipped" if blocked.reason is None else "quarantined"
            self.states.note(case.id, status, reason=blocked.reason, message=blocked.message)
            return
        if self._cannot_tell(step, case):
            self.states.mark(case.id, WANTED)
            return
        if step.coalesce:
            fresh = self.states.fresh(self.states.key(case.id))
            self.states.note(case.id, "done" if fresh else "cached")
            return
        try:
            verdict = self._verdict(step, case)
        except ItemError as error:
            self.states.note(case.id, "quarantined", reason=error.reason, message=str(error))
            return
        if verdict is False:
            assert step.when is not None
            self.states.note(case.id, "skipped", message=f"when: {step.when.text}")
            return
        record = found.get(case.key)
        if verdict is None or (case.id[0] in self.terms.forced and not self.states.fresh(case.key)):
            self.states.mark(case.id, WANTED)
        elif record is not None and record.status == "ok":
            self._known[case.id] = record
        elif record is not None:
            fate: Status = "quarantined" if record.reason else "skipped"
            self.states.note(case.id, fate, reason=record.reason, message=record.message)

    def _cannot_tell(self, step: Step, case: Case) -> bool:
        """Whether a forecast must count a case as to run: what it is made from is not there yet."""
        if not step.coalesce:
            return not case.key  # it hangs on an unread photo
        chosen = self.states.through(FromItem(case.id, ""))
        there = not isinstance(chosen, FromItem) or self.states.settled(chosen.item)
        return self.terms.forecast and not there

    def _verdict(self, step: Step, case: Case) -> bool | None:
        """What `when` says: True, False, or None when a scalar it reads is not known yet."""
        if step.when is None:
            return True
        values = []
        for origin in case.when:
            if isinstance(origin, FromScalar):
                values.append(origin.value)
            elif isinstance(origin, FromItem):
                record = self._known.get(origin.item)
                if record is None or origin.port not in record.scalars:
                    return None
                values.append(record.scalars[origin.port])
        return when.decide(step.when.tree, values)

    # -- backward ----------------------------------------------------------------------------

    def _demand(
        self,
        part: Segment,
        homes: Sequence[int],
        cases: Mapping[ItemId, Case],
    ) -> list[tuple[int, ItemId, int]]:
        """Work backwards: which cases must be computed, and which outputs written."""
        needed: dict[ItemId, set[str]] = {}
        exports: list[tuple[int, ItemId, int]] = []
        for item, home in reversed(list(self._items(part, homes))):
            for output in self._stale_outputs(item):
                exports.append((output, item, home))
                origin = self.states.through(FromItem(item, self.graph.outputs[output].ref.port))
                if isinstance(origin, FromItem):
                    needed.setdefault(origin.item, set()).add(origin.port)
            if item in cases and not self.states.settled(item):
                self._settle_or_want(cases[item], self._known.get(item), needed.get(item, set()))
                if self.states[item] == WANTED:
                    for origin in cases[item].inputs():
                        needed.setdefault(origin.item, set()).add(origin.port)
        self._known |= self.records(needed.keys() - self._known.keys())
        for item, ports in needed.items():
            if self.states[item] in (DONE, CACHED):
                record = self._known.get(item)
                if record is None or not all(map(record.has, ports)):
                    self.lost.append(item)
        return exports

    def _settle_or_want(self, case: Case, record: Record | None, needed: set[str]) -> None:
        """Settle a case as cached unless a port of it is needed and not to be had."""
        name = case.id[0]
        if self.states[case.id] == WANTED:
            return
        if record is None:
            ends = name not in self._consumed and name not in self._outputs_of
            if needed or ends or name in self.plan.crossing:
                self.states.mark(case.id, WANTED)
                return
        elif not all(map(record.has, needed)):
            self.states.mark(case.id, WANTED)
            return
        fresh = self.states.fresh(case.key)
        self.states.note(case.id, "done" if fresh else "cached", record=record)

    def _stale_outputs(self, item: ItemId) -> list[int]:
        """The outputs of an item that must be written."""
        if item[0] not in self._outputs_of or self.states.blocked(item):
            return []
        return [
            i
            for i in self._outputs_of[item[0]]
            if not self.graph.outputs[i].table
            and not self.ask.current(self.paths[i][item[1]], item, self.output_key(i, item))
        ]

    def _outputs_left(self, item: ItemId) -> tuple[int, int]:
        """How many files of an item must be written, of how many."""
        declared = self._outputs_of.get(item[0])
        if not declared:
            return 0, 0
        files = sum(not self.graph.outputs[output].table for output in declared)
        return len(self._stale_outputs(item)), files

    def output_key(self, output: int, item: ItemId) -> str:
        """The key of one output file: of its value, whose it is, and the way it is written."""
        spec = self.graph.outputs[output]
        key = keys.port_key(self.states.key(item), spec.ref.port)
        label = self.items.label(*item)  # its file names it: two equal photos make two files
        return f"{key}|{label!a}|{spec.format}|{spec.quality}|{spec.metadata}"

    # -- preparing ---------------------------------------------------------------------------

    def _prepare(
        self,
        part: Segment,
        homes: Sequence[int],
        cases: Mapping[ItemId, Case],
        exports: Sequence[tuple[int, ItemId, int]],
    ) -> list[Home]:
        """Make the jobs and files of each home; homes with nothing to do drop out."""
        made = {home: Home(home) for home in homes}
        wanted = [case for case in cases.values() if self.states[case.id] == WANTED]
        for case in wanted:
            self.states.mark(case.id, RUNNING)
        for case in wanted:
            made[case.home].jobs.append(self._job(case))
            made[case.home].alone |= case.id in self.alone
        for output, item, home in exports:
            if self.states[item] in (RUNNING, DONE, CACHED):
                made[home].exports.append(self._export(output, item))
        return [home for home in made.values() if home.jobs or home.exports]

    def _job(self, case: Case) -> Job:
        """Write down one case as a job."""
        assert case.resolved is not None
        return Job(
            step=case.id[0],
            number=case.id[1],
            key=case.key,
            label=self.items.describe(case.place),
            wires={name: tuple(map(self._origin, wire)) for name, wire in case.wires.items()},
            settings=case.resolved.settings,
            seeds=case.seeds,
            captions=case.captions,
            members=case.members,
            networks={slot: self._origin(origin) for slot, origin in case.networks.items()},
            when=tuple(map(self._origin, case.when)),
            alone=case.id in self.alone,
        )

    def _origin(self, origin: Input) -> Input:
        """Name the record of an input that does not come from the same chunk."""
        return self._stored(origin) if isinstance(origin, FromItem) else origin

    def _stored(self, origin: FromItem) -> FromItem:
        if self.states[origin.item] == RUNNING:
            return origin
        return replace(origin, record=self._known.get(origin.item))

    def _export(self, output: int, item: ItemId) -> Export:
        """Write down one output file to make."""
        spec = self.graph.outputs[output]
        return Export(
            output=output,
            path=f"{self.terms.out_root}/{self.paths[output][item[1]]}",
            source=self._origin(self.states.through(FromItem(item, spec.ref.port))),
            item=item,
            key=self.output_key(output, item),
            format=spec.format,
            quality=spec.quality,
            provenance=self._provenance(item, spec.metadata),
            label=self.items.label(*item),
        )

    def _provenance(self, item: ItemId, metadata: str) -> str:
        """What an output file tells of how it was made, as JSON text."""
        told: dict[str, object] = {"latentloom": 1, "key": self.states.key(item)}
        if metadata == "full":
            told["made"] = provenance(self.items, self.case, item)
        return "" if metadata == "none" else keys.canonical(told)
