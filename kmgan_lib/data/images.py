"""The container of all data (a tensor, labels if any, where it came from), and images of the user's own."""

import functools
import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from kmgan_lib.errors import UsageError
from kmgan_lib.files import CONFIG, HISTORY, expanded, first_line
from kmgan_lib.progress import progress

log = logging.getLogger(__name__)
EMBEDDED = "embedded"  # what the source of the library's own test images begins with
RESIZED_AT_ONCE = 1000  # as floats the whole of CIFAR-10 at 64x64 would take 2.5 GB
# No other format is opened, whatever a file's name: for PostScript, say, Pillow would start another program.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
SUFFIXES = {".png", ".jpg", ".jpeg", ".jp2", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
NAMED = 10  # at most so many skipped files are named


@dataclass(frozen=True)
class Images:
    """A data set in memory: images (n, c, h, w) as uint8, or points (n, 100) as float32; labels (n,) are int64.

    The provenance has ``name``, ``kind`` (``real``, ``stand-in``, ``synthetic``, ``folder`` or ``images``), ``source``,
    ``split``, ``count`` and ``sha256`` of the tensor's bytes.
    """

    tensor: Tensor
    labels: Tensor | None
    provenance: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()  # their names

    def __len__(self) -> int:
        return len(self.tensor)

    @classmethod
    def create(cls, tensor: Tensor, labels: Tensor | None, *, classes: Sequence[str] = (), **provenance: Any) -> Self:
        """Build from a tensor, adding its count and checksum to the provenance."""
        digest = hashlib.sha256(tensor.contiguous().numpy().data).hexdigest()  # without a copy of the bytes
        return cls(tensor, labels, {**provenance, "count": len(tensor), "sha256": digest}, tuple(classes))

    def to(self, device: torch.device | str) -> Self:
        """The same data on another device."""
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, tensor=self.tensor.to(device), labels=labels)

    def at(self, size: int) -> Self:
        """The same images at another side length (`resized`), which is noted in the source."""
        if self.tensor.shape[-2:] == (size, size):
            return self
        kept = {k: v for k, v in self.provenance.items() if k not in ("count", "sha256")}
        kept["source"] += f", resized from {self.tensor.shape[-1]} to {size} pixels (bilinear)"
        return self.create(resized(self.tensor, size), self.labels, classes=self.classes, **kept)


def stands_in(provenance: dict[str, Any]) -> bool:
    """Whether data only stand in for the data set of their name: drawings, or just its embedded test images."""
    return provenance.get("kind") == "stand-in" or str(provenance.get("source")).startswith(EMBEDDED)


