"""How far a generated picture is from the render it should be."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from models import metrics


def halve(x: Tensor) -> Tensor:
    """Each 2x2 block averaged."""
    return F.avg_pool2d(x, 2)


def reach(x: Tensor, size_px: int) -> Tensor:
    """Halved until the side is `size_px`."""
    return F.avg_pool2d(x, x.shape[-1] // size_px) if x.shape[-1] > size_px else x


def picture_loss(made: Tensor, wanted: Tensor, care: Tensor, coarsest_px: int = 4) -> Tensor:
    """Mean weighted error of colours and of their gradients, over a pyramid of sizes.

    Absolute error keeps edges, squared error cares for what few pictures have (dark glasses, white
    teeth); gradients keep outlines; the pyramid lets a displaced part feel where it should go.
    Shapes: made, wanted [N, 3, H, W], care [N, 1, H, W].
    """
    error = made - wanted
    total = error.new_zeros(())
    while True:
        across = (error[..., 1:] - error[..., :-1]).abs() * care[..., 1:]
        down = (error[..., 1:, :] - error[..., :-1, :]).abs() * care[..., 1:, :]
        colour = ((error.abs() + 2 * error.square()) * care).mean()
        total = total + colour + 0.7 * (across.mean() + down.mean())
        if error.shape[-1] <= coarsest_px:
            return total
        error, care = halve(error), halve(care)


def evened(squared: Tensor) -> Tensor:
    """Squared errors with those of the worst columns raised.  Shapes: [N, K] -> [N, K].

    What is small in a picture (a gaze) moves the mean so little that it would never be learned.
    """
    missed = squared.detach().mean(0)
    return squared * (missed / missed.mean().clamp_min(1e-12)).clamp(0.4, 8)


def psnr(made: Tensor, wanted: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of what can be seen.  Shapes: [N, 3, H, W] -> [N]."""
    return metrics.psnr(made.clamp(-1, 1), wanted.clamp(-1, 1))
