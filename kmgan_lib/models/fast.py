"""The layers of the networks, computed the quick way: the same sums as PyTorch's own layers, in another order.

Each is a subclass of PyTorch's layer, with its parameters, and knows two things more: how a layer takes labels without
the constant maps that a join would make, and which form of it this processor computes fastest.
"""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kmgan_lib.models.layers import one_hot, require_labels

# Weights of a linear layer from which on oneDNN is quicker; on narrow ones its conversions cost 9% of a run.
WIDE = 2**20
FEW = 4  # picture channels: a convolution to or from so few leaves the processor's vector units idle


def _phases(weight: Tensor) -> Tensor:
    """5x5 kernels (a, b, 5, 5) as the four 3x3 kernels (a, b, 3, 2, 3, 2) that meet even and odd rows and columns."""
    return F.pad(weight, (0, 1, 0, 1)).unflatten(3, (3, 2)).unflatten(2, (3, 2))


def sub_pixel_up(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv_transpose2d` with 5x5 kernels and stride 2, as a 3x3 convolution to four times the channels.

    Every output pixel sees at most 3x3 input pixels; which taps of the 5x5 kernel they meet depends on whether its row
    and column are even or odd, so there are four kernels, whose outputs are shuffled into one picture. x (b, c, h, w),
    weights (c, m, 5, 5) and biases (m,) to (b, m, 2 h, 2 w).
    """
    kernels = _phases(weight).flip(2, 4).permute(1, 3, 5, 0, 2, 4).flatten(0, 2)
    return F.pixel_shuffle(F.conv2d(x, kernels, None if bias is None else bias.repeat_interleave(4), padding=1), 2)


def sub_pixel_down(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv2d` with 5x5 kernels and stride 2, as a 3x3 convolution from four times the channels.

    x (b, c, h, w) with h and w even, weights (m, c, 5, 5) and biases (m,) to (b, m, h / 2, w / 2).
    """
    kernels = _phases(weight).permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
    return F.conv2d(F.pixel_unshuffle(x, 2), kernels, bias, padding=1)


def _plus_labels(x: Tensor, table: Tensor, labels: Tensor) -> Tensor:
    """Add to each sample of x (b, m, h, w) its label's row of the table (classes, m, h, w)."""
    hot = one_hot(labels, len(table), table.dtype)
    rows = table.permute(0, 2, 3, 1)
    return x + (hot @ rows.flatten(1)).unflatten(1, rows.shape[1:]).permute(0, 3, 1, 2)


class Up(nn.ConvTranspose2d):
    """Transposed 5x5 convolution that doubles the side length, from ``before`` to ``after`` channels.

    With classes their one-hot label joins the input as constant maps. A constant map adds the same to every sample of a
    class, so the maps are convolved once for each class instead of once a sample.
    """

    def __init__(self, before: int, after: int, classes: int = 0):
        super().__init__(before + classes, after, 5, stride=2, padding=2, output_padding=1)
        self.classes = classes

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Maps (b, c, h, w) and, if conditional, labels (b,) to maps (b, m, 2 h, 2 w)."""
        mine, theirs = self.weight.tensor_split([x.shape[1]])
        y = self._one(x, mine, self.bias)
        if not self.classes:
            return y
        return _plus_labels(y, self._one(label_maps(self.classes, x), theirs, None), require_labels(labels))

    def _one(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if x.device.type == "cpu" and self.out_channels <= FEW:
            return sub_pixel_up(x, weight, bias)
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=2, output_padding=1)


class Down(nn.Conv2d):
    """5x5 convolution that halves the side length; parameters as in `Up`."""

    def __init__(self, before: int, after: int, classes: int = 0):
        super().__init__(before + classes, after, 5, stride=2, padding=2)
        self.classes = classes

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Maps (b, c, h, w) and, if conditional, labels (b,) to maps (b, m, h / 2, w / 2)."""
        mine, theirs = self.weight.tensor_split([x.shape[1]], 1)
        # The gradient of a picture is what PyTorch's form computes slowly; where none is asked for, it is the faster.
        quick = x.device.type == "cpu" and x.shape[1] <= FEW and x.requires_grad
        one = sub_pixel_down if quick else self._one
        if not self.classes:
            return one(x, mine, self.bias)
        table = self._one(label_maps(self.classes, x), theirs, None)
        return _plus_labels(one(x, mine, self.bias), table, require_labels(labels))

    def _one(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, weight, bias, stride=2, padding=2)


def label_maps(classes: int, like: Tensor) -> Tensor:
    """The constant maps (classes, classes, h, w) of every class once, in the form of x (b, c, h, w)."""
    eye = torch.eye(classes, dtype=like.dtype, device=like.device)
    return eye[:, :, None, None].expand(-1, -1, *like.shape[2:]).contiguous(memory_format=torch.channels_last)


@functools.cache
def _one_dnn_is_quicker() -> bool:
    """Whether this is an AMD processor, on which MKL, PyTorch's choice, leaves its best kernels unused."""
    try:
        said = Path("/proc/cpuinfo").read_text()
    except OSError:  # another system than Linux
        said = platform.processor()
    return "AuthenticAMD" in said and torch.backends.mkldnn.is_available()


class _OneDNNLinear(torch.autograd.Function):
    """`F.linear` by oneDNN, whose kernels for few rows are half as fast again as PyTorch's choice on AMD processors."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.ops.aten.mkldnn_linear(x.to_mkldnn(), weight, bias).to_dense()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient, needed = gradients[0].contiguous(), ctx.needs_input_grad
        for_x = for_weight = for_bias = None
        if needed[0] and torch.is_grad_enabled():  # the gradient's own gradient is asked for, as by WGAN-GP's penalty
            for_x = gradient @ weight
        elif needed[0]:
            for_x = torch.ops.aten.mkldnn_linear_backward_input(x.shape, gradient.to_mkldnn(), weight).to_dense()
        if needed[1]:
            for_weight = gradient.T @ x
        if needed[2]:
            for_bias = gradient.sum(0)
        return for_x, for_weight, for_bias


class Linear(nn.Linear):
    """Fully connected layer."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Units (b, n) to units (b, m)."""
        quick = input.device.type == "cpu" and input.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if (
            quick
            and self.weight.numel() >= WIDE
            and self.bias is not None
            and input.ndim == 2
            and _one_dnn_is_quicker()
        ):
            return _OneDNNLinear.apply(input.contiguous(), self.weight, self.bias)
        return super().forward(input)