def described(provenance: dict[str, Any]) -> str:
    """Data described in a message: their source, their number, and the first digits of their hash."""
    return "{source}, {count} images, SHA-256 {sha256!s:.12}".format_map(defaultdict(str, provenance))


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, rounded; bytes stay as they are."""
    return images if images.dtype == torch.uint8 else (images.detach().cpu().clamp(0, 1) * 255).round().byte()


def to_unit(tensor: Tensor) -> Tensor:
    """Images as float32 in [0, 1]; points pass through unchanged."""
    # To divide by a Python number, CUDA multiplies by its reciprocal, which rounds differently from a CPU.
    return tensor.float().div_(tensor.new_full((), 255)) if tensor.dtype == torch.uint8 else tensor


@functools.cache
def _factors(count: int, device: torch.device) -> Tensor:
    """Odd numbers, made once: a step that copies them from the host could not be captured in a CUDA graph."""
    return (2 * torch.randint(2**62, (count,), generator=torch.Generator().manual_seed(0)) + 1).to(device)


def content_keys(images: Tensor) -> Tensor:
    """A number (n,), at least 0, for each floating-point image (n, ...): the same in any row and on any device."""
    bits = images.flatten(1).contiguous().view(torch.int32 if images.element_size() == 4 else torch.int64).long()
    mixed = (bits * _factors(bits.shape[1], bits.device)).sum(1)  # int64 wraps around
    return mixed >> 24 & 2**39 - 1  # the low bits mix badly


def resized(tensor: Tensor, size: int) -> Tensor:
    """Resize images (n, c, h, w) of uint8, bilinearly, with antialiasing and rounding (readings, row 24)."""
    if tensor.shape[-2:] == (size, size):
        return tensor
    resize = functools.partial(F.interpolate, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    return torch.cat([resize(x.float()).round_().clamp_(0, 255).byte() for x in tensor.split(RESIZED_AT_ONCE)])


def _tensor(values: Any) -> Tensor:
    try:  # PyTorch rejects arrays with negative strides, and warns about read-only ones
        numbers = values if isinstance(values, Tensor) else np.require(values, None, ["C", "E", "W"])
        return torch.as_tensor(numbers).detach().cpu()
    except (RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"images and labels must be numbers ({first_line(error)})") from None


def given(images: Tensor | np.ndarray, labels: Any = None) -> Images:
    """The caller's square images (n, c, h, h), uint8 or float in [0, 1], 1 or 3 channels, and their classes (n,).

    They are kept as uint8, floats rounded. Raises `UsageError` for other shapes, types or values.
    """
    tensor, known = _tensor(images), None if labels is None else _tensor(labels)
    real = tensor.dtype == torch.uint8 or (tensor.is_floating_point() and bool(((tensor >= 0) & (tensor <= 1)).all()))
    square = tensor.ndim == 4 and tensor.shape[1] in (1, 3) and tensor.shape[2] == tensor.shape[3] and tensor.numel()
    if not (real and square):
        wanted = "(n, c, h, h) with 1 or 3 channels, uint8 or float in [0, 1]"
        raise UsageError(f"images are {tensor.dtype} {tuple(tensor.shape)}: they must be {wanted}")
    whole = known is None or (torch.can_cast(known.dtype, torch.int64) and bool((known.long() >= 0).all()))
    if known is not None and not (whole and known.shape == tensor.shape[:1]):
        raise UsageError(f"labels {tuple(known.shape)} must be {len(tensor)} whole numbers, at least 0")
    made = Images.create(to_bytes(tensor).contiguous(), None if known is None else known.long())
    name = f"images:{made.provenance['sha256'][:12]}"
    made.provenance.update(name=name, kind="images", split="all", source=f"a {type(images).__name__} given in Python")
    return made


def _image_files(root: Path) -> Iterator[Path]:
    """Paths, relative to the root, of the image files below it; hidden ones and runs of this library are left out."""
    for place, folders, names in os.walk(root, followlinks=True):
        above = (os.path.realpath(root / parent) for parent in Path(place).relative_to(root).parents)
        if os.path.realpath(place) in above or (Path(place) != root and {HISTORY, CONFIG} <= set(names)):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith((".", "@", "__"))]
        seen = (Path(place, name).relative_to(root) for name in names if not name.startswith("."))
        yield from (path for path in seen if path.suffix.lower() in SUFFIXES)


def _cut(image: Image.Image, size: int, mode: str) -> np.ndarray:
    """The central square of an image, upright, resized, and white where transparent: (c, size, size)."""
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F"):
        raise ValueError("gray values of unknown range: save it with 8 bits")
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    square = np.asarray(ImageOps.fit(image.convert(mode), (size, size), Image.Resampling.LANCZOS))
    return square[None] if square.ndim == 2 else square.transpose(2, 0, 1)


def folder(path: str, *, image_size: int = 32, channels: int = 3) -> Images:
    """All images below a folder, cut to their central square: (n, channels, image_size, image_size), gray or RGB.

    They are sorted by path; hidden files and runs of this library are left out. If all lie in several subfolders, these
    are the classes. A file that cannot be read is named in a warning; raises `UsageError` if none can.
    """
    if channels not in (1, 3):
        raise UsageError(f"channels={channels} must be 1 or 3")
    place = expanded(path).absolute()
    if not path or not place.is_dir():
        raise UsageError(f"folder:{path}: there is no such folder; write folder:PATH with the path of your images")
    if not (files := sorted(_image_files(place))):
        raise UsageError(f"folder:{path}: no images there ({', '.join(sorted(SUFFIXES))})")

    def read(name: Path) -> np.ndarray | str:
        try:
            with Image.open(place / name, formats=FORMATS) as image:
                return _cut(image, image_size, "L" if channels == 1 else "RGB")
        except Exception as error:  # Pillow raises many kinds of error for a broken image
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
    classes = sorted(set(parents)) if len(set(parents)) > 1 and "" not in parents else []
    tensor = torch.from_numpy(np.ascontiguousarray(list(images.values())))
    labels = torch.tensor([classes.index(name) for name in parents]) if classes else None
    source = f"{len(images)} of {len(files)} files of the folder {place.name}"
    names = {"name": f"folder:{place.name}", "kind": "folder", "split": "all", "source": source}
    return Images.create(tensor, labels, classes=classes, **names)
