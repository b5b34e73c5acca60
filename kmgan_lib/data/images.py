"""The one container of data: a tensor, labels if there are any, and where it all came from."""

import functools
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kmgan_lib.errors import UsageError
from kmgan_lib.files import first_line

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
    def create(cls, tensor: Tensor, labels: Tensor | None, *, classes: Sequence[str] = (), **provenance: Any) -> Self:
        """Build from a tensor, adding its count and checksum to the provenance."""
        digest = hashlib.sha256(tensor.contiguous().numpy().data).hexdigest()  # without a copy of the bytes
        return cls(tensor, labels, {**provenance, "count": len(tensor), "sha256": digest}, tuple(classes))

    def to(self, device: torch.device | str) -> Self:
        """The same data on another device."""
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, tensor=self.tensor.to(device), labels=labels)

    def at(self, size: int) -> Self:
        """The same images at another side length (`resized`), which the source then says."""
        if self.tensor.shape[-2:] == (size, size):
            return self
        kept = {k: v for k, v in self.provenance.items() if k not in ("count", "sha256")}
        kept["source"] += f", resized from {self.tensor.shape[-1]} to {size} pixels (bilinear)"
        return self.create(resized(self.tensor, size), self.labels, classes=self.classes, **kept)


def _tensor(values: Any) -> Tensor:
    try:  # PyTorch takes no array that runs backwards
        return torch.as_tensor(values if isinstance(values, Tensor) else np.ascontiguousarray(values)).detach().cpu()
    except (RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"images and labels must be numbers ({first_line(error)})") from None


def given(images: Tensor | np.ndarray, labels: Any = None) -> Images:
    """Square images (n, c, h, h) of a caller, uint8 or float in [0, 1], with 1 or 3 channels, and their classes (n,).

    They are kept as uint8, floats rounded; the name is ``images:`` and the beginning of their SHA-256. A `UsageError`
    if shapes, types or values are others.
    """
    tensor, known = _tensor(images), None if labels is None else _tensor(labels)
    real = tensor.dtype == torch.uint8 or (tensor.is_floating_point() and bool(((tensor >= 0) & (tensor <= 1)).all()))
    square = tensor.ndim == 4 and tensor.shape[1] in (1, 3) and tensor.shape[2] == tensor.shape[3] and tensor.numel()
    if not (real and square):
        wanted = "(n, c, h, h) with 1 or 3 channels, uint8 or float in [0, 1]"
        raise UsageError(f"images are {tensor.dtype} {tuple(tensor.shape)}: they must be {wanted}")
    if known is not None and (known.shape != tensor.shape[:1] or known.is_floating_point() or bool((known < 0).any())):
        raise UsageError(f"labels {tuple(known.shape)} must be {len(tensor)} whole numbers, at least 0")
    made = Images.create(to_bytes(tensor).contiguous(), None if known is None else known.long())
    name = f"images:{made.provenance['sha256'][:12]}"
    made.provenance.update(name=name, kind="images", split="all", source=f"a {type(images).__name__} given in Python")
    return made


def stands_in(provenance: dict[str, Any]) -> bool:
    """Whether data stand in for the data set of their name: drawings, or its embedded test images alone."""
    return provenance.get("kind") == "stand-in" or str(provenance.get("source")).startswith(EMBEDDED)


def described(provenance: dict[str, Any]) -> str:
    """Data in a message: where they are from, how many, and the beginning of their hash."""
    return "{source}, {count} images, SHA-256 {sha256!s:.12}".format_map(defaultdict(str, provenance))


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, rounded; bytes stay as they are."""
    return images if images.dtype == torch.uint8 else (images.detach().cpu().clamp(0, 1) * 255).round().byte()


def to_unit(tensor: Tensor) -> Tensor:
    """Images as float32 in [0, 1]; points pass through unchanged."""
    # By a plain number CUDA would multiply with the reciprocal, which rounds otherwise than a CPU.
    return tensor.float().div_(tensor.new_full((), 255)) if tensor.dtype == torch.uint8 else tensor


@functools.cache
def _factors(count: int, device: torch.device) -> Tensor:
    """Odd numbers, made once: a step that copies them from the host could not be captured."""
    return (2 * torch.randint(2**62, (count,), generator=torch.Generator().manual_seed(0)) + 1).to(device)


def content_keys(images: Tensor) -> Tensor:
    """A number (n,), at least 0, for each floating-point image (n, ...): equal for equal images, arbitrary otherwise.

    What is made from it is the same however the rows are arranged, and on every device.
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
    resize = functools.partial(F.interpolate, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    return torch.cat([resize(x.float()).round_().clamp_(0, 255).byte() for x in tensor.split(RESIZED_AT_ONCE)])
