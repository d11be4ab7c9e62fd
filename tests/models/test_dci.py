"""DCI: exact on known importances, and better for codes whose numbers stand for one factor each."""

import pytest
import torch

from models.dci import boosted_importance, disentanglement, scores_of
from models.errors import ModelError


def test_a_permutation_is_perfect_and_evenness_the_opposite() -> None:
    assert scores_of(torch.eye(4).double()[[2, 0, 3, 1]]) == pytest.approx((1, 1))
    assert scores_of(torch.ones(5, 3).double()) == pytest.approx((0, 0), abs=1e-9)


def test_two_numbers_for_one_factor_are_disentangled_but_not_complete() -> None:
    importance = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]).double()
    apart, whole = scores_of(importance)
    assert apart == pytest.approx(1)
    assert whole == pytest.approx(0.5)  # ln 2 of ln 4
    apart, whole = scores_of(importance.T)
    assert apart == pytest.approx(0.5)
    assert whole == pytest.approx(1)


def test_numbers_that_matter_weigh_more() -> None:
    importance = torch.tensor([[9.0, 0.0], [0.5, 0.5]]).double()
    assert scores_of(importance)[0] == pytest.approx(0.9)


@pytest.mark.parametrize("shape", [(1, 3), (3, 1)])
def test_one_factor_or_number_cannot_be_told_apart(shape: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match="two of each are needed"):
        scores_of(torch.ones(shape))


def test_trees_find_what_a_label_depends_on() -> None:
    random = torch.Generator().manual_seed(3)
    codes = torch.randn(400, 6, generator=random)
    labels = (codes[:, 1] > 0) ^ (codes[:, 4] > 0)  # no single number tells it
    importance, decide = boosted_importance(codes[:300], labels[:300], trees=60)
    assert float(importance.sum()) == pytest.approx(1)
    assert float(importance[[1, 4]].sum()) > 0.8
    assert float((decide(codes[300:]) == labels[300:]).double().mean()) > 0.9
    again, _ = boosted_importance(codes[:300], labels[:300], trees=60)
    assert torch.equal(again, importance)


def test_a_number_that_tells_all_has_all_importance_and_trees_need_two_classes() -> None:
    codes = torch.arange(40.0)[:, None].repeat(1, 2)
    codes[:, 1] = 1
    importance, decide = boosted_importance(codes, codes[:, 0] >= 20, trees=500)
    assert importance.tolist() == [1.0, 0.0]
    assert torch.equal(decide(codes), codes[:, 0] >= 20)
    with pytest.raises(ModelError, match="both classes"):
        boosted_importance(codes, codes[:, 1] > 0)
    with pytest.raises(ModelError, match="not finite"):
        boosted_importance(codes / codes[:, :1], codes[:, 0] >= 20)


def test_turned_codes_are_less_disentangled() -> None:
    random = torch.Generator().manual_seed(1)
    codes = torch.randn(1500, 4, generator=random)
    scores = codes + 0.1 * torch.randn(1500, 4, generator=random)
    # A turn that gives every number an equal part of every factor.
    half = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    turn = torch.kron(half, half) / 2
    own = disentanglement(codes, scores, share=0.05, trees=30)
    turned = disentanglement(codes @ turn, scores, share=0.05, trees=30)
    assert own.disentanglement > 0.9
    assert own.completeness > 0.9
    assert own.informativeness > 0.95
    assert turned.disentanglement < own.disentanglement - 0.4
    assert turned.completeness < own.completeness - 0.4
    with pytest.raises(ModelError, match="7 at each end, 8 are needed"):
        disentanglement(codes[:75], scores[:75], share=0.1)
