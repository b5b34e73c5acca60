"""Images that are in memory already: a tensor, an array, or a data set of PyTorch's."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from kmgan_lib.caller import progress
from kmgan_lib.data.images import Images, check_sides, to_bytes
from kmgan_lib.errors import UsageError
from kmgan_lib.files import first_line

Given = Images | Tensor | np.ndarray | Dataset[Any]
SHAPE = "images must be (n, c, h, w) with 1 or 3 channels, uint8 or float in [0, 1]"
LOST = (
    "images that were handed over in Python are not kept: hand them over again, to train by "
    "kmgan_lib.train(images=...), to measure as `run.images = kmgan_lib.data.load(images)`"
)


def given(images: Given, labels: Any = None, *, image_size: int | None = None, channels: int | None = None) -> Images:
    """Images of a caller, as the rest of the library has them; a `UsageError` if shapes, types or values are others.

    Parameters
    ----------
    images : Tensor, array, Dataset or Images
        (n, c, h, w) with 1 or 3 channels, uint8 or float in [0, 1]. A data set of PyTorch's gives such images one by
        one, or as Pillow has them, alone or each with a label; all have one size.
    labels : Tensor, array or sequence of int, optional
        Classes (n,), in place of those of a data set.
    image_size, channels : int, optional
        The central square is resized to this side (`kmgan_lib.data.images.resized`); images of other channels are
        refused.

    Returns
    -------
    Images
        uint8, floats rounded. The name is ``images:`` and the beginning of the SHA-256 of the bytes before resizing.
    """
    if isinstance(images, Images) and "sha256" not in images.provenance:  # made by hand
        images, labels = images.tensor, images.labels if labels is None else labels
    found = images if isinstance(images, Images) else _collected(images, labels)
    if isinstance(images, Images) and labels is not None:
        found = replace(found, labels=_labels(labels, len(found)))
    if found.tensor.ndim != 4:
        raise UsageError(f"images are {tuple(found.tensor.shape)}: {SHAPE}")
    if channels not in (None, found.tensor.shape[1]):
        raise UsageError(f"channels={channels}, and the images have {found.tensor.shape[1]}: convert them first")
    if image_size is None:
        return found
    height, width = found.tensor.shape[-2:]
    if height != width:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = found.tensor[..., top : top + side, left : left + side].contiguous()
        found = found.changed(square, "cut to the central square")
    return found.at(check_sides(image_size))


def _collected(images: Tensor | np.ndarray | Dataset[Any], labels: Any) -> Images:
    source, classes = f"a {type(images).__name__} given in Python", ()
    try:
        if isinstance(images, Dataset):
            classes = tuple(map(str, getattr(images, "classes", ())))
            images, own = _items(images)
            labels = own if labels is None else labels
        tensor = torch.as_tensor(images).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"images are a {type(images).__name__} ({first_line(error)}): {SHAPE}") from None
    unit = tensor.is_floating_point() and tensor.numel() > 0 and bool(((tensor >= 0) & (tensor <= 1)).all())
    if (
        tensor.ndim != 4
        or tensor.shape[1] not in (1, 3)
        or 0 in tensor.shape
        or not (unit or tensor.dtype == torch.uint8)
    ):
        raise UsageError(f"images are {tensor.dtype} {tuple(tensor.shape)}, or have other values: {SHAPE}")
    pixels = to_bytes(tensor.float() if unit else tensor).contiguous()
    named = Images.create(pixels, None if labels is None else _labels(labels, len(pixels)), classes=classes)
    digest = named.provenance["sha256"]
    named.provenance.update(name=f"images:{digest[:12]}", kind="images", split="all", source=source)
    return named


def _labels(labels: Any, count: int) -> Tensor:
    try:
        tensor = torch.as_tensor(labels).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"labels are no whole numbers ({first_line(error)})") from None
    whole = not tensor.is_floating_point() and not tensor.is_complex()
    if tensor.shape != (count,) or not whole or bool((tensor < 0).any()):
        raise UsageError(
            f"labels are {tensor.dtype} {tuple(tensor.shape)}: they must be {count} whole numbers, at least 0"
        )
    return tensor.long()


def _items(dataset: Any) -> tuple[Tensor, list[int] | None]:
    """All images of a data set, and their labels if each has one."""
    from torchvision.transforms.functional import pil_to_tensor

    images, labels = list[Tensor](), list[Any]()
    for i in progress(range(len(dataset)), "reading images"):
        image, *rest = item if isinstance(item := dataset[i], (tuple, list)) else (item,)
        if hasattr(image, "getbands"):  # Pillow's
            image = pil_to_tensor(image if image.mode in ("L", "RGB") else image.convert("RGB"))
        images.append(torch.as_tensor(image))
        labels += rest[:1]
    known = len(labels) == len(images) and all(isinstance(y, int) or getattr(y, "shape", None) == () for y in labels)
    return torch.stack(images), [int(y) for y in labels] if known else None
