"""A folder or zip archive with your own images, of any size and mode."""

import logging
import os
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from kmgan_lib.caller import progress
from kmgan_lib.data.images import Images, check_sides
from kmgan_lib.errors import UsageError
from kmgan_lib.files import CONFIG, HISTORY, expanded, first_line

log = logging.getLogger(__name__)
# Whatever a file is called, nothing else is opened: for PostScript, say, Pillow would start another program.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
# What network disks and systems leave beside images: thumbnails, copies, what was deleted. Lower case.
SYSTEM = {"@eadir", "@recycle", "#recycle", "#snapshot", "__macosx", "$recycle.bin", "lost+found"}
NAMED = 10  # files left out that are named
WHITE = 65535  # of greys of more than 8 bits


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM


def _image_files(root: Path) -> Iterator[PurePath]:
    """Paths of the image files below a folder or in an archive; hidden ones and runs of this library are left out."""
    for name in _in_folder(root) if root.is_dir() else map(PurePosixPath, zipfile.Path(root).root.namelist()):
        if name.suffix.lower() in SUFFIXES and not any(map(_hidden, name.parts)):
            yield name


def _in_folder(root: Path) -> Iterator[PurePath]:
    """All files, relative to the root; links are followed, each folder is read once."""

    def unreadable(error: OSError) -> None:
        log.warning("left out %s: %s", error.filename, first_line(error))

    seen = set(root.resolve().parents)  # a link to one of these leads back here, by way of everything else
    for place, folders, names in os.walk(root, onerror=unreadable, followlinks=True):
        at = Path(place)
        a_run = at != root and HISTORY in names and CONFIG in names
        if at.resolve() in seen or a_run:
            folders.clear()
            continue
        seen.add(at.resolve())
        folders.sort(key=lambda name: (os.path.islink(at / name), name))  # a folder wins over a link to it beside it
        folders[:] = [name for name in folders if not _hidden(name)]
        yield from ((at / name).relative_to(root) for name in names)


def classes_of(names: Sequence[PurePath]) -> tuple[list[int], tuple[str, ...]] | None:
    """Class numbers of files, and names of the classes: the folders side by side that hold all of them.

    They are looked for in the deepest folder that holds all files. None if a file lies there itself.
    """
    shared = len(PurePath(os.path.commonpath([str(name.parent) for name in names])).parts)
    if any(len(name.parts) < shared + 2 for name in names):
        return None
    folders = [name.parts[shared] for name in names]
    classes = tuple(sorted(set(folders)))
    return [classes.index(folder) for folder in folders], classes


def _cut(image: Image.Image, size: int, mode: str) -> np.ndarray:
    """The upright image's central square, resized, transparency on white: (c, size, size)."""
    image.load()  # a broken image is not to pass for a broken note about it
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # a note about the image that is broken in any way, each with another error
        log.debug("an orientation that cannot be read")
    if image.mode[0] in "IF":
        values = np.asarray(image).astype(np.float32) / (1 if image.mode == "F" else WHITE)
        if not (values.min() >= 0 and values.max() <= 1):  # not a number is neither
            raise ValueError("its greys leave the range from black to white: save it with 8 bits")
        image = Image.fromarray(np.rint(255 * values).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    square = np.asarray(ImageOps.fit(image.convert(mode), (size, size), Image.Resampling.LANCZOS))
    return square[None] if square.ndim == 2 else square.transpose(2, 0, 1)


def place_of(path: str, root: str | Path | None = None) -> Path:
    """Where a folder or archive of images is: at its path, or by its name in the data root; else a `UsageError`."""
    place, root = expanded(path), root or os.environ.get("KMGAN_DATA")
    for there in [place, *([expanded(root) / place.name] if root else [])] if path.strip() else []:
        if os.path.isdir(there) or (os.path.isfile(there) and zipfile.is_zipfile(there)):
            return Path(os.path.abspath(there))
    raise UsageError(
        f"folder:{path}: there is no such folder or zip archive; write folder:PATH with the path of your images, or "
        "--data-root with the folder that they are in now"
    )


def folder(path: str, *, image_size: int = 32, channels: int = 3, root: str | Path | None = None) -> Images:
    """All images below a folder or in a zip archive, cut to their central square and resized.

    Subfolders are read too, links are followed; hidden files and the runs of this library are left out. Transparency is
    laid on white; animated images give their first frame; greys of 16 bits are scaled to 8, floats are in [0, 1]. A
    file that cannot be read is named in a warning and left out; a `UsageError` if none can.

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
    files = sorted(_image_files(place))
    if not files:
        raise UsageError(
            f"folder:{path}: no images there ({', '.join(sorted(SUFFIXES))}); give a folder that holds some"
        )
    base = place if place.is_dir() else zipfile.Path(place)

    def read(name: PurePath) -> np.ndarray | str:
        try:
            with (base / str(name)).open("rb") as stream, Image.open(stream, formats=FORMATS) as image:
                return _cut(image, image_size, "L" if channels == 1 else "RGB")
        except UnidentifiedImageError:  # its message names an object of Python's
            return f"it is no image of a kind that is read ({', '.join(FORMATS)})"
        except Exception as error:  # Pillow raises many kinds for a broken image, all of them meaning this
            return first_line(error)

    with ThreadPoolExecutor() as pool:
        found = list(zip(files, progress(pool.map(read, files), "reading images", len(files)), strict=True))
    left_out = [f"{place / name}: {why}" for name, why in found if isinstance(why, str)]
    for line in left_out[:NAMED]:
        log.warning("left out %s", line)
    if len(left_out) > NAMED:
        log.warning("left out %d more files that cannot be read", len(left_out) - NAMED)
    images = {name: pixels for name, pixels in found if not isinstance(pixels, str)}
    if not images:
        raise UsageError(f"folder:{path}: none of the {len(files)} images can be read; see the warnings above")
    labels, classes = classes_of(list(images)) or (None, ())
    return Images.create(
        torch.from_numpy(np.ascontiguousarray(list(images.values()))), None if labels is None else torch.tensor(labels),
        classes=classes, name=f"folder:{place.name}", kind="folder", split="all",
        source=f"{len(images)} of {len(files)} files of the folder {place.name}",
    )  # fmt: skip
