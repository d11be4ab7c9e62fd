"""Small pictures of quarantined inputs, so that a report can show what went wrong."""

import io

from engine.values import Image

SIZE_PX = 112
MOST_BYTES = 6 << 10


def thumbnail(image: Image) -> bytes:
    """Make a JPEG of at most 6 KB of the first picture of a batch."""
    import torch
    from PIL import Image as Pillow

    data = image.data[:1]
    # Thinning first keeps a 100-megapixel photo from being converted whole.
    stride = max(1, max(data.shape[2:]) // (4 * SIZE_PX))
    thin = data[0, :, ::stride, ::stride].float().nan_to_num(0.0)
    bytes_ = thin.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    picture = Pillow.fromarray(bytes_.permute(1, 2, 0).contiguous().numpy())
    picture.thumbnail((SIZE_PX, SIZE_PX))
    for quality in (75, 50, 25, 5):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        if file.tell() <= MOST_BYTES:
            break
    return file.getvalue()
