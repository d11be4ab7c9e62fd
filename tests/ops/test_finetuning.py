"""Fine-tuning as an op: the network it gives pairs with its base, and its file is a model."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.errors import ItemError, OpError
from engine.values import Image, Latent, Network
from models import describe, fetch, load_generator
from models.errors import ModelError
from ops.features import translate
from ops.finetuning import FinetunedGenerator, finetune


@pytest.fixture(scope="module")
def images(model: Network) -> list[Image]:
    side = model.resolution
    return [Image(torch.full((1, 3, side, side), value)) for value in (0.5, 0.6, 0.7)]


@pytest.fixture(scope="module")
def found(model: Network, images: list[Image]) -> FinetunedGenerator:
    return finetune(images, model, steps=12, batch=2, learning_rate=0.01, seed=(3,))  # type: ignore[arg-type]


def test_what_comes_out_reads_the_same_codes_and_draws_otherwise(
    model: Network, w: Latent, found: FinetunedGenerator
) -> None:
    assert found.model.family == model.family
    assert found.size.data == (len(found.model.delta),)
    whole = translate(w, model, found.model, alpha=1.0, swap=0)
    theirs = fetch(found.model)
    drawn = theirs.synthesize(theirs.broadcast(w.data)).clamp(-1, 1)
    torch.testing.assert_close(whole.image.data, drawn, atol=1e-4, rtol=0)
    plain = fetch(model)
    assert not torch.equal(drawn, plain.synthesize(plain.broadcast(w.data)).clamp(-1, 1))


def test_the_file_of_a_delta_is_a_model(
    model: Network, found: FinetunedGenerator, tmp_path: Path
) -> None:
    base = tmp_path / "base.safetensors"
    base.write_bytes(Path(model.path).read_bytes())
    path = tmp_path / "manner.safetensors"
    path.write_bytes(found.model.delta)
    told = describe(path)
    assert (told.path, told.delta, told.base) == (str(base), str(path), model.digest)
    assert told.digest == found.model.digest
    z = torch.randn(2, load_generator(base).config.z_dim)
    assert torch.equal(load_generator(path)(z), fetch(found.model)(z))
    base.unlink()
    with pytest.raises(ModelError, match="neither built in nor in the same folder"):
        describe(path)


def test_frozen_rows_stay(model: Network, images: list[Image]) -> None:
    freeze = ["mapping", "affine", "coarse", "rgb"]
    tuned = finetune(images, model, steps=2, batch=2, freeze=freeze).model  # type: ignore[arg-type]
    before, after = fetch(model).state_dict(), fetch(tuned).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any("b4_" in name or "b8_" in name or "_rgb" in name for name in changed)


def test_settings_that_leave_nothing_to_learn_or_too_few_pictures_are_refused(
    model: Network, images: list[Image]
) -> None:
    with pytest.raises(OpError, match="2 or more"):
        finetune(images[:1], model, steps=1)
    with pytest.raises(ItemError, match="square"):
        finetune([Image(torch.zeros(1, 3, 8, 16))] * 2, model, steps=1)
    with pytest.raises(OpError, match="rows"):
        finetune(images, replace(model), steps=1, freeze=["mapping", "affine", "fine", "coarse"])
