"""Image tensors as sheets of tiles and as files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from torch import Tensor

from kmgan_lib.checkpoint import write_atomically


def sheet(images: Tensor, *, columns: int | None = None, pad: int = 1) -> np.ndarray:
    """Tile images (n, c, h, w) in [0, 1] into one uint8 array (H, W, 3), row by row.

    Parameters
    ----------
    images : Tensor, (n, c, h, w)
        With 1 or 3 channels.
    columns : int, optional
        Tiles in a row; by default as square as n allows.
    pad : int
        Pixels between tiles.
    """
    n, channels, h, w = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    canvas = np.full((rows * (h + pad) - pad, columns * (w + pad) - pad, 3), 255, np.uint8)
    tiles = (images.detach().cpu().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    tiles = tiles.repeat(3, axis=3) if channels == 1 else tiles
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (h + pad), (i % columns) * (w + pad)
        canvas[top : top + h, left : left + w] = tile
    return canvas


def save_sheet(images: Tensor, path: str | Path, *, columns: int | None = None, zoom: int = 1) -> Path:
    """Write `sheet` as a picture file, atomically; the format follows the name.

    Parameters
    ----------
    zoom : int
        Every pixel becomes a zoom x zoom square, for pictures too small to look at.
    """
    from PIL import Image

    path = Path(path)
    picture = Image.fromarray(sheet(images, columns=columns).repeat(zoom, 0).repeat(zoom, 1))
    kind = Image.registered_extensions().get(path.suffix.lower(), "PNG")
    write_atomically(path, lambda partial: picture.save(partial, format=kind))
    return path
