"""The small convolutional trunk that the feature network and the encoder share the shape of."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

INPUT_PX = 128


class Stage(nn.Module):
    """Halve the side, then refine: a strided convolution, a residual one, a normalisation.

    Shapes: [N, C, H, W] -> [N, O, H/2, W/2].
    """

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(width_in, width_out, 3, stride=2, padding=1)
        self.refine = nn.Conv2d(width_out, width_out, 3, padding=1)
        self.norm = nn.GroupNorm(8, width_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.down(x), 0.2)
        return F.leaky_relu(self.norm(x + self.refine(x)), 0.2)


class Backbone(nn.Module):
    """Features of a picture at 64, 32, 16, 8 and 4 px.

    Shapes: image [N, 3, H, W] in -1..1, any side (brought to 128 px) -> one [N, C, s, s] per stage.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = zip((3, *widths), widths, strict=False)
        self.stages = nn.ModuleList(Stage(a, b) for a, b in pairs)

    def forward(self, image: Tensor) -> list[Tensor]:
        features = []
        x = to_input(image)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def to_input(image: Tensor) -> Tensor:
    """Pictures brought to the side that the networks look at, [N, 3, 128, 128]."""
    side = (INPUT_PX, INPUT_PX)
    if image.shape[-2:] == side:
        return image
    shrinks = min(image.shape[-2:]) > INPUT_PX
    return F.interpolate(image, side, mode="bilinear", align_corners=False, antialias=shrinks)
