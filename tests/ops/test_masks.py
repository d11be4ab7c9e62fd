"""Masks: drawn, read, and found; what is refused for all items and what for one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from engine.errors import ItemError, OpError
from engine.values import Image, Latent, Network, split, take
from ops.masks import load_mask, mask_box, mask_polygon, segment_parts
from ops.synthesis import synthesize


@pytest.fixture
def photo() -> Image:
    return Image(torch.rand(2, 3, 40, 60) * 2 - 1)


def test_a_box_selects_its_share_of_every_picture(photo: Image) -> None:
    mask = mask_box(photo, box=(0.25, 0.5, 0.5, 0.25)).data
    assert mask.shape == (2, 1, 40, 60)
    assert torch.equal(mask[0], mask[1])
    assert float(mask[0].mean()) == pytest.approx(0.125)
    assert torch.equal(mask_box(photo, box=(15, 20, 30, 10)).data, mask)
    soft = mask_box(photo, box=(15, 20, 30, 10), feather=0.1).data
    assert float(soft[0].sum()) == pytest.approx(300, rel=1e-3)
    assert ((soft > 0) & (soft < 1)).any()


def test_a_polygon_selects_what_it_holds(photo: Image) -> None:
    shares = mask_polygon(photo, points=[(0, 0), (1, 0), (0, 1)]).data
    assert float(shares[0].mean()) == pytest.approx(0.5, abs=0.02)
    pixels = mask_polygon(photo, points=[(0, 0), (60, 0), (0, 40)]).data
    assert torch.equal(shares, pixels)


def test_places_that_do_not_exist_are_refused(photo: Image) -> None:
    with pytest.raises(OpError, match="sticks out"):
        mask_box(photo, box=(0.5, 0.5, 0.6, 0.1))
    with pytest.raises(ItemError, match="60 px across and 40 px down"):
        mask_box(photo, box=(10, 10, 60, 10))
    with pytest.raises(OpError, match="nothing of the polygon"):
        mask_polygon(photo, points=[(-1, -1), (-2, -1), (-1, -2)])
    with pytest.raises(ItemError, match="nothing of the polygon"):
        mask_polygon(photo, points=[(100, 100), (120, 100), (100, 120)])
    with pytest.raises(OpError, match="three or more"):
        mask_polygon(photo, points=[(10, 10), (20, 20)])


def test_pictures_are_masks_and_so_are_files(photo: Image, tmp_path: Path) -> None:
    white = Image(torch.ones(1, 3, 8, 8))
    white.data[..., 4:] = -1
    assert torch.equal(load_mask(white).data, (white.data[:, :1] + 1) / 2)
    assert torch.equal(load_mask(white, invert=True).data, (1 - white.data[:, :1]) / 2)
    levels = np.zeros((20, 30), np.uint8)
    levels[5:15, 10:20] = 255
    for name, picture in {
        "grey.png": Pillow.fromarray(levels),
        "clear.png": Pillow.merge(
            "RGBA", [Pillow.new("L", (30, 20), 255)] * 3 + [Pillow.fromarray(levels)]
        ),
        "deep.png": Pillow.fromarray(levels.astype(np.uint16) * 257),
    }.items():
        picture.save(tmp_path / name)
        mask = load_mask(photo, file=str(tmp_path / name), threshold=0.5).data
        assert mask.shape == (2, 1, 40, 60)
        assert float(mask[1].mean()) == pytest.approx(1 / 6, abs=0.03), name
        assert float(mask[0, 0, 20, 30]) == 1


def test_masks_that_select_nothing_or_do_not_fit_are_set_aside(
    photo: Image, tmp_path: Path
) -> None:
    both = Image(torch.stack([torch.ones(3, 8, 8), -torch.ones(3, 8, 8)]))
    with pytest.raises(ItemError, match="nothing is selected") as caught:
        load_mask(both)
    assert (caught.value.reason, caught.value.item) == ("bad_input", 1)
    Pillow.new("L", (30, 30), 255).save(tmp_path / "square.png")
    with pytest.raises(ItemError, match="their shapes differ"):
        load_mask(photo, file=str(tmp_path / "square.png"))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(OpError, match="cannot be read as a mask"):
        load_mask(photo, file=str(tmp_path / "broken.png"))


def test_all_parts_together_are_the_whole_picture(companions: Network, w: Latent) -> None:
    image = synthesize(w, companions)
    face = segment_parts(companions, image, parts=["face"])
    rest = segment_parts(companions, image, parts=["rest"])
    torch.testing.assert_close(face.mask.data + rest.mask.data, torch.ones(5, 1, 32, 32))
    assert face.share.data[0] + rest.share.data[0] == pytest.approx(1, abs=1e-4)  # type: ignore[operator]
    alone = segment_parts(companions, take(image, 3, 4), parts=["face"])
    torch.testing.assert_close(alone.mask.data, face.mask.data[3:4], atol=1e-5, rtol=0)


def test_clusters_share_the_picture_out_and_are_always_the_same(model: Network, w: Latent) -> None:
    settings = {"method": "clusters", "clusters": 5, "at": 8}
    each = [segment_parts(model, latent=w, parts=[k], **settings) for k in range(5)]  # type: ignore[arg-type]
    total = sum(part.mask.data for part in each)
    torch.testing.assert_close(total, torch.ones(5, 1, 32, 32), atol=1e-5, rtol=0)
    again = segment_parts(model, latent=w, parts=[0, 1], **settings)  # type: ignore[arg-type]
    both = (each[0].mask.data + each[1].mask.data).clamp(0, 1)
    torch.testing.assert_close(again.mask.data, both, atol=1e-5, rtol=0)
    one = segment_parts(model, latent=next(split(w)), parts=[2], **settings)  # type: ignore[arg-type]
    torch.testing.assert_close(one.mask.data, each[2].mask.data[:1], atol=1e-5, rtol=0)


def test_parts_that_are_not_there_are_named(companions: Network, model: Network, w: Latent) -> None:
    image = synthesize(w, companions)
    with pytest.raises(OpError, match="part 'fase' does not exist, did you mean 'face'"):
        segment_parts(companions, image, parts=["fase"])
    with pytest.raises(OpError, match="no feature network"):
        segment_parts(model, image, parts=["face"])
    with pytest.raises(OpError, match="needs the wire `latent`"):
        segment_parts(model, image, parts=[0], method="clusters")
    with pytest.raises(OpError, match="numbered 0 to 11"):
        segment_parts(model, latent=w, parts=[12], method="clusters")
    with pytest.raises(OpError, match="resolution 5"):
        segment_parts(model, latent=w, parts=[1], method="clusters", at=5)
