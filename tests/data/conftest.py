"""Atlases of pictures, as CIFAR-10 and CelebA come, and their splits."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kmgan_lib import data
from kmgan_lib.data.images import Images


def write_atlas(path: Path, pictures: np.ndarray, columns: int, **options: Any) -> None:
    """Square pictures (n, side, side, 3) in a grid, filled row by row, black where there is none."""
    rows, side = -(-len(pictures) // columns), pictures.shape[1]
    grid = np.zeros((rows * columns, side, side, 3), np.uint8)
    grid[: len(pictures)] = pictures
    tiles = grid.reshape(rows, columns, side, side, 3).swapaxes(1, 2)
    Image.fromarray(tiles.reshape(rows * side, columns * side, 3)).save(path, **options)


def splits(name: str, **options: Any) -> list[Images]:
    """What is trained on, what is measured with, and both."""
    return [data.load(name, split=split, **options) for split in ("train", "test", "all")]
