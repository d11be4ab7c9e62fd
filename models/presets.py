"""The inversion recipes of well-known papers, and the project's own.

Perceptual distances are the model's own feature network's where the papers have VGG16 or LPIPS.
Weights are those of the papers, brought to pictures in -1..1 and to means over a code's numbers.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from models.inversion import Recipe

Preset = Literal["own", "soat", "image2stylegan", "nvlabs", "pti"]

OWN = Recipe()

#: Chong et al. 2021, arXiv:2111.01619, and its projector: every style free; LPIPS 20, squared
#: error 1, and 1e-3 of the summed squared deviations: 8.7 of their mean over 8,704 numbers.
SOAT = Recipe(
    space="style",
    steps=3000,
    learning_rate=0.05,
    units="code",
    schedule="constant",
    pixel=1.0,
    pixel_loss="squared",
    perceptual=20.0,
    prior="style_gaussian",
    prior_weight=8.7,
    patience=3000,
)

#: Abdal et al. 2019, arXiv:1904.03189: w_plus from the mean code, plain Adam for 5,000 steps; the
#: squared error has weight 1 on pictures in 0..1.
IMAGE2STYLEGAN = Recipe(
    steps=5000,
    learning_rate=0.01,
    units="code",
    schedule="constant",
    pixel=0.25,
    pixel_loss="squared",
    prior="none",
    prior_weight=0.0,
    patience=5000,
)

#: Karras et al. 2020, arXiv:1912.04958, appendix D, and NVlabs' projector: one w, explored with
#: noise that dies away; perceptual distance alone. Its noise maps: see `models.tuning`.
NVLABS = Recipe(
    space="w",
    steps=1000,
    learning_rate=0.1,
    units="code",
    exploration=0.05,
    pixel=0.0,
    pixel_loss="squared",
    prior="none",
    prior_weight=0.0,
    patience=1000,
)

#: Roich et al. 2021, arXiv:2106.05744: NVlabs' projector, shorter and slower, gives the pivot that
#: the generator is then tuned around.
PTI = replace(NVLABS, steps=450, learning_rate=0.01, patience=450)

PRESETS: Mapping[Preset, Recipe] = {
    "own": OWN,
    "soat": SOAT,
    "image2stylegan": IMAGE2STYLEGAN,
    "nvlabs": NVLABS,
    "pti": PTI,
}


def choose(preset: Preset, **given: Any) -> Recipe:
    """The recipe of a preset, with every setting that is given (not None) in its place."""
    return replace(PRESETS[preset], **{k: v for k, v in given.items() if v is not None})
