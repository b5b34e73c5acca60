"""Garments in Fashion-MNIST's ten classes, 28x28 grey on black, drawn by this project: its stand-in."""

from __future__ import annotations

import functools
from collections.abc import Callable

from torch import Tensor

from kmgan_lib.data import accessories, clothes
from kmgan_lib.data.clothes import SIZE
from kmgan_lib.data.drawing import Dice, drawn_classes
from kmgan_lib.data.images import Images

COUNTS = {"train": 10_000, "test": 2_000}
GARMENTS: dict[str, Callable[[Dice], Tensor]] = {
    "T-shirt/top": clothes.tshirt, "Trouser": clothes.trouser, "Pullover": clothes.pullover, "Dress": clothes.dress,
    "Coat": clothes.coat, "Sandal": accessories.sandal, "Shirt": clothes.shirt, "Sneaker": accessories.sneaker,
    "Bag": accessories.bag, "Ankle boot": accessories.boot,
}  # fmt: skip
CLASSES = tuple(GARMENTS)


@functools.cache
def garments(split: str = "train") -> Images:
    """Silhouettes of random proportions, cut and pattern, with folds and seams, in Fashion-MNIST's classes and order.

    Parameters
    ----------
    split : {"train", "test"}
        10,000 or 2,000 pictures, from different seeds, as many of each class.

    Returns
    -------
    Images
        Grey pictures (n, 1, 28, 28) whose provenance calls them a stand-in for ``fashion``.
    """
    seed = list(COUNTS).index(split)
    tensor, labels = drawn_classes(list(GARMENTS.values()), COUNTS[split], seed, (1, SIZE, SIZE))
    return Images.create(
        tensor, labels, classes=CLASSES, name="fashion", kind="stand-in", split=split,
        source=f"drawn garments, seed {seed}",
    )  # fmt: skip
