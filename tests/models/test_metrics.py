"""Likeness by hand and at its limits."""

import numpy as np
import pytest
import torch

from models.metrics import lab, psnr, pyramid_l1, ssim


def test_psnr_by_hand_and_of_equals() -> None:
    a = torch.zeros(2, 3, 8, 8)
    b = a.clone()
    b[0] += 0.2  # a tenth of the range: 20 dB
    assert psnr(a, b).tolist() == pytest.approx([20.0, 99.0], abs=1e-4)


def test_ssim_agrees_with_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    random = np.random.default_rng(3)
    a = random.random((40, 50, 3))
    b = np.clip(a + 0.2 * random.standard_normal(a.shape), 0, 1)
    expected = metrics.structural_similarity(
        a,
        b,
        channel_axis=2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )[1][5:-5, 5:-5].mean()
    ours = [torch.from_numpy(x).permute(2, 0, 1)[None] * 2 - 1 for x in (a, b)]
    assert float(ssim(*ours)[0]) == pytest.approx(expected, abs=2e-4)


def test_ssim_of_equals_is_one_even_when_tiny() -> None:
    a = torch.rand(2, 3, 5, 4) * 2 - 1
    assert torch.allclose(ssim(a, a), torch.ones(2))
    assert (ssim(a, -a) < 0.5).all()


def test_pyramid_forgives_a_near_miss_more_than_a_far_one() -> None:
    a = torch.full((1, 3, 32, 32), -1.0)
    near, far = a.clone(), a.clone()
    a[..., 8:16, 8:16] = 1
    near[..., 9:17, 8:16] = 1
    far[..., 20:28, 20:28] = 1
    assert pyramid_l1(a, near)[0] < pyramid_l1(a, far)[0] / 2
    assert pyramid_l1(a, a)[0] == 0


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (53.241, 80.092, 67.203)),
        ((0, 255, 0), (87.735, -86.183, 83.179)),
        ((0, 0, 255), (32.297, 79.188, -107.860)),
        ((119, 119, 119), (50.034, 0.0, 0.0)),
    ],
)
def test_lab_is_that_of_the_tables(
    rgb: tuple[int, int, int], expected: tuple[float, float, float]
) -> None:
    image = (torch.tensor(rgb).float() / 127.5 - 1).reshape(1, 3, 1, 1)
    torch.testing.assert_close(lab(image)[0, :, 0, 0], torch.tensor(expected), atol=0.02, rtol=0)
