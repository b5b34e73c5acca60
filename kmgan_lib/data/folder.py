"""A folder, zip archive or file of arrays with your own images, of any size and mode."""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from kmgan_lib.caller import on_terminal
from kmgan_lib.data.files import ARRAYS, SUFFIXES, File, classes_of, found, told
from kmgan_lib.data.images import Images, check_sides
from kmgan_lib.errors import UsageError
from kmgan_lib.files import SHEET, expanded, first_line

log = logging.getLogger(__name__)
# Whatever a file is called, nothing else is opened: for PostScript, say, Pillow would start another program.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
# White of greys of more than 8 bits, by their kind: the first that the whole folder stays within.
WHITES = {"16-bit": (255, 4095, 65535), "32-bit": (255, 4095, 65535, 2**31 - 1), "float": (1, 255, 4095, 65535)}
OVERSHOOT = 0.1  # of the range: floats that were resampled leave it a little
NO_RANGE = "no range is sensible for {} values from {:g} to {:g}: save it with 8 bits"
NAMED = 10  # files left out that are named one by one


@dataclass(frozen=True)
class _Deep:
    """A grey image of more than 8 bits, cut and resized, its values as they are, and their range before that."""

    kind: str
    values: np.ndarray
    low: float
    high: float

    def scaled(self, white: int, channels: int) -> np.ndarray:
        grey = np.rint((self.values * (255 / white)).clip(0, 255)).astype(np.uint8)
        return np.repeat(grey[..., None], channels, axis=2)


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its camera says; as it is where nobody can tell."""
    image.load()  # a broken image is not to pass for a broken note about it
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # an orientation of any wrong type, each with another error
        return image


def _is_sheet(image: Image.Image) -> bool:
    try:
        return image.getexif().get(ExifTags.Base.Software) == SHEET
    except Exception:  # as above
        return False


def _flattened(image: Image.Image, mode: str) -> Image.Image:
    """One mode for all, transparency on white."""
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _cut(image: Image.Image, size: int) -> np.ndarray:
    """The central square, resized: (size, size, c)."""
    square = np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS))
    return square if square.ndim == 3 else square[..., None]


def _deep(image: Image.Image, size: int) -> _Deep:
    kind = "float" if image.mode == "F" else "16-bit" if image.mode.startswith("I;16") else "32-bit"
    values = np.asarray(image)
    if kind == "float":
        values = np.where(np.isnan(values), 0, values)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if not np.isfinite(high - low) or low < (-OVERSHOOT * max(high, 1) if kind == "float" else 0):
        raise ValueError(NO_RANGE.format(kind, low, high))
    return _Deep(kind, _cut(Image.fromarray(values.astype(np.float32)), size)[..., 0], low, high)


def _arrays(file: File) -> Iterator[np.ndarray]:
    """The images (h, w[, c]) in a file of NumPy's."""
    with file.open() as stream:
        content = np.load(stream, allow_pickle=False)
        several = isinstance(content, np.lib.npyio.NpzFile)
        arrays = [content[name] for name in content.files] if several else [content]
    fit = [a for a in arrays if a.dtype == np.uint8 and (a.ndim == 3 or (a.ndim == 4 and a.shape[3] in (1, 3, 4)))]
    if not fit:
        kinds = ", ".join(f"{a.dtype} {a.shape}" for a in arrays[:3]) or "no arrays"
        raise ValueError(f"it holds {kinds}, and images are uint8 (n, h, w) or (n, h, w, c) with 1, 3 or 4 channels")
    for array in fit:
        one = array.ndim == 3 and array.shape[2] in (3, 4)  # nothing is that narrow: a single image (h, w, c)
        for image in array[None] if one else array:
            yield image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image


def _formats(file: File) -> tuple[str, ...]:
    # TGA cannot be told by its first bytes: of other files it would make noise.
    return (*FORMATS, "TGA") if file.suffix == ".tga" else FORMATS


def _read(file: File, size: int, mode: str) -> list[np.ndarray] | _Deep | str | None:
    """What is in one file, cut and resized; or the reason why it cannot be read; None for a sheet of samples."""
    try:
        if file.suffix in ARRAYS:
            return [_cut(_flattened(Image.fromarray(array), mode), size) for array in _arrays(file)]
        with file.open() as stream, Image.open(stream, formats=_formats(file)) as image:
            if _is_sheet(image):
                return None
            turned = _upright(image)
            return _deep(turned, size) if turned.mode[0] in "IF" else [_cut(_flattened(turned, mode), size)]
    except UnidentifiedImageError:  # its message names an object of Python's
        return f"it is no image of a kind that is read ({', '.join(FORMATS)})"
    except Exception as error:  # Pillow raises many kinds for a broken image, all of them meaning this
        return first_line(error)


def _white(kind: str, high: float) -> int | None:
    """White of all images of a kind, of which the brightest value is ``high``; None if no range is sensible."""
    slack = 1 + OVERSHOOT if kind == "float" else 1
    white = next((top for top in WHITES[kind] if high <= slack * top), None)
    # A folder of which the brightest spot is nearly black was meant otherwise.
    return white if white is None or white == WHITES[kind][0] or high >= white / 16 else None


def _whites(images: Sequence[object]) -> dict[str, int | None]:
    """White of each kind of deep image in a folder, stated in the log."""
    highest: dict[str, float] = {}
    for image in images:
        if isinstance(image, _Deep):
            highest[image.kind] = max(highest.get(image.kind, 0), image.high)
    whites = {kind: _white(kind, high) for kind, high in highest.items()}
    for kind, white in whites.items():
        if white is not None:
            guessed = kind != "float" and white < WHITES[kind][-1]
            level = logging.WARNING if guessed else logging.INFO
            log.log(level, "%s greys reach %g in this folder: %d is white in all of them", kind, highest[kind], white)
    return whites


