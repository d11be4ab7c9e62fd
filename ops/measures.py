"""Numbers that say how alike pictures are, for `when`, outputs and the report."""

from dataclasses import dataclass

from engine.errors import ShapeError
from engine.op import op
from engine.values import Image, Network, Scalar


@dataclass(frozen=True, slots=True)
class Likeness:
    """What `measure` gives: PSNR in dB, SSIM 0..1, perceptual distance (None without a network)."""

    psnr: Scalar
    ssim: Scalar
    perceptual: Scalar


@op(version=1, batch=8, fixed=True)
def measure(a: Image, b: Image, model: Network) -> Likeness:
    """Measure how alike two pictures are.

    `perceptual` is judged by the feature network beside the model.

    Shapes: a, b [N, 3, H, W].  Units: psnr dB (99 when equal); ssim 1 when equal; perceptual 0 when
    equal, about 1 between two unrelated portraits.
    Raises: ShapeError if the sizes differ.
    Source: Wang et al. 2004 (SSIM); Zhang et al. 2018, arXiv:1801.03924 (perceptual).
    """
    from pathlib import Path

    import torch

    from models import companions
    from models.metrics import psnr, ssim
    from models.perceptual import perceptual_distance

    if a.data.shape != b.data.shape:
        raise ShapeError(f"a is {list(a.data.shape[2:])}, b {list(b.data.shape[2:])}: resize one")
    beside = Path(model.path).with_name("features.safetensors")
    near: tuple[float | None, ...] = (None,) * len(a.data)
    if beside.is_file():
        net = companions.features(beside, model.device)
        with torch.no_grad():
            distance = perceptual_distance(net, a.data.to(model.device), b.data.to(model.device))
        near = tuple(round(value, 4) for value in distance.tolist())
    return Likeness(
        Scalar(tuple(round(value, 3) for value in psnr(a.data, b.data).tolist())),
        Scalar(tuple(round(value, 5) for value in ssim(a.data, b.data).tolist())),
        Scalar(near),
    )
