"""The one container of data: a tensor, labels if there are any, and where it all came from."""

import functools
import hashlib
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from kmgan_lib import checks
from kmgan_lib.errors import UsageError
from kmgan_lib.fields import shown

LARGEST = 1024  # pixels on a side; the largest network makes 64
EMBEDDED = "embedded"  # what the source begins with of test images that come with the library
RESIZED_AT_ONCE = 1000  # as floats the whole of CIFAR-10 at 64x64 would take 2.5 GB


@dataclass(frozen=True)
class Images:
    """A data set in memory.

    The tensor holds images (n, c, h, w) as uint8, or, for the synthetic data, points (n, 100) as float32; labels (n,)
    are int64, where they are known. The provenance has ``name``, ``kind`` (``real``, ``stand-in``, ``synthetic``,
    ``folder`` or ``images``), ``source``, ``split``, ``count`` and ``sha256`` of the tensor's bytes.
    """

    tensor: Tensor
    labels: Tensor | None
    provenance: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()  # their names

    def __len__(self) -> int:
        return len(self.tensor)

    @classmethod
    def create(
        cls, tensor: Tensor, labels: Tensor | None, *, classes: tuple[str, ...] = (), **provenance: Any
    ) -> "Images":
        """Build from a tensor, adding its count and checksum to the provenance."""
        digest = hashlib.sha256(tensor.contiguous().numpy().data).hexdigest()  # without a copy of the bytes
        return cls(tensor, labels, {**provenance, "count": len(tensor), "sha256": digest}, classes)

    def to(self, device: torch.device | str) -> "Images":
        """The same data on another device."""
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, tensor=self.tensor.to(device), labels=labels)

    def at(self, size: int) -> "Images":
        """The same images at another side length (`resized`), which the source then says."""
        if self.tensor.shape[-2:] == (size, size):
            return self
        how = f"resized from {self.tensor.shape[-1]} to {size} pixels (bilinear)"
        return self.changed(resized(self.tensor, size), how)

    def changed(self, tensor: Tensor, how: str) -> "Images":
        """The same data with another tensor, made of the first as the source then says."""
        kept = {k: v for k, v in self.provenance.items() if k not in ("count", "sha256")}
        kept["source"] = f"{kept['source']}, {how}"
        return Images.create(tensor, self.labels, classes=self.classes, **kept)


def stands_in(provenance: dict[str, Any]) -> bool:
    """Whether data stand in for the data set of their name: drawings, or its embedded test images alone."""
    return provenance.get("kind") == "stand-in" or str(provenance.get("source")).startswith(EMBEDDED)


def described(provenance: dict[str, Any]) -> str:
    """Data in a message: where they are from, how many, and the beginning of their hash."""
    return "{source}, {count} images, SHA-256 {sha256!s:.12}".format_map(defaultdict(str, provenance))


def check_sides(size: int) -> int:
    """The side length as Python's int; a `UsageError` if no image here has it."""
    size = checks.whole("image_size", size)
    if not 1 <= size <= LARGEST:
        raise UsageError(f"image_size={shown(size)} must be between 1 and {LARGEST} pixels")
    return size


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, rounded; bytes stay as they are."""
    return images if images.dtype == torch.uint8 else (images.detach().cpu().clamp(0, 1) * 255).round().byte()


def to_unit(tensor: Tensor) -> Tensor:
    """Images as float32 in [0, 1]; points pass through unchanged."""
    return tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor


@functools.cache
def _factors(count: int, device: torch.device) -> Tensor:
    """Odd numbers, made once: a step that copies them from the host could not be captured."""
    return (2 * torch.randint(2**62, (count,), generator=torch.Generator().manual_seed(0)) + 1).to(device)


def content_keys(images: Tensor) -> Tensor:
    """A number (n,), at least 0, for each floating-point image (n, ...): equal for equal images, arbitrary otherwise.

    A partition or an order made from it is the same however the rows are arranged, and on every device.
    """
    bits = images.flatten(1).contiguous().view(torch.int32 if images.element_size() == 4 else torch.int64).long()
    mixed = (bits * _factors(bits.shape[1], bits.device)).sum(1)  # int64 wraps around
    return mixed >> 24 & 2**39 - 1  # the low bits mix badly


def resized(tensor: Tensor, size: int) -> Tensor:
    """Images (n, c, h, w) of uint8 at another side length in pixels, by bilinear interpolation (readings, row 24).

    Where images shrink, the filter widens with the factor (antialiasing). Values are rounded.
    """
    if tensor.shape[-2:] == (size, size):
        return tensor
    out = torch.empty(*tensor.shape[:2], size, size, dtype=torch.uint8, device=tensor.device)
    for source, target in zip(tensor.split(RESIZED_AT_ONCE), out.split(RESIZED_AT_ONCE), strict=True):
        large = F.interpolate(source.float(), (size, size), mode="bilinear", align_corners=False, antialias=True)
        target.copy_(large.round_().clamp_(0, 255))
    return out
