"""The one container of data: a tensor, labels if there are any, and where it all came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Images:
    """A data set in memory.

    Attributes
    ----------
    tensor : Tensor
        Pictures (n, c, h, w) as uint8, or, for the synthetic data, points (n, 100) as float32.
    labels : Tensor or None
        Classes (n,) as int64, where they are known. No unconditional method ever sees them.
    provenance : dict
        ``name``, ``kind`` (``real``, ``stand-in``, ``synthetic`` or ``folder``), ``source``, ``split``, ``count`` and
        ``sha256`` of the tensor's bytes.
    classes : tuple of str
        Names of the classes.
    """

    tensor: Tensor
    labels: Tensor | None
    provenance: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tensor)

    @classmethod
    def create(
        cls, tensor: Tensor, labels: Tensor | None, *, classes: tuple[str, ...] = (), **provenance: Any
    ) -> Images:
        """Build from a tensor, adding its count and checksum to the provenance."""
        digest = hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
        return cls(tensor, labels, {**provenance, "count": len(tensor), "sha256": digest}, classes)

    def to(self, device: torch.device | str) -> Images:
        """The same data on another device."""
        labels = None if self.labels is None else self.labels.to(device)
        return Images(self.tensor.to(device), labels, self.provenance, self.classes)


def to_unit(tensor: Tensor) -> Tensor:
    """Pictures as float32 in [0, 1]; points pass through unchanged."""
    return tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor


def joined(parts: list[Images]) -> Images:
    """Train and test split as one data set, in this order."""
    first = parts[0]
    labels = None if first.labels is None else torch.cat([p.labels for p in parts if p.labels is not None])
    provenance = {k: v for k, v in first.provenance.items() if k not in ("count", "sha256", "split")}
    return Images.create(torch.cat([p.tensor for p in parts]), labels, classes=first.classes, split="all", **provenance)
