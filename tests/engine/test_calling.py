"""One call of an op: what it is given, what it may return."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from engine.calling import Loaded, alone, batch_size, call, find_function, group_key, is_finite
from engine.dag import Step
from engine.errors import OpError
from engine.jobs import Job
from engine.op import OpSpec, Scratch, Seed, op, read_op
from engine.values import Image, Mask, Network, Scalar, Value


@op(version=1, batch=4, batch_cuda=16)
def add(value: Scalar, other: Scalar | None = None, *, by: int = 0, seed: Seed = None) -> Scalar:
    """The sum."""
    more = other.data if other else (0,) * len(value.data)
    return Scalar(tuple(a + b + by for a, b in zip(value.data, more, strict=True)))


@op(version=1)
def wrong_type(value: Scalar) -> Mask:
    """Not what it says."""
    return value  # type: ignore[return-value]


@op(version=1, batch=2)
def wrong_count(value: Scalar) -> Scalar:
    """One too many."""
    return Scalar((*value.data, 0))


@dataclass(frozen=True, slots=True)
class Two:
    """Two ports."""

    first: Scalar
    second: Scalar


@op(version=1, batch=2)
def both(value: Scalar, model: Network) -> Two:
    """The value and the name of the model."""
    return Two(value, Scalar((model.name,) * len(value.data)))


@op(version=1, batch=8)
def train(value: Scalar, *, scratch: Scratch) -> Scalar:
    """A folder's name."""
    return Scalar((scratch,))


EMPTY: Mapping[str, int] = {}


def step(function: object, **given: object) -> Step:
    spec: OpSpec = read_op(function)  # type: ignore[arg-type]
    return Step("s", spec, (), {}, {}, ("x",), **given)  # type: ignore[arg-type]


def loaded(number: int, settings: Mapping[str, int] = EMPTY, **given: Value) -> Loaded:
    job = Job("s", number, "k", "", {}, settings, seeds={"seed": number})
    networks = {name: value for name, value in given.items() if isinstance(value, Network)}
    wires = {name: (value,) for name, value in given.items() if name not in networks}
    return Loaded(job, wires, networks, 0.0)


def test_wires_are_stacked_and_answers_split() -> None:
    batch = [loaded(i, {"by": 1}, value=Scalar((i,)), other=Scalar((10,))) for i in range(3)]
    ports = call(step(add), batch, 4, "")
    assert [port["value"].data for port in ports] == [(11,), (12,), (13,)]


def test_an_optional_wire_may_stay_empty() -> None:
    assert call(step(add), [loaded(5, value=Scalar((5,)))], 4, "")[0]["value"].data == (5,)


def test_ports_and_networks_go_by_name() -> None:
    net = Network("faces", "/m", "d", "f", 64, 10)
    (ports,) = call(step(both), [loaded(1, value=Scalar((1,)), model=net)], 2, "")
    assert (ports["first"].data, ports["second"].data) == ((1,), ("faces",))


@pytest.mark.parametrize(
    ("function", "message"),
    [(wrong_type, "is a Scalar, declared Mask"), (wrong_count, "has 3 items, the batch has 2")],
)
def test_an_op_that_breaks_its_word_is_told(function: object, message: str) -> None:
    batch = [loaded(i, value=Scalar((i,))) for i in range(2)]
    with pytest.raises(OpError, match=message):
        call(step(function), batch, 2, "")


def test_batches_are_as_large_as_the_device_and_the_workflow_say() -> None:
    assert (batch_size(step(add), "cpu"), batch_size(step(add), "cuda:0")) == (4, 16)
    assert batch_size(step(add, batch=3), "cuda:0") == 3
    assert alone(step(train))
    assert batch_size(step(train), "cpu") == 1


def test_only_equals_share_a_call() -> None:
    import torch

    small, large = (loaded(1, image=Image(torch.zeros(1, 3, n, n))) for n in (4, 8))
    twin = loaded(2, image=Image(torch.ones(1, 3, 4, 4)))
    assert group_key(small) == group_key(twin) != group_key(large)
    other = replace(twin, job=replace(twin.job, settings={"by": 2}))
    assert group_key(other) != group_key(twin)
    assert small.nbytes == 3 * 4 * 4 * 4


def test_numbers_and_pictures_can_be_not_finite() -> None:
    import torch

    assert is_finite(Scalar((1.0, "text", None)))
    assert not is_finite(Scalar((float("nan"),)))
    assert not is_finite(Mask(torch.full((1, 1, 1, 1), float("inf"))))


def test_a_shipped_op_is_found_by_module_and_name() -> None:
    from engine.codecs import encode

    spec = replace(read_op(add), module="engine.codecs", function="encode")
    assert find_function(spec) is encode
