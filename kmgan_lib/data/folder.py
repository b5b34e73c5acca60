"""A folder, zip archive or file of arrays with your own images, of any size and mode."""

import logging
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from kmgan_lib.caller import progress
from kmgan_lib.data.files import ARRAYS, SUFFIXES, File, classes_of, found, told
from kmgan_lib.data.images import Images, check_sides
from kmgan_lib.errors import UsageError
from kmgan_lib.files import SHEET, expanded, first_line

log = logging.getLogger(__name__)
# Whatever a file is called, nothing else is opened: for PostScript, say, Pillow would start another program.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
WHITES = (255, 4095, 65535)  # of greys of more than 8 bits: the first that the whole folder stays within
NAMED = 10  # files left out that are named one by one


class _Deep(NamedTuple):
    """A grey image (s, s) of more than 8 bits, cut and resized, and its largest value before that."""

    values: np.ndarray
    high: float


def _opened(stream: IO[bytes], suffix: str) -> Image.Image | None:
    """The image in a file, not yet read; None for a sheet of samples of this library."""
    # TGA cannot be told by its first bytes: of other files it would make noise.
    image = Image.open(stream, formats=(*FORMATS, "TGA") if suffix == ".tga" else FORMATS)
    try:
        return None if image.getexif().get(ExifTags.Base.Software) == SHEET else image
    except Exception:  # a note about the image that is broken in any way, each with another error
        return image


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its camera says; as it is where nobody can tell."""
    image.load()  # a broken image is not to pass for a broken note about it
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # as above
        return image


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
    values = np.asarray(image).astype(np.float32)
    low, high, most = float(values.min()), float(values.max()), 1 if image.mode == "F" else WHITES[-1]
    if not (low >= 0 and high <= most):  # not a number is neither
        raise ValueError(f"its greys go from {low:g} to {high:g}, not within 0 to {most}: save it with 8 bits")
    scale = WHITES[-1] if image.mode == "F" else 1
    return _Deep(_cut(Image.fromarray(scale * values), size)[..., 0], scale * (1 if image.mode == "F" else high))


def _arrays(file: File) -> Iterator[np.ndarray]:
    """The images (h, w[, c]) in a file of NumPy's."""
    with file.place.open("rb") as stream:
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


def _read(file: File, size: int, mode: str) -> list[np.ndarray] | _Deep | str | None:
    """What is in one file, cut and resized; or the reason why it cannot be read; None for a sheet of samples."""
    try:
        if file.suffix in ARRAYS:
            return [_cut(_flattened(Image.fromarray(array), mode), size) for array in _arrays(file)]
        with file.place.open("rb") as stream:
            image = _opened(stream, file.suffix)
            if image is None:
                return None
            turned = _upright(image)
            return _deep(turned, size) if turned.mode[0] in "IF" else [_cut(_flattened(turned, mode), size)]
    except UnidentifiedImageError:  # its message names an object of Python's
        return f"it is no image of a kind that is read ({', '.join(FORMATS)})"
    except Exception as error:  # Pillow raises many kinds for a broken image, all of them meaning this
        return first_line(error)


def _shapes(file: File) -> list[tuple[int, int]]:
    try:
        if file.suffix in ARRAYS:
            return [(array.shape[0], array.shape[1]) for array in _arrays(file)]
        with file.place.open("rb") as stream:
            image = _opened(stream, file.suffix)
            return [] if image is None else [(image.height, image.width)]
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
    """All images below a folder, in a zip archive, ``.npy`` or ``.npz``, cut to their central square and resized.

    Subfolders are read too, links are followed. Transparency is laid on white; animated images give their first frame;
    an array holds uint8 images (n, h, w) or (n, h, w, c). Greys of more than 8 bits are scaled alike in all of a
    folder, which the log states: white is the full range of 16 bits, or of 8 or 12 where no image of the folder leaves
    them; floats are in [0, 1]. A file that cannot be read is named in a warning and left out; a `UsageError` if none
    can.

    Parameters
    ----------
    path, root
        A folder that is not at its path is looked for by its name in the root, by default ``$KMGAN_DATA``.
    image_size, channels : int
        Side of the result in pixels, and 1 for grey or 3 for RGB.

    Returns
    -------
    Images
        Images (n, channels, image_size, image_size) in the order of their paths. Where they all lie in folders side by
        side, these are their classes; else there are no labels.
    """
    image_size = check_sides(image_size)
    if channels not in (1, 3):
        raise UsageError(f"channels={channels} must be 1 (grey) or 3 (RGB)")
    place = place_of(path, root)
    mode = "L" if channels == 1 else "RGB"
    with found(place) as (files, skipped), ThreadPoolExecutor() as pool:
        results = pool.map(lambda file: _read(file, image_size, mode), files)
        bar = progress(results, "reading images", len(files))
        read = [pair for pair in zip(files, bar, strict=True) if pair[1] is not None]
    skipped["sheets of samples by kmgan"] += len(files) - len(read)
    highest = max((image.high for _, image in read if isinstance(image, _Deep)), default=0)
    white = next(top for top in WHITES if highest <= top)
    arrays, names, left_out = [], [], []
    for file, image in read:
        if isinstance(image, str):
            left_out.append(f"{file.place}: {image}")
        else:
            pixels = [_scaled(image.values, white, channels)] if isinstance(image, _Deep) else image or []
            arrays += pixels
            names += [file.name] * len(pixels)
    for line in left_out[:NAMED]:
        log.warning("left out %s", line)
    if len(left_out) > NAMED:
        log.warning("left out %d more files that cannot be read", len(left_out) - NAMED)
    if skipped.total():
        log.info("folder:%s: skipped %s", path, told(skipped))
    if not read:
        kinds = ", ".join(sorted(s[1:] for s in SUFFIXES))
        there = f"; skipped: {told(skipped)}" if skipped.total() else ""
        raise UsageError(f"folder:{path}: no images there ({kinds}){there}; give a folder that holds some")
    if not arrays:
        raise UsageError(f"folder:{path}: none of the {len(read)} images can be read; see the warnings above")
    source = f"{len(read) - len(left_out)} of {len(read)} files of the folder {place.name}"
    if highest:
        level = logging.INFO if white == WHITES[-1] else logging.WARNING
        log.log(level, "16-bit greys reach %g in this folder: %d is white in all of them", highest, white)
        source += f"; white of 16-bit greys is {white}"
    stacked = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()
    labels, classes = classes_of(names) or (None, ())
    return Images.create(
        stacked, None if labels is None else torch.tensor(labels), classes=classes, name=f"folder:{place.name}",
        kind="folder", split="all", source=source,
    )  # fmt: skip


def _scaled(values: np.ndarray, white: int, channels: int) -> np.ndarray:
    grey = np.rint((values * (255 / white)).clip(0, 255)).astype(np.uint8)
    return np.repeat(grey[..., None], channels, axis=2)
