"""Image tensors as sheets of tiles and as files."""

from math import ceil
from pathlib import Path

import numpy as np
from torch import Tensor

from kmgan_lib.data.images import to_bytes
from kmgan_lib.errors import UsageError
from kmgan_lib.files import expanded, write_atomically


def sheet(images: Tensor, *, columns: int | None = None) -> np.ndarray:
    """Tile images (n, c, h, w) in [0, 1] with 1 or 3 channels into one uint8 array (H, W, 3), by default a square."""
    from torchvision.utils import make_grid

    grid = make_grid(images.detach().cpu().clamp(0, 1), columns or ceil(len(images) ** 0.5), padding=1, pad_value=1)
    inner = grid[:, 1:-1, 1:-1] if len(images) > 1 else grid  # one image alone gets no border
    return to_bytes(inner).permute(1, 2, 0).numpy()


def save_sheet(images: Tensor, path: str | Path, *, columns: int | None = None, zoom: int = 1) -> Path:
    """Write `sheet` atomically as an image file, format by extension, each pixel enlarged to ``zoom`` x ``zoom``."""
    from PIL import Image

    path = expanded(path)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: unknown image format; use .png, .jpg or .webp")
    picture = Image.fromarray(sheet(images, columns=columns).repeat(zoom, 0).repeat(zoom, 1))
    write_atomically(path, lambda partial: picture.save(partial, kind))
    return path
