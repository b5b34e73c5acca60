"""Image tensors as sheets of tiles and as files."""

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kmgan_lib.caller import progress
from kmgan_lib.data.images import to_bytes
from kmgan_lib.errors import UsageError
from kmgan_lib.files import expanded, write_atomically

if TYPE_CHECKING:
    from kmgan_lib.generator import Generator

AT_ONCE, MOST = 500, 1_000_000  # images drawn, and written one by one


def sheet(images: Tensor, *, columns: int | None = None, pad: int = 1) -> np.ndarray:
    """Tile images (n, c, h, w) in [0, 1] with 1 or 3 channels into one uint8 array (H, W, 3), row by row.

    By default as square as n allows, with ``pad`` pixels between tiles.
    """
    from torchvision.utils import make_grid

    grid = make_grid(images.detach().cpu().clamp(0, 1), columns or math.ceil(math.sqrt(len(images))), pad, pad_value=1)
    inner = grid[:, pad : grid.shape[1] - pad, pad : grid.shape[2] - pad] if len(images) > 1 else grid
    return _pixels(inner.unsqueeze(0))[0]


def _pixels(images: Tensor) -> np.ndarray:
    """Images (n, c, h, w) in [0, 1] as uint8 (n, h, w, 3)."""
    return to_bytes(images).permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()


def save_sheet(images: Tensor, path: str | Path, *, columns: int | None = None, zoom: int = 1) -> Path:
    """Write `sheet` as an image file whose format follows the name, every pixel as ``zoom`` x ``zoom``; atomically."""
    from PIL import Image

    path = expanded(path)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: unknown image format; use .png, .jpg or .webp")
    picture = Image.fromarray(sheet(images, columns=columns).repeat(zoom, 0).repeat(zoom, 1))
    write_atomically(path, functools.partial(picture.save, format=kind))
    return path


def save_each(generator: "Generator", n: int, folder: str | Path, *, seed: int = 0) -> Path:
    """Write the images of ``generator.sample(n, seed)`` one by one, as ``000000.png`` and so on, into a new folder."""
    from PIL import Image

    folder = expanded(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there and not empty: name a new folder, or an image such as {folder}.png")
    if not 1 <= n <= MOST:
        raise UsageError(f"n={n}: ask for 1 to {MOST:,} images")
    noise, labels = generator.noise(n, seed), generator.labels(n)
    with progress(None, "drawing images", n) as bar:
        for rows in torch.arange(n).split(AT_ONCE):
            images = generator.images(noise[rows], labels[rows] if generator.classes else None)
            for i, pixels in zip(rows.tolist(), _pixels(images), strict=True):
                picture = Image.fromarray(np.ascontiguousarray(pixels))
                write_atomically(folder / f"{i:06d}.png", functools.partial(picture.save, format="PNG"))
            bar.update(len(rows))
    return folder
