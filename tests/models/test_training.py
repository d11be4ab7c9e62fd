"""Fits of a few steps: they learn, and a kill in between changes nothing."""

import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.adversarial import Rules
from models.companions import load_discriminator, load_encoder, load_features
from models.config import GeneratorConfig
from models.errors import ModelError
from models.loading import load_generator
from models.perceptual import perceptual_distance, score_attributes
from models.scenes.portraits import PARTS
from models.stylegan2 import Generator
from models.training import adversarial, export, features, generator
from models.training import encoder as encoder_training
from models.training.__main__ import main
from models.training.domains import PORTRAITS, domain, factors_of, projection
from models.training.fitted import load_fitted
from models.training.generator import draw_pairs
from models.training.loop import Budget, Fit, Job, falling
from models.training.losses import evened, picture_loss, psnr
from models.training.records import load_checkpoint, save_checkpoint

SMALL = replace(
    PORTRAITS,
    generator=GeneratorConfig(
        resolution=16, channels=(24, 24, 16), z_dim=64, w_dim=32, mapping_layers=2, mapping_lr=1.0
    ),
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Thousands of small operations: waiting for a second thread would cost more than it gives."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def job(out: Path, steps: int, **options: object) -> Job:
    return Job(SMALL, out, Budget(steps=steps), seed=3, **options)  # type: ignore[arg-type]


def test_factors_read_from_gaussian_codes_are_uniform_and_independent() -> None:
    basis = projection(len(PORTRAITS.factors), 512)
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis)), atol=1e-5, rtol=0)
    z = torch.randn(4000, 512, generator=torch.Generator().manual_seed(0))
    factors = factors_of(z, basis)
    torch.testing.assert_close(factors.mean(0), torch.full((len(basis),), 0.5), atol=0.03, rtol=0)
    torch.testing.assert_close(factors_of(3 * z, basis), factors)
    assert (torch.corrcoef(factors.T) - torch.eye(len(basis))).abs().max() < 0.08


def test_what_cannot_be_seen_is_not_asked_for() -> None:
    factors = torch.full((1, len(PORTRAITS.factors)), 0.5)
    seen = dict(zip(PORTRAITS.factors, PORTRAITS.visible_factors(factors)[0], strict=True))
    assert seen["glasses"] == 0
    assert seen["beard"] == 0
    assert seen["smile"] == 0.5


def test_errors_on_eyes_outweigh_errors_on_the_wall() -> None:
    masks = torch.zeros(1, len(PARTS), 64, 64)
    masks[:, PARTS.index("background")] = 1
    eye = (slice(None), slice(None), slice(20, 24), slice(20, 24))
    masks[eye] = 0
    masks[:, PARTS.index("eyes"), 20:24, 20:24] = 1
    care = PORTRAITS.care_map(masks)
    assert care.mean().item() == pytest.approx(1, abs=1e-4)
    ratio = care[0, 0, 22, 22] / care[0, 0, 60, 60]
    assert ratio.item() == pytest.approx(1 + SMALL.care["eyes"], rel=1e-4)


def test_the_loss_is_zero_only_for_the_picture_itself() -> None:
    picture = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    care = torch.ones(2, 1, 32, 32)
    assert picture_loss(picture, picture, care) == 0
    near, far = (picture_loss(picture + e, picture, care) for e in (0.01, 0.1))
    assert 0 < near < far
    shifted = picture.clamp(-0.9, 0.9)
    assert psnr(shifted + 0.02, shifted)[0].item() == pytest.approx(
        40, abs=0.01
    )  # 10 log10(4 / 0.02^2)


