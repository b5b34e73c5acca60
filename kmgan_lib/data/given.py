"""Images that are in memory already: a tensor, an array, or a data set of PyTorch's."""

from collections.abc import Sized
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
        (n, c, h, w) with 1 or 3 channels, uint8 or float in [0, 1]. A data set of PyTorch's gives images of one size,
        as tensors or as Pillow has them, alone or each with a label.
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
    if not isinstance(images, Images):
        found = _collected(images, labels)
    elif images.tensor.ndim != 4:
        raise UsageError(f"images are {tuple(images.tensor.shape)}: {SHAPE}")
    else:
        known = images.labels if labels is None else _labels(labels, len(images))
        found = Images(images.tensor, known, images.provenance, images.classes)
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
    if isinstance(images, Dataset):
        classes = tuple(map(str, getattr(images, "classes", ())))
        images, own = _items(images)
        labels = own if labels is None else labels
    try:
        tensor = torch.as_tensor(images).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"images are a {type(images).__name__} ({first_line(error)}): {SHAPE}") from None
    if tensor.ndim != 4 or tensor.shape[1] not in (1, 3) or 0 in tensor.shape:
        raise UsageError(f"images are {tuple(tensor.shape)}: {SHAPE}")
    pixels = _bytes(tensor).contiguous()
    named = Images.create(pixels, None)
    return Images.create(
        pixels, None if labels is None else _labels(labels, len(pixels)), classes=classes,
        name=f"images:{named.provenance['sha256'][:12]}", kind="images", split="all", source=source,
    )  # fmt: skip


def _bytes(tensor: Tensor) -> Tensor:
    if tensor.dtype == torch.uint8:
        return tensor
    if not tensor.is_floating_point():
        raise UsageError(f"images are {tensor.dtype}: {SHAPE}")
    low, high = float(tensor.min()), float(tensor.max())
    if not (low >= 0 and high <= 1):  # not a number is neither
        raise UsageError(f"images have values from {low:g} to {high:g}: {SHAPE}")
    return to_bytes(tensor.float())


def _labels(labels: Any, count: int) -> Tensor:
    try:
        tensor = torch.as_tensor(labels).detach().cpu()
        whole = not tensor.is_floating_point() and not tensor.is_complex()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"labels are no whole numbers ({first_line(error)})") from None
    if tensor.shape != (count,) or not whole or bool((tensor < 0).any()):
        raise UsageError(
            f"labels are {tensor.dtype} {tuple(tensor.shape)}: they must be {count} whole numbers, at least 0, one an "
            "image"
        )
    return tensor.long()


def _items(dataset: Dataset[Any]) -> tuple[Tensor, list[int] | None]:
    """All images of a data set, and their labels if each has one."""
    from torchvision.transforms.functional import pil_to_tensor

    if not isinstance(dataset, Sized) or not len(dataset):
        raise UsageError(f"{type(dataset).__name__} has no images, or no len() that says how many: {SHAPE}")
    images: list[Tensor] = []
    labels: list[Any] = []
    for i in progress(range(len(dataset)), "reading images"):
        item = dataset[i]
        image, *rest = item if isinstance(item, (tuple, list)) else (item,)
        if hasattr(image, "getbands"):  # Pillow's
            image = pil_to_tensor(image if image.mode in ("L", "RGB") else image.convert("RGB"))
        image = torch.as_tensor(image)
        if images and (image.shape, image.dtype) != (images[0].shape, images[0].dtype):
            raise UsageError(
                f"image {i} of {type(dataset).__name__} is {image.dtype} {tuple(image.shape)} and image 0 "
                f"{images[0].dtype} {tuple(images[0].shape)}: give it a transform that makes them alike"
            )
        images.append(image)
        labels += rest[:1]
    known = len(labels) == len(images) and all(isinstance(y, int) or getattr(y, "shape", None) == () for y in labels)
    return torch.stack(images), [int(y) for y in labels] if known else None
