"""The grammar of `when`: comparisons, and / or / not, parentheses, numbers, texts, names.

    condition  = both ("or" both)*
    both       = negated ("and" negated)*
    negated    = "not" negated | comparison
    comparison = operand [("==" | "!=" | "<" | "<=" | ">" | ">=") operand]
    operand    = number | 'text' | true | false | name["." field] | "(" condition ")"

Nothing is ever handed to Python: `parse` makes a frozen tree, `evaluate` walks it.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from engine.errors import ItemError
from engine.values import ScalarItem

LONGEST = 2_000
DEEPEST = 40

_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))"
    r"|(?P<text>'[^']*'|\"[^\"]*\")"
    r"|(?P<sign>==|!=|<=|>=|<|>|\(|\))"
    r"|(?P<name>[^\W\d][\w-]*(?:\.[^\W\d][\w-]*)?)"
    r"|(?P<end>$)|(?P<odd>\S))"
)
_ELSEWHERE: Final = {"=>": ">=", "=<": "<=", "=": "==", "&": "and", "|": "or", "!": "not"}
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, text or truth value."""

    value: ScalarItem


@dataclass(frozen=True, slots=True)
class Name:
    """A scalar port or a source's field, as written."""

    text: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    inner: "Tree"


@dataclass(frozen=True, slots=True)
class Junction:
    """All (and) or any (or) of several conditions."""

    kind: Literal["and", "or"]
    terms: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two operands and a sign."""

    sign: str
    left: "Tree"
    right: "Tree"


Tree: TypeAlias = Constant | Name | Not | Junction | Comparison


#: What a constant, port or field is known to hold; truth values count as numbers, as in sums.
Kind: TypeAlias = Literal["number", "text"]


class WhenError(ValueError):
    """A condition that cannot be read; `offset` counts characters from its start."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def parse(text: str) -> Tree:
    """Make the tree of a condition.

    Raises: WhenError at the first thing that does not belong.
    """
    if len(text) > LONGEST:
        raise WhenError(f"a condition of more than {LONGEST} characters", 0)
    reader = _Reader(text)
    tree = reader.condition(0)
    if reader.kind != "end":
        raise WhenError(f"'{reader.word}' does not belong here", reader.offset)
    if not names(tree):
        raise WhenError("a condition reads scalar ports or fields; this is a constant", 0)
    return tree


def names(tree: Tree) -> tuple[Name, ...]:
    """List the names a condition reads, each once, in order."""
    found: dict[str, Name] = {}
    for name in _names(tree):
        found.setdefault(name.text, name)
    return tuple(found.values())


def evaluate(tree: Tree, lookup: Callable[[str], ScalarItem]) -> bool:
    """Decide a condition for one item; `lookup` gives the value of a name.

    Raises: ItemError(bad_input) when values cannot be compared or are not true or false.
    """
    value = _value(tree, lookup)
    if not isinstance(value, bool):
        raise ItemError("bad_input", f"`when` needs true or false, not {value!r}")
    return value


def decide(tree: Tree, values: Sequence[ScalarItem]) -> bool:
    """Decide a condition for one item, given the values of `names(tree)` in their order.

    Raises: as `evaluate`.
    """
    known = dict(zip((name.text for name in names(tree)), values, strict=True))
    return evaluate(tree, known.__getitem__)


def _value(tree: Tree, lookup: Callable[[str], ScalarItem]) -> ScalarItem:
    """Compute a part of a condition."""
    if isinstance(tree, Constant):
        return tree.value
    if isinstance(tree, Name):
        return lookup(tree.text)
    if isinstance(tree, Not):
        return not evaluate(tree.inner, lookup)
    if isinstance(tree, Junction):
        verdicts = (evaluate(term, lookup) for term in tree.terms)
        return all(verdicts) if tree.kind == "and" else any(verdicts)
    left, right = _value(tree.left, lookup), _value(tree.right, lookup)
    try:
        return _COMPARE[tree.sign](left, right)
    except TypeError:
        message = f"`when` cannot compare {left!r} {tree.sign} {right!r}"
        raise ItemError("bad_input", message) from None


def kind_of(value: object) -> Kind | None:
    """What a value is to a comparison; None for nothing, an empty cell of a table."""
    if value is None:
        return None
    return "text" if isinstance(value, str) else "number"


