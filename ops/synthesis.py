"""Pictures from codes."""

from typing import TYPE_CHECKING, Annotated, Literal

from engine.op import Range, Seed, op
from engine.values import Image, Latent, Network, check_family

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

    generator = _generator(latent, model)
    seeds = tuple(seed) or (0,) * len(latent.data)
    inputs: Noise = seeded_noise(generator, seeds) if noise == "seeded" else noise
    return Image(_draw(generator, latent, inputs, psi))


@op(version=1, batch=4, batch_cuda=32, fixed=True)
def vary_noise(
    latent: Latent,
    model: Network,
    *,
    rows: Rows = "fine",
    strength: Annotated[float, Range(0, 1)] = 1.0,
    seed: Seed = Seed(()),  # noqa: B008 (a NewType call is the empty tuple itself)
) -> Image:
    """Draw a code with other grain: what a face keeps when hair and skin fall differently.

    Only the noise of layers driven by `rows` varies.

    Shapes: latent z, w, w_plus or style of N items -> image [N, 3, R, R].
    Units: strength 0 (the usual picture) .. 1 (fresh noise).
    Raises: OpError if the code is of another generator.
    Source: Karras et al. 2019, arXiv:1812.04948 (stochastic variation).
    """
    from models.codes import choose_rows
    from models.noise import varied_noise

    generator = _generator(latent, model)
    seeds = tuple(seed) or (0,) * len(latent.data)
    chosen = choose_rows(generator.config, rows)
    return Image(_draw(generator, latent, varied_noise(generator, seeds, chosen, strength), 1.0))


def _generator(latent: Latent, model: Network) -> "Generator":
    """The generator of a code, from the pool."""
    import models

    check_family(latent, model)
    return models.fetch(model)


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
