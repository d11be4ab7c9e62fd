"""Style channels: names, exact slopes, and rankings that find what was planted."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from models.channels import (
    channel_index,
    channel_name,
    check_channels,
    exemplar_scores,
    locality,
    masked,
    overlaps,
    slopes,
)
from models.config import GeneratorConfig, standard_channels
from models.errors import ModelError
from models.priors import Gaussian
from models.stylegan2 import Generator


def test_names_and_places_are_one_to_one(tiny: Generator) -> None:
    count = tiny.layers[-1].style.stop
    names = [channel_name(tiny, place) for place in range(count)]
    assert len(set(names)) == count
    assert [channel_index(tiny, name) for name in names] == list(range(count))
    assert names[tiny.layer("8.conv1").style.start] == "8.conv1:0"


def test_a_generator_of_1024_px_has_the_9088_channels_of_the_paper() -> None:
    with torch.device("meta"):
        generator = Generator(GeneratorConfig(1024, standard_channels(1024)))
    names = [channel_name(generator, place) for place in range(9088)]
    assert generator.layers[-1].style.stop == sum(generator.config.style_widths) == 9088
    assert len(set(names)) == 9088
    assert [channel_index(generator, name) for name in names] == list(range(9088))
    assert sum(name.split(":")[0].endswith("rgb") for name in names) == 3040
    assert (names[0], names[512], names[-1]) == ("4.conv1:0", "4.rgb:0", "1024.rgb:31")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("8.conv2:3", "did you mean '8.conv1:3'"),
        ("8.conv1", "is no layer and number"),
        ("8.conv1:99", "layer 8.conv1 has channels 0 to 7"),
    ],
)
def test_channels_that_do_not_exist_are_told(tiny: Generator, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        check_channels(tiny, [name])
    with pytest.raises(ModelError, match="each once"):
        check_channels(tiny, ["8.conv1:1", "8.conv1:1"])


@pytest.mark.parametrize("architecture", ["skip", "resnet"])
@pytest.mark.parametrize("layer", ["4.conv1", "16.conv0", "32.rgb"])
def test_slopes_forward_are_those_backward(
    make_generator: Callable[[GeneratorConfig], Generator], architecture: str, layer: str
) -> None:
    config = GeneratorConfig(
        32, (12, 8, 8, 6), z_dim=8, w_dim=8, mapping_layers=2, architecture=architecture
    )
    generator = make_generator(config)
    styles = generator.styles(torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0)))

    def cells(style: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(generator.synthesize_styles(style), 8)[0]

    whole = torch.autograd.functional.jacobian(cells, styles)
    place = generator.layer(layer)
    expected = whole[:, :, :, 0, place.style].abs().mean(0).permute(2, 0, 1)
    found = slopes(generator, styles, layer, 8)
    assert found.shape == (place.in_channels, 8, 8)
    assert torch.allclose(found, expected, atol=1e-5, rtol=1e-4)


def test_overlap_of_the_same_place_is_whole_and_of_another_none() -> None:
    mask = torch.zeros(3, 4, 4, dtype=torch.bool)
    mask[0, :2, :2] = True
    mask[1, 2:, :] = True
    maps = torch.stack([mask[0].float(), mask[1].float(), torch.zeros(4, 4)])
    found = overlaps(maps, mask)
    assert found[0, 0] == 4 / 4**2
    assert found[0, 1] == 0  # its next strongest places, all alike, begin at the top
    assert found[1, 1] == 8 / 8**2
    assert found[1, 0] == 0
    assert torch.equal(found[:, 2], torch.zeros(3))  # an empty mask
    assert torch.equal(found[2], torch.zeros(3))  # a channel that does nothing


def test_masks_share_the_picture_with_the_rest() -> None:
    masks = torch.zeros(2, 8, 8)
    masks[0, :, :4] = 1
    masks[1, :2, 4:] = 1
    masks[1, 2, 4:] = 0.8
    found = masked(masks, 4)
    assert found.sum(0).eq(1).all()
    assert found[0, :, :2].all()
    assert found[1, 0, 2:].all()
    assert found[2, 1:, 2:].all()  # of the second row of cells the mask has two fifths


def test_local_channel_wins_most_pictures_far_before_the_next() -> None:
    wins = torch.zeros(8, 5, 3)
    wins[:, 4] = torch.tensor([0.1, 0.2, 0.1])  # all parts are in all pictures
    wins[:, 0, 1] = 1  # always part 1
    wins[:5, 1, 0] = wins[5:, 1, 2] = 1  # part 0 in 5 of 8, part 2 in 3: 0.625, 0.25 ahead
    wins[:6, 2, 2] = wins[6:, 2, 0] = 1  # part 2 in 6 of 8
    found = locality(wins)  # channel 3 never does anything
    assert found.local.tolist() == [True, False, True, False, True]
    assert found.part[[0, 2]].tolist() == [1, 2]
    assert found.share.tolist() == [1.0, 0.625, 0.75, 0.0, 1.0]


def test_a_part_that_few_have_is_judged_by_the_pictures_that_show_it() -> None:
    wins = torch.zeros(8, 4, 3)
    wins[:, 0] = torch.tensor([0.2, 0.0, 0.0])  # everybody has part 0
    wins[:2, 0, 1] = 0.1  # part 1 is in two pictures, part 2 in one
    wins[:2, 1, 1] = wins[2:, 1, 0] = 1  # acts on part 1 wherever it is, else on part 0
    wins[0, 2, 1] = wins[1:, 2, 0] = 1  # acts on part 1 in one picture of two
    wins[0, 3, 2] = wins[1:, 3, 0] = 1  # on part 2 in the one picture that shows it
    found = locality(wins)
    assert found.part.tolist() == [0, 1, 0, 0]
    assert found.share.tolist() == [1.0, 1.0, 0.875, 0.875]
    assert found.local.all()


def test_planted_channel_is_among_the_first_of_ten_exemplars() -> None:
    random = torch.Generator().manual_seed(0)
    population = Gaussian(torch.randn(300, generator=random), torch.rand(300, generator=random) + 1)
    for trial in range(40):
        noise = torch.randn(10, 300, generator=random)
        sign = -1.0 if trial % 2 else 1.0
        noise[:, trial] += 2 * sign
        scores = exemplar_scores(population.mean + population.spread.sqrt() * noise, population)
        assert trial in scores.abs().argsort(descending=True)[:3]
        assert scores[trial].sign() == sign


def test_channel_that_never_changes_tells_nothing() -> None:
    population = Gaussian(torch.zeros(3), torch.tensor([1.0, 1.0, 0.0]))
    scores = exemplar_scores(torch.tensor([[1.0, 0.0, 1e-9], [1.1, 0.0, 1e-9]]), population)
    assert scores[2] == 0 < scores[0]
    with pytest.raises(ModelError, match="1 exemplars: at least two"):
        exemplar_scores(torch.zeros(1, 3), population)
