"""Inputs from this chunk, the store, a photo, the driver."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from engine.dag import ModelInfo, ModelRef, Step
from engine.jobs import Chunk, FromItem, FromPhoto, FromScalar, Input, Job, Program
from engine.op import op, read_op
from engine.records import Record
from engine.supply import PayloadGoneError, Supply, within
from engine.values import Image, Network, Scalar


@op(version=1)
def use(value: Scalar, model: Network) -> Scalar:
    """The value."""
    return value


def job(number: int, wires: Mapping[str, tuple[Input, ...]], **more: object) -> Job:
    return Job("b", number, "k", "", wires, {}, **more)  # type: ignore[arg-type]


def supply(tmp_path: Path, *jobs: Job) -> Supply:
    return Supply(Program({}, str(tmp_path), "", ""), Chunk("c", "s", jobs, ()))


MADE = FromItem(("a", 0), "value")


def test_a_value_is_dropped_after_its_last_reader(tmp_path: Path) -> None:
    first, second = job(0, {"value": (MADE,)}), job(1, {"value": (MADE, FromScalar(1))})
    hand = supply(tmp_path, first, second)
    hand.keep(("a", 0), {"value": Scalar((7,))})
    hand.keep(("a", 1), {"value": Scalar((8,))})  # nobody wants it
    hand.release(first.inputs())
    assert hand.get(MADE) == Scalar((7,))
    hand.release(second.inputs())
    for gone in (MADE, FromItem(("a", 1), "value")):
        with pytest.raises(PayloadGoneError):
            hand.get(gone)


def test_only_items_of_the_chunk_are_within(tmp_path: Path) -> None:
    stored = FromItem(("a", 2), "value", Record("k"))
    mixed = job(0, {"value": (MADE, stored, FromScalar(1))}, when=(FromItem(("w", 1), "go"),))
    assert list(within(mixed.inputs())) == [("a", 0), ("w", 1)]


def test_scalars_of_a_record_need_no_payload(tmp_path: Path) -> None:
    source = FromItem(("a", 0), "value", Record("k", scalars={"value": 3.5}, pack="gone"))
    assert supply(tmp_path).get(source) == Scalar((3.5,))
    assert supply(tmp_path).scalar(source) == 3.5
    assert supply(tmp_path).scalar(FromScalar("text")) == "text"


def test_a_photo_is_decoded_once(tmp_path: Path) -> None:
    from PIL import Image as Pillow

    path = tmp_path / "x.png"
    Pillow.new("RGB", (4, 2), "white").save(path)
    source = FromPhoto(str(path), sha256(path.read_bytes()).hexdigest())
    hand = supply(tmp_path)
    photo = hand.get(source)
    path.unlink()
    assert hand.get(source) is photo
    assert isinstance(photo, Image)
    assert photo.data.shape == (1, 3, 2, 4)


def test_networks_are_put_on_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENTLOOM_DEVICE", "cuda:0")
    info = ModelInfo("faces", "/m", "d", "f", 64, 10, 64, 64)
    step = Step("b", read_op(use), (), {}, {"model": ModelRef("faces", info)}, ("x",))
    found = supply(tmp_path).networks(job(0, {}), step)["model"]
    assert (found.name, found.digest, found.device) == ("faces", "d", "cuda:0")
    tuned = Network("tuned", "/t", "t", "f", 64, 10)
    hand = supply(tmp_path, job(0, {}, networks={"model": MADE}))
    hand.keep(("a", 0), {"value": tuned})
    assert hand.networks(job(0, {}, networks={"model": MADE}), step)["model"].name == "tuned"