def _pixels(image: _Deep, white: int | None, channels: int) -> list[np.ndarray] | str:
    return NO_RANGE.format(image.kind, image.low, image.high) if white is None else [image.scaled(white, channels)]


def _shapes(file: File) -> list[tuple[int, int]]:
    try:
        if file.suffix in ARRAYS:
            return [(array.shape[0], array.shape[1]) for array in _arrays(file)]
        with file.open() as stream, Image.open(stream, formats=_formats(file)) as image:
            return [] if _is_sheet(image) else [(image.height, image.width)]
    except Exception:  # `folder` says which files cannot be read, and why
        return []


def sides(path: str) -> list[tuple[int, int]]:
    """Height and width of the images that `folder` would read, from the beginnings of the files."""
    with found(place_of(path)) as (files, _), ThreadPoolExecutor() as pool:
        shapes = [shape for several in pool.map(_shapes, files) for shape in several]
    return shapes or [(1, 1)]


def place_of(path: str, root: str | Path | None = None) -> Path:
    """Where a folder or file of images is: at its path, or by its name in the data root. A `UsageError` if nowhere."""
    place, root = expanded(path), root or os.environ.get("KMGAN_DATA")
    places = [place, *([expanded(root) / place.name] if root else [])]
    there = next((p for p in places if _readable(p)), None) if path.strip() else None
    if there is None:
        raise UsageError(
            f"folder:{path}: there is no such folder, zip archive or array file; write folder:PATH with the path of "
            "your images, or --data-root with the folder that they are in now"
        )
    return Path(os.path.abspath(there))


def _readable(place: Path) -> bool:
    if not os.path.exists(place):  # no error for names that no system has
        return False
    return place.is_dir() or (place.is_file() and (place.suffix.lower() in ARRAYS or zipfile.is_zipfile(place)))


def folder(path: str, *, image_size: int = 32, channels: int = 3, root: str | Path | None = None) -> Images:
    """All images below a folder or in a zip archive, cut to their central square and resized.

    A `UsageError` if the folder does not exist or holds no readable image, or a size or number of channels is none.

    Parameters
    ----------
    path : str
        Folder, zip archive, ``.npy`` or ``.npz``; subfolders are read too, links are followed. It stays as it is.
    image_size : int
        Side of the result in pixels.
    channels : int
        1 for grey, 3 for RGB. Transparency is laid on white; animated images give their first frame. An array of
        ``.npy`` or ``.npz`` holds uint8 images (n, h, w) or (n, h, w, c).
    root : path, optional
        Where a folder of this name is looked for if it is not at its path; by default ``$KMGAN_DATA``.

    Returns
    -------
    Images
        Images (n, channels, image_size, image_size) in the order of their paths. Where they all lie in folders side by
        side, these are their classes; else there are no labels.

    Notes
    -----
    A file that cannot be read is named in a warning and left out. Greys of more than 8 bits are scaled alike in all of
    a folder: white is the full range of 16 bits, or of 8 or 12 where no image of the folder leaves them; 1 for floats
    up to 1. The log states it. Files of which no range is sensible, such as negative ones, are left out.
    """
    image_size = check_sides(image_size)
    if channels not in (1, 3):
        raise UsageError(f"channels={channels} must be 1 (grey) or 3 (RGB)")
    place = place_of(path, root)
    mode = "L" if channels == 1 else "RGB"
    with found(place) as (files, skipped), ThreadPoolExecutor() as pool:
        results = pool.map(lambda file: _read(file, image_size, mode), files)
        bar = tqdm(results, "reading images", len(files), delay=2, disable=not on_terminal())
        read = list(zip(files, bar, strict=True))
    count = sum(image is not None for _, image in read)
    skipped["sheets of samples by kmgan"] += len(files) - count
    whites = _whites([image for _, image in read])
    arrays, names, left_out = [], [], []
    for file, image in read:
        pixels = _pixels(image, whites[image.kind], channels) if isinstance(image, _Deep) else image or []
        if isinstance(pixels, str):
            left_out.append(f"{file}: {pixels}")
            continue
        arrays += pixels
        names += [file.name] * len(pixels)
    for line in left_out[:NAMED]:
        log.warning("left out %s", line)
    if len(left_out) > NAMED:
        log.warning("left out %d more files that cannot be read", len(left_out) - NAMED)
    if skipped.total():
        log.info("folder:%s: skipped %s", path, told(skipped))
    if not count:
        kinds = ", ".join(sorted(s[1:] for s in SUFFIXES))
        there = f"; skipped: {told(skipped)}" if skipped.total() else ""
        raise UsageError(f"folder:{path}: no images there ({kinds}){there}; give a folder that holds some")
    if not arrays:
        raise UsageError(f"folder:{path}: none of the {count} images can be read; see the warnings above")
    stacked = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()
    labels, classes = classes_of(names) or (None, ())
    source = f"{count - len(left_out)} of {count} files of the folder {place.name}"
    for kind, white in whites.items():
        source += f"; white of {kind} greys is {white}" if white else ""
    return Images.create(
        stacked, None if labels is None else torch.tensor(labels), classes=classes, name=f"folder:{place.name}",
        kind="folder", split="all", source=source,
    )  # fmt: skip
