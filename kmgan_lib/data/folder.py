"""A folder of your own pictures, of any size and mode."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm import tqdm

from kmgan_lib.checkpoint import first_line
from kmgan_lib.data.images import Images, check_sides
from kmgan_lib.errors import UsageError

log = logging.getLogger(__name__)
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
# Whatever a file is called, nothing else is opened: for PostScript, say, Pillow would start another program.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")


def _flattened(picture: Image.Image, mode: str) -> Image.Image:
    """One mode for all: transparency on white, 16-bit grey scaled to 8 bits."""
    if picture.mode.startswith(("I", "F")):
        values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        picture = Image.fromarray((values.clip(0, top) * (255 / top)).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert(mode)


def _read(path: Path, size: int, mode: str) -> np.ndarray | str:
    """The central square of one picture, resized; or the reason why it cannot be read."""
    try:
        with Image.open(path, formats=FORMATS) as file:
            picture = _flattened(ImageOps.exif_transpose(file), mode)
            return np.asarray(ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS))
    except Exception as error:  # Pillow raises many kinds for a broken picture, all of them meaning this
        return first_line(error).replace(str(path), path.name)


def folder(path: str, *, image_size: int = 32, channels: int = 3) -> Images:
    """All pictures below a folder, cut to their central square and resized.

    Parameters
    ----------
    path : str
        Folder; its subfolders are read too. Nothing is written to it.
    image_size : int
        Side of the result in pixels.
    channels : int
        1 for grey, 3 for RGB. Transparency is laid on white; animated pictures give their first frame.

    Returns
    -------
    Images
        Pictures (n, channels, image_size, image_size), without labels, in the order of their paths.

    Raises
    ------
    UsageError
        If the folder does not exist or holds no readable picture, or a size or number of channels is none.

    Notes
    -----
    A file that cannot be read is named in a warning and left out.
    """
    check_sides(image_size)
    if channels not in (1, 3):
        raise UsageError(f"channels={channels} must be 1 (grey) or 3 (RGB)")
    root = Path(path).expanduser()
    if not root.is_dir():
        raise UsageError(f"folder:{path}: there is no such folder; give the path of a folder with pictures")
    files = sorted(f for f in root.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
    if not files:
        kinds = ", ".join(sorted(s[1:] for s in SUFFIXES))
        raise UsageError(f"folder:{path}: no pictures there ({kinds}); give a folder that holds some")
    mode = "L" if channels == 1 else "RGB"
    with ThreadPoolExecutor() as pool:
        results = pool.map(lambda file: _read(file, image_size, mode), files)
        arrays = []
        for file, result in zip(files, tqdm(results, "reading pictures", len(files), delay=2), strict=True):
            if isinstance(result, str):
                log.warning("left out %s: %s", file, result)
            else:
                arrays.append(result)
    if not arrays:
        raise UsageError(f"folder:{path}: none of the {len(files)} pictures can be read; see the warnings above")
    stacked = torch.from_numpy(np.stack(arrays)).view(len(arrays), image_size, image_size, channels)
    return Images.create(
        stacked.permute(0, 3, 1, 2).contiguous(), None, name=f"folder:{root.name}", kind="folder", split="all",
        source=f"{len(arrays)} of {len(files)} files of the folder {root.name}",
    )  # fmt: skip
