"""How far each number of codes stands for one attribute, and each attribute for one number."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

from engine.errors import OpError
from engine.op import KnownTo, Range, op
from engine.values import Latent, Scalar, Scores
from ops.given import checked, column_of, table_of, together


@dataclass(frozen=True, slots=True)
class Disentangled:
    """What `measure_dci` gives: three numbers from 0 to 1, and `all` of them as one row."""

    disentanglement: Scalar
    completeness: Scalar
    informativeness: Scalar
    all: Scores


@op(version=2)
def measure_dci(
    codes: Sequence[Latent],
    scores: Sequence[Scores],
    *,
    attributes: Annotated[list[str], KnownTo(("scores",))] = [],  # noqa: B006 (read, never changed)
    share: Annotated[float, Range(0.005, 0.5)] = 0.02,
    trees: Annotated[int, Range(1, 1000)] = 100,
    seed: int = 0,
) -> Disentangled:
    """Measure how far each number of codes stands for one attribute (DCI).

    For each attribute boosted trees tell the codes with its lowest `share` of scores from those
    with its highest; half of these are kept for judging. Disentanglement is 1 when every number
    that matters serves one attribute, completeness when every attribute is served by one number,
    informativeness is the accuracy: near 0.5 nothing was learned, and the others are chance, which
    favours long codes. All `attributes` are used, by default all that are scored.

    Shapes: codes [1, ...] in one space, scores [1, K], in the same order -> numbers, all [1, 3].
    Units: share 0.02 takes 200 of 10,000 codes at each end; 8 at least are needed.
    Raises: OpError for too few codes, unknown attributes, or unequal lists.
    Source: Eastwood and Williams 2018 (DCI); Wu et al. 2021, arXiv:2011.12799, table 1.
    """
    import torch

    from models.dci import disentanglement

    table, names = table_of(scores)
    kept = [column_of(names, name) for name in dict.fromkeys(attributes or names)]
    parts, _ = together(codes)
    if len(parts) != len(table):
        raise OpError(f"{len(parts)} codes and {len(table)} scores: one each is needed")
    with checked():
        data = torch.cat(parts).flatten(1)
        found = disentanglement(data, table[:, kept], share=share, trees=trees, seed=seed)
    told = {name: round(value, 4) for name, value in asdict(found).items()}
    row = Scores(torch.tensor([list(told.values())]), tuple(told))
    apart, whole, right = (Scalar((value,)) for value in told.values())
    return Disentangled(apart, whole, right, row)