def test_a_few_steps_lower_the_loss_and_leave_a_trail(tmp_path: Path) -> None:
    fit = generator.train(job(tmp_path, 40))
    first = generator.train(job(tmp_path / "one", 1))
    bad = generator.validate(first.network, SMALL, 16)
    assert fit.pictures == 40 * 8
    assert generator.validate(fit.network, SMALL, 16) > bad + 1
    lines = [json.loads(line) for line in (tmp_path / "generator.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [24, 40]
    assert lines[-1]["size_px"] == 16
    assert (tmp_path / "generator.pt").exists()


@pytest.mark.parametrize(("train", "steps"), [(generator.train, 16), (features.train, 2)])
def test_a_resumed_run_equals_an_undisturbed_one(tmp_path: Path, train, steps: int) -> None:  # type: ignore[no-untyped-def]
    whole = train(job(tmp_path / "whole", steps))
    halfway = Job(SMALL, tmp_path / "parts", Budget(steps=steps), seed=3, save_every_s=0)
    with pytest.raises(KeyboardInterrupt):
        train(replace(halfway, domain=replace(SMALL, render=Interrupting(SMALL.render, 1, train))))
    resumed = train(replace(halfway, resume=True))
    assert resumed.step == whole.step == steps
    for a, b in zip(whole.average.parameters(), resumed.average.parameters(), strict=True):
        assert torch.equal(a, b)


class Interrupting:
    """A renderer that is interrupted once so many steps were taken and saved."""

    def __init__(self, render, steps: int, train) -> None:  # type: ignore[no-untyped-def]
        # Renders of one step and its sheet; `play` has the feature network calibrated first.
        calls, before = {generator.train: (6, 0), features.train: (3, 0), play: (3, 4)}[train]
        self.render, self.left = render, before + steps * calls

    def __call__(self, factors, grain):  # type: ignore[no-untyped-def]
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.render(factors, grain)


def play(job: Job) -> Fit[adversarial.Players]:
    """The adversarial finish of a generator that has learned next to nothing."""
    if not (job.out / "generator.pt").exists():
        generator.train(replace(job, budget=Budget(steps=1), resume=False))
        features.train(replace(job, budget=Budget(steps=1), resume=False))
    return adversarial.train(job, adversarial.Game(Rules(path=2.0, steady=0.6)))


def test_the_finish_moves_both_players_and_leaves_a_trail(tmp_path: Path) -> None:
    fit = play(job(tmp_path, 20))
    began = play(job(tmp_path / "began", 0)).network
    for name, value in began.named_parameters():
        assert not torch.equal(value, fit.network.get_parameter(name)), name
    assert fit.network.path_mean > 0
    line = json.loads((tmp_path / "adversarial.jsonl").read_text().splitlines()[-1])
    assert line["step"] == 20
    assert line["pictures"] == 20 * 8
    assert line["gap"] > 0


def test_without_a_share_nobody_judges(tmp_path: Path) -> None:
    started = play(job(tmp_path, 0)).network
    fit = adversarial.train(job(tmp_path, 2), adversarial.Game(share=0.0))
    learned, judge = fit.network.generator, fit.network.discriminator
    assert not torch.equal(learned.const, load_fitted(job(tmp_path, 0)).const)
    assert fit.network.gap == 0
    for name, value in started.discriminator.named_parameters():
        assert torch.equal(value, judge.get_parameter(name)), name


def test_twins_are_one_code_with_two_noises() -> None:
    maker = Generator(SMALL.generator)
    random = torch.Generator().manual_seed(0)
    z, noise, scene = draw_pairs(maker, SMALL, 6, 16, random, SMALL.render, twins=2)
    assert torch.equal(z[:2], z[2:4])
    assert not torch.equal(noise[-1][:2], noise[-1][2:4])
    assert torch.equal(scene.factors[:2], scene.factors[2:4])
    assert len({tuple(row.tolist()) for row in scene.factors}) == 4


def test_twins_of_a_domain_that_noise_lays_out_keep_their_place() -> None:
    maker, random = Generator(SMALL.generator), torch.Generator().manual_seed(0)
    laid_out = replace(SMALL, sides=(4, 8, 16, 16))  # the last two give the texture
    _, noise, _ = draw_pairs(maker, laid_out, 6, 16, random, SMALL.render, twins=2)
    alike = [torch.equal(field[:2], field[2:4]) for field in noise]
    assert alike == [field.shape[-1] < 16 for field in noise]


def test_noise_counts_most_where_nothing_should_move() -> None:
    image = torch.zeros(8, 3, 4, 4)
    image[:4, :, :2] = 0.5  # other noise changes the upper half of the render
    made = torch.zeros_like(image)
    made[:4] = 0.3  # and all of the picture
    game, paired = adversarial.Game(calm=4.0), torch.ones(8, dtype=torch.bool)
    pull = adversarial._noise_pull(game, made.requires_grad_(), image, paired)[:4]
    assert (pull[:, :, :2] < 0).all()
    torch.testing.assert_close(pull[:, :, 2:], -4 * pull[:, :, :2])


def test_the_worst_columns_are_raised() -> None:
    squared = torch.tensor([[1e-4, 1e-2, 1e-3]]).expand(4, -1)
    raised = (evened(squared) / squared)[0]
    assert raised.argmax() == 1
    assert raised[0] == pytest.approx(0.4)
    assert torch.equal(evened(torch.zeros(4, 3)), torch.zeros(4, 3))


def test_a_resumed_finish_equals_an_undisturbed_one(tmp_path: Path) -> None:
    whole = play(job(tmp_path / "whole", 4))
    halfway = Job(SMALL, tmp_path / "parts", Budget(steps=4), seed=3, save_every_s=0)
    play(replace(halfway, budget=Budget(steps=0)))
    with pytest.raises(KeyboardInterrupt):
        play(replace(halfway, domain=replace(SMALL, render=Interrupting(SMALL.render, 1, play))))
    resumed = play(replace(halfway, resume=True))
    for a, b in zip(whole.average.parameters(), resumed.average.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "fit.pt"
    save_checkpoint(path, {"step": 1})
    with pytest.raises(Exception, match=r"pickle|local"):
        save_checkpoint(path, {"step": lambda: 2})
    assert load_checkpoint(path) == {"step": 1}
    with pytest.raises(ModelError, match="no checkpoint"):
        load_checkpoint(tmp_path / "none.pt")


def test_everything_trained_can_be_shipped_and_loaded(tmp_path: Path) -> None:
    for train in (generator.train, features.train, play, encoder_training.train):
        train(job(tmp_path, 1))
    encoder_training.train(replace(job(tmp_path, 2), resume=True))
    folder = tmp_path / "shipped"
    export.export(job(tmp_path, 1), folder, held_out=64)
    made = load_generator(folder / "generator.safetensors")
    seer = load_features(folder / "features.safetensors")
    judge = load_discriminator(folder / "discriminator.safetensors")
    encoder = load_encoder(folder / "encoder.safetensors")
    picture = made.synthesize(encoder(torch.zeros(2, 3, 128, 128)))
    assert picture.shape == (2, 3, 16, 16)
    assert judge(picture).shape == (2,)
    assert score_attributes(seer, picture).shape == (2, len(seer.attributes))
    distance = perceptual_distance(seer, picture, picture.flip(0))
    assert perceptual_distance(seer, picture, picture).abs().max() < 1e-6
    torch.testing.assert_close(distance[0], distance[1])
    facts = json.loads((folder / "model.json").read_text())
    assert facts["factors"] == list(PORTRAITS.factors)
    assert facts["encoder"]["steps"] == 2


def test_an_export_that_fails_leaves_what_ships_as_it_was(tmp_path: Path) -> None:
    play(job(tmp_path, 1))
    (tmp_path / "generator.pt").unlink()  # how far it was fitted is not known
    old = tmp_path / "shipped" / "generator.safetensors"
    old.parent.mkdir()
    old.write_bytes(b"old")
    with pytest.raises(ModelError, match=r"generator\.pt: no checkpoint"):
        export.export(job(tmp_path, 1), old.parent, held_out=64)
    assert old.read_bytes() == b"old"
    assert list(old.parent.iterdir()) == [old]


def test_companions_of_an_earlier_generator_do_not_stay(tmp_path: Path) -> None:
    generator.train(job(tmp_path, 1))
    adversarial.train(job(tmp_path, 1), adversarial.Game(share=0.0))
    folder = tmp_path / "shipped"
    folder.mkdir()
    for kind in ("discriminator", "encoder"):
        (folder / f"{kind}.safetensors").write_bytes(b"old")
    export.export(job(tmp_path, 1), folder, held_out=64)
    assert {path.name for path in folder.iterdir()} == {"generator.safetensors", "model.json"}


def test_a_finish_of_another_generator_is_refused(tmp_path: Path) -> None:
    play(job(tmp_path, 1))
    load_fitted(job(tmp_path, 1))
    os.utime(tmp_path / "generator.pt", (2e9, 2e9))
    with pytest.raises(ModelError, match=r"adversarial\.pt is older than generator\.pt"):
        load_fitted(job(tmp_path, 1))


def test_a_companion_of_another_generator_is_not_exported(tmp_path: Path) -> None:
    for train in (generator.train, features.train, encoder_training.train):
        train(job(tmp_path, 1))
    generator.train(replace(job(tmp_path, 1), resume=True))  # takes no step
    export.export(job(tmp_path, 1), tmp_path / "shipped", held_out=64)
    generator.train(replace(job(tmp_path, 9), resume=True))
    with pytest.raises(ModelError, match=r"encoder\.pt is older than generator\.pt"):
        export.export(job(tmp_path, 1), tmp_path / "shipped", held_out=64)


def test_a_resumed_fit_keeps_its_seed(tmp_path: Path) -> None:
    generator.train(job(tmp_path, 1))
    generator.train(replace(job(tmp_path, 2), seed=4, resume=True))
    assert load_checkpoint(tmp_path / "generator.pt")["seed"] == 3


def test_some_pictures_must_keep_their_render(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="mixing 1"):
        adversarial.train(job(tmp_path, 1), adversarial.Game(Rules(mixing=1.0)))


@pytest.mark.parametrize(
    "line", [["seascapes", "--steps", "1"], ["portraits", "--minutes", "0"], ["portraits"]]
)
def test_a_line_that_makes_no_sense_is_refused(
    line: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["training", *line])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "error: " in capsys.readouterr().err


def test_a_fit_can_start_from_the_weights_that_ship(tmp_path: Path) -> None:
    warm = Job(PORTRAITS, tmp_path, Budget(steps=0), warm=True)
    started = features.train(warm).network.state_dict()
    for name, value in load_features("portraits-128").state_dict().items():
        torch.testing.assert_close(started[name], value)
    assert generator.train(warm).network.convs["b128_conv0"].noise_strength.item() < 0.1


def test_budgets_count_minutes_or_steps() -> None:
    assert Budget(minutes=2).used(step=999, seconds=60) == 0.5
    assert Budget(steps=10).used(step=5, seconds=999) == 0.5


def test_the_learning_rate_stays_then_falls() -> None:
    rates = [falling(1.0, used / 10, 0.5) for used in range(11)]
    assert rates[0] == rates[5] == 1
    assert all(a > b for a, b in itertools.pairwise(rates[5:]))
    assert rates[-1] == pytest.approx(0.02)


def test_an_unknown_domain_is_refused() -> None:
    with pytest.raises(ModelError, match=r"seascapes.*portraits"):
        domain("seascapes")
