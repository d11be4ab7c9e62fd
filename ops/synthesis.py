"""Pictures from codes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from engine.op import Range, Seed, op
from engine.values import Image, Latent, Network, Scalar
from ops.given import checked, generator_of, judge_rows, rounded

if TYPE_CHECKING:
    from torch import Tensor

    from models.stylegan2 import Generator, Noise

Rows = Literal["all", "coarse", "middle", "fine"] | list[int]


@op(version=1, batch=4, batch_cuda=32, fixed=True)
def synthesize(
    latent: Latent,
    model: Network,
    *,
    noise: Literal["const", "seeded", "none"] = "const",
    psi: Annotated[float, Range(-2, 2)] = 1.0,
    seed: Seed = Seed(()),  # noqa: B008 (a NewType call is the empty tuple itself)
) -> Image:
    """Draw the pictures of codes.

    `noise` decides hair strands and grain: "const" is the same for all, "seeded" its own for each
    item, "none" smooth.

    Shapes: latent z, w, w_plus or style of N items -> image [N, 3, R, R], R the model's resolution.
    Units: psi draws the code towards the mean first (1: not at all).
    Raises: OpError if the code is of another generator.
    Source: Karras et al. 2020, arXiv:1912.04958.
    """
    from models.noise import seeded_noise

    generator = generator_of([latent], model)
    seeds = tuple(seed) or (0,) * len(latent.data)
    inputs: Noise = seeded_noise(generator, seeds) if noise == "seeded" else noise
    return Image(_draw(generator, latent, inputs, psi))


@op(version=1, batch=4, batch_cuda=32, fixed=True, check=judge_rows)
def vary_noise(
    latent: Latent,
    model: Network,
    *,
    rows: Rows = "fine",
    strength: Annotated[float, Range(0, 1)] = 1.0,
    others: Literal["const", "none"] = "const",
    seed: Seed = Seed(()),  # noqa: B008 (a NewType call is the empty tuple itself)
) -> Image:
    """Draw a code with other grain: what a face keeps when hair and skin fall differently.

    Only the noise of layers driven by `rows` varies. All `others` keep the usual noise, or have
    "none": with strength 0 a picture then shows what the usual noise of some layers alone does.

    Shapes: latent z, w, w_plus or style of N items -> image [N, 3, R, R].
    Units: strength 0 (the usual noise) .. 1 (fresh noise).
    Raises: OpError if the code is of another generator.
    Source: Karras et al. 2019, arXiv:1812.04948 (stochastic variation, figures 4 and 5).
    """
    from models.codes import choose_rows
    from models.noise import varied_noise

    generator = generator_of([latent], model)
    seeds = tuple(seed) or (0,) * len(latent.data)
    chosen = choose_rows(generator.config, rows)
    noise = varied_noise(generator, seeds, chosen, strength, others=others == "const")
    return Image(_draw(generator, latent, noise, 1.0))


@dataclass(frozen=True, slots=True)
class Variation:
    """What `map_variation` gives: a grey picture of the spread, and its mean in levels of 255."""

    image: Image
    mean: Scalar


@op(version=1, batch=1, check=judge_rows)
def map_variation(
    latent: Latent,
    model: Network,
    *,
    rows: Rows = "all",
    count: Annotated[int, Range(2, 10_000)] = 32,
    gain: Annotated[float, Range(0.01)] = 8.0,
    seed: Seed = Seed(()),  # noqa: B008 (a NewType call is the empty tuple itself)
) -> Variation:
    """Show where the picture of a code depends on noise: bright where it falls differently.

    The picture is drawn `count` times, each time with fresh noise in the layers driven by `rows`;
    what is shown is the standard deviation of every pixel, over the three colours together.

    Shapes: latent z, w, w_plus or style of N items -> image [N, 3, R, R], grey; mean N numbers.
    Units: white is a deviation of 1 / gain of the way from black to white; mean in levels of 255.
    Raises: OpError if the code is of another generator.
    Source: Karras et al. 2019, arXiv:1812.04948, figure 4.
    """
    import torch

    from models.codes import choose_rows, number
    from models.noise import varied_noise

    generator = generator_of([latent], model)
    seeds = tuple(seed) or (0,) * len(latent.data)
    with checked():
        chosen = choose_rows(generator.config, rows)
    total, squares = torch.zeros(2, 1, dtype=torch.float64, device=generator.w_avg.device)
    for k in range(count):
        noise = varied_noise(generator, [number(s, k) for s in seeds], chosen, 1.0)
        drawn = _draw(generator, latent, noise, 1.0).double()
        total, squares = total + drawn, squares + drawn.square()
    variance = (squares - total * total / count) / (count - 1)
    # From -1..1 to 0..1, as one grey value per pixel.
    spread = variance.clamp(min=0).mean(1, keepdim=True).sqrt() / 2
    grey = (2 * (gain * spread).clamp(max=1) - 1).float().repeat(1, 3, 1, 1)
    return Variation(Image(grey), rounded(255 * spread.mean((1, 2, 3)), 4))


def _draw(generator: "Generator", latent: Latent, noise: "Noise", psi: float) -> "Tensor":
    """The pictures of codes, within the range of colours."""
    import torch

    from models.codes import mean_code, to_styles

    with torch.no_grad():
        data, space = latent.data.to(generator.w_avg.device), latent.space
        if space == "z" and psi != 1:
            data, space = generator.mapping(data), "w"
        if psi != 1:
            data = torch.lerp(mean_code(generator, space).expand_as(data), data, psi)
        styles = to_styles(generator, data, space)
        return generator.synthesize_styles(styles, noise).clamp(-1, 1)
