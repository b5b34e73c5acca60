"""scikit-learn's 1,797 real handwritten digits: small, and always at hand."""

import torch
from torch.nn import functional as F

from kmgan_lib.data.images import Images

TEST_COUNT = 297


def digits(split: str = "train") -> Images:
    """Real 8x8 digits (UCI, part of scikit-learn), enlarged to 20x20 and centred on 28x28 as MNIST's are.

    ``train`` is the first 1,500 images, ``test`` the last 297: the file's order keeps the writers of the two apart.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1) / 16  # pyright: ignore[reportAttributeAccessIssue]
    large = F.interpolate(small, size=20, mode="bicubic", align_corners=False).clamp(0, 1)
    tensor = F.pad((large * 255).round().to(torch.uint8), (4, 4, 4, 4))
    labels = torch.tensor(bunch.target, dtype=torch.int64)  # pyright: ignore[reportAttributeAccessIssue]
    part = {"train": slice(None, -TEST_COUNT), "test": slice(-TEST_COUNT, None), "all": slice(None)}[split]
    return Images.create(
        tensor[part], labels[part], classes=tuple("0123456789"), split=split, name="digits", kind="real",
        source="scikit-learn's 8x8 digits, enlarged to 28x28",
    )  # fmt: skip