def check_kinds(tree: Tree, kinds: Mapping[str, Kind | None]) -> None:
    """Refuse what can never be decided: a number against a text, a text as true or false.

    `kinds` are those of the names, as far as they are known.
    Raises: WhenError.
    """
    if isinstance(tree, Not):
        check_kinds(tree.inner, kinds)
    elif isinstance(tree, Junction):
        for term in tree.terms:
            check_kinds(term, kinds)
    elif isinstance(tree, Comparison):
        left, right = _kind(tree.left, kinds), _kind(tree.right, kinds)
        if None not in (left, right) and left != right:
            name = next(iter(names(tree)), Name("", 0))
            message = f"a {left} {tree.sign} a {right} can never be decided"
            raise WhenError(message, name.offset)
        for side in (tree.left, tree.right):
            if not isinstance(side, Constant | Name):
                check_kinds(side, kinds)
    elif _kind(tree, kinds) == "text":
        offset = tree.offset if isinstance(tree, Name) else 0
        raise WhenError("a text is neither true nor false; compare it with another", offset)


def _kind(tree: Tree, kinds: Mapping[str, Kind | None]) -> Kind | None:
    """What a side of a comparison is known to be."""
    if isinstance(tree, Constant):
        return kind_of(tree.value)
    return kinds.get(tree.text) if isinstance(tree, Name) else "number"


def _names(tree: Tree) -> Iterator[Name]:
    """Walk to all names."""
    if isinstance(tree, Name):
        yield tree
    elif isinstance(tree, Not):
        yield from _names(tree.inner)
    elif isinstance(tree, Junction):
        for term in tree.terms:
            yield from _names(term)
    elif isinstance(tree, Comparison):
        yield from _names(tree.left)
        yield from _names(tree.right)


class _Reader:
    """Reads a condition token by token, by recursive descent."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = 0
        self.advance()

    def advance(self) -> None:
        """Step to the next token."""
        match = _TOKEN.match(self.text, self.end)
        assert match is not None
        self.kind = match.lastgroup or "end"
        self.word = match[self.kind]
        self.offset = match.start(self.kind)
        self.end = match.end()
        if self.kind == "odd":
            raise WhenError(f"'{self.word}' means nothing here{self.remedy()}", self.offset)

    def remedy(self) -> str:
        """What other languages write differently, or ""."""
        rest = self.text[self.offset :]
        meant = next((ours for theirs, ours in _ELSEWHERE.items() if rest.startswith(theirs)), "")
        return f", did you mean '{meant}'?" if meant else ""

    def accept(self, *words: str) -> bool:
        """Step over one of these words or signs, if it is next."""
        if self.kind in ("name", "sign") and self.word in words:
            self.advance()
            return True
        return False

    def condition(self, depth: int) -> Tree:
        """Read terms joined by "or"."""
        terms = [self.both(depth)]
        while self.accept("or"):
            terms.append(self.both(depth))
        return terms[0] if len(terms) == 1 else Junction("or", tuple(terms))

    def both(self, depth: int) -> Tree:
        """Read terms joined by "and"."""
        terms = [self.negated(depth)]
        while self.accept("and"):
            terms.append(self.negated(depth))
        return terms[0] if len(terms) == 1 else Junction("and", tuple(terms))

    def negated(self, depth: int) -> Tree:
        """Read a comparison, perhaps after "not"."""
        if depth > DEEPEST:
            raise WhenError(f"nested deeper than {DEEPEST}", self.offset)
        if self.accept("not"):
            return Not(self.negated(depth + 1))
        left = self.operand(depth)
        sign = self.word
        if self.kind != "sign" or sign not in _COMPARE:
            return left
        self.advance()
        right = self.operand(depth)
        if self.kind == "sign" and self.word in _COMPARE:
            raise WhenError("compare two things at a time and join with 'and'", self.offset)
        return Comparison(sign, left, right)

    def operand(self, depth: int) -> Tree:
        """Read a constant, a name, or a condition in parentheses."""
        kind, word, offset = self.kind, self.word, self.offset
        if self.accept("("):
            inner = self.condition(depth + 1)
            if not self.accept(")"):
                raise WhenError("a '(' is never closed", offset)
            return inner
        if kind in ("end", "sign") or word in ("and", "or", "not"):
            raise WhenError("a name, number or text is missing here", offset)
        self.advance()
        if kind == "number":
            return Constant(float(word) if re.search(r"[.eE]", word) else int(word))
        if kind == "text":
            return Constant(word[1:-1])
        if word in ("true", "false"):
            return Constant(word == "true")
        return Name(word, offset)
