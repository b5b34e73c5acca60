"""A folder with your own images, of any size and mode."""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from kmgan_lib.caller import progress
from kmgan_lib.data.images import Images
from kmgan_lib.errors import UsageError
from kmgan_lib.files import CONFIG, HISTORY, expanded, first_line

log = logging.getLogger(__name__)
# Whatever a file is called, nothing else is opened: for PostScript, say, Pillow would start another program.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
SUFFIXES = {".png", ".jpg", ".jpeg", ".jp2", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
NAMED = 10  # files left out that are named


def _image_files(root: Path) -> Iterator[Path]:
    """Paths, relative to the root, of the image files below it; hidden ones and runs of this library are left out."""
    for place, folders, names in os.walk(root):
        if Path(place) != root and {HISTORY, CONFIG} <= set(names):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith((".", "@", "__"))]
        seen = (Path(place, name).relative_to(root) for name in names if not name.startswith("."))
        yield from (path for path in seen if path.suffix.lower() in SUFFIXES)


def _cut(image: Image.Image, size: int, mode: str) -> np.ndarray:
    """The upright image's central square, resized, transparency on white: (c, size, size)."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError("greys of unknown range: save it with 8 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    square = np.asarray(ImageOps.fit(image.convert(mode), (size, size), Image.Resampling.LANCZOS))
    return square[None] if square.ndim == 2 else square.transpose(2, 0, 1)


def folder(path: str, *, image_size: int = 32, channels: int = 3) -> Images:
    """All images below a folder, cut to their central square and resized.

    Subfolders are read too; hidden files and the runs of this library are left out. Transparency is laid on white;
    animated images give their first frame; greys of 16 bits are scaled to 8. A file that cannot be read is named in a
    warning and left out; a `UsageError` if none can.

    Images are (n, channels, image_size, image_size) in the order of their paths, with 1 channel, grey, or 3, RGB. Where
    all lie in subfolders, and these are several, they are the classes; else there are no labels.
    """
    if channels not in (1, 3):
        raise UsageError(f"channels={channels} must be 1 or 3")
    place = expanded(path).absolute()
    if not path or not place.is_dir():
        raise UsageError(f"folder:{path}: there is no such folder; write folder:PATH with the path of your images")
    files = sorted(_image_files(place))
    if not files:
        raise UsageError(f"folder:{path}: no images there ({', '.join(sorted(SUFFIXES))})")

    def read(name: Path) -> np.ndarray | str:
        try:
            with Image.open(place / name, formats=FORMATS) as image:
                return _cut(image, image_size, "L" if channels == 1 else "RGB")
        except Exception as error:  # Pillow raises many kinds for a broken image, all of them meaning this
            return f"{place / name}: {first_line(error)}"

    with ThreadPoolExecutor() as pool:
        found = list(zip(files, progress(pool.map(read, files), "reading images", len(files)), strict=True))
    images = {name: pixels for name, pixels in found if not isinstance(pixels, str)}
    left_out = [why for _, why in found if isinstance(why, str)]
    for why in left_out[:NAMED]:
        log.warning("left out %s", why)
    if len(left_out) > NAMED:
        log.warning("left out %d more files that cannot be read", len(left_out) - NAMED)
    if not images:
        raise UsageError(f"folder:{path}: none of the {len(files)} images can be read; see the warnings above")
    parents = [name.parts[0] if len(name.parts) > 1 else "" for name in images]
    classes = sorted(set(parents))
    labelled = len(classes) > 1 and "" not in classes
    return Images.create(
        torch.from_numpy(np.ascontiguousarray(list(images.values()))),
        torch.tensor([classes.index(name) for name in parents]) if labelled else None,
        classes=classes if labelled else (), name=f"folder:{place.name}", kind="folder", split="all",
        source=f"{len(images)} of {len(files)} files of the folder {place.name}",
    )  # fmt: skip
