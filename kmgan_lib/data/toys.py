"""Small data that come with the library: synthetic points (Section 4.1), and real digits of scikit-learn."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kmgan_lib.data.images import Images

MEANS = 10.0 * torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
DEVIATION = 1.5
POINTS_PER_CLASS = 2_500
TEST_COUNT = 297  # of scikit-learn's digits


def hidden_points(seed: int = 0, points_per_class: int = POINTS_PER_CLASS) -> tuple[Tensor, Tensor]:
    """The two-dimensional structure that nobody observes (Fig. 2a): points h (n, 2) and their classes (n,).

    Means and scale are those of the data generator of DCN (Yang et al., 2017), whose wording and network the paper
    shares. The paper wants different covariance matrices: each class has 1.5 as the geometric mean of its two
    deviations, stretched by a random factor of at most 1.5 and turned by a random angle (ours).
    """
    generator = torch.Generator().manual_seed(seed)
    points = []
    for mean in MEANS:
        stretch = 1 + 0.5 * torch.rand((), generator=generator)
        angle = torch.pi * torch.rand((), generator=generator)
        turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
        scale = DEVIATION * torch.stack([stretch, 1 / stretch])
        points.append(mean + (torch.randn(points_per_class, 2, generator=generator) * scale) @ turn.T)
    return torch.cat(points), torch.arange(4).repeat_interleave(points_per_class)


def synthetic(seed: int = 0, points_per_class: int = POINTS_PER_CLASS) -> Images:
    r"""The observed points :math:`x = \sigma(W_2\,\sigma(W_1 h)) \in \mathbb{R}^{100}` (n, 100), and their classes.

    The mapping is Table 2's (FC 10 sigmoid, FC 100 sigmoid) with standard normal weights and no biases, as in DCN's
    data generator. The seed fixes points and mapping; the paper has 10,000 points in all.
    """
    points, labels = hidden_points(seed, points_per_class)
    generator = torch.Generator().manual_seed(seed + 1_000_003)
    first = torch.randn(2, 10, generator=generator)
    second = torch.randn(10, 100, generator=generator)
    mapped = torch.sigmoid(torch.sigmoid(points @ first) @ second)
    return Images.create(
        mapped, labels, classes=("A", "B", "C", "D"), name="synthetic", kind="synthetic", split="all",
        source=f"four Gaussians mapped by M of Table 2, seed {seed}",
    )  # fmt: skip


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
