"""What all networks share: width, labels as inputs, 5x5 convolutions, initial weights, heads, batch statistics.

A convolution is PyTorch's own layer that knows two things more: how it takes labels without the constant maps that a
join would make, and its quicker form on a CPU for the few channels of an image.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import spectral_norm

from kmgan_lib.distributed import all_gather, shard, world_size

FEW = 4  # channels of an image: a convolution to or from so few leaves a processor's vector units idle


def scale_width(channels: int, width: float) -> int:
    """Number of channels after the width factor: exact at 1, else a multiple of 8 (vector units) and at least 8."""
    return channels if width == 1 else max(8, 8 * round(channels * width / 8))


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Labels (b,) as rows (b, classes) with a one at the label, without `F.one_hot`'s wait for the device."""
    return (labels.unsqueeze(1) == torch.arange(classes, device=labels.device)).to(dtype)


def concat_labels(x: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """A layer's input (b, n) with the one-hot labels of its rows appended; ``x`` itself if there are no classes."""
    return torch.cat([x, one_hot(require_labels(labels), classes, x.dtype)], 1) if classes else x


def require_labels(labels: Tensor | None) -> Tensor:
    """The labels that a conditional network was given; a `ValueError` if there are none."""
    if labels is None:
        raise ValueError("a conditional network needs labels")
    return labels


def _phases(weight: Tensor) -> Tensor:
    """5x5 kernels (a, b, 5, 5) as the four 3x3 kernels (a, b, 3, 2, 3, 2) that meet even and odd rows and columns."""
    return F.pad(weight, (0, 1, 0, 1)).unflatten(3, (3, 2)).unflatten(2, (3, 2))


def sub_pixel_up(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv_transpose2d` with 5x5 kernels and stride 2, as a 3x3 convolution to four times the channels.

    An output pixel meets other taps of the kernel in even and odd rows and columns: four kernels, whose outputs are
    shuffled into one image. x (b, c, h, w), weights (c, m, 5, 5) to (b, m, 2 h, 2 w).
    """
    kernels = _phases(weight).flip(2, 4).permute(1, 3, 5, 0, 2, 4).flatten(0, 2)
    return F.pixel_shuffle(F.conv2d(x, kernels, None if bias is None else bias.repeat_interleave(4), padding=1), 2)


def sub_pixel_down(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv2d` with 5x5 kernels and stride 2, as a 3x3 convolution from four times the channels; h and w even."""
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
        # The gradient of an image is what PyTorch's form computes slowly; where none is asked for, it is the faster.
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


def initialise(module: nn.Module) -> None:
    """Weights as in carpedm20/DCGAN-tensorflow: N(0, 0.02), truncated at two deviations for convolutions; biases 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.trunc_normal_(layer.weight, std=0.02, a=-0.04, b=0.04)
        elif isinstance(layer, (nn.Linear, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, std=0.02)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def to_float32(x: Tensor) -> Tensor:
    """A tensor in float32 or float64: bf16 rounds everything near 1 to 1, where a sigmoid has no gradient."""
    return x if x.dtype == torch.float64 else x.float()


class Float32Sequential(nn.Sequential):
    """Layers that compute in float32 where those before them run in bf16: features are told apart by their digits."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Units (b, n) to units (b, m)."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(to_float32(input))


def feature_head(hidden: int, head: str, feature_dim: int) -> nn.Module:
    """The last layers of a discriminator, from ``hidden`` units to features (``feature_dim``, d).

    ``penultimate``: the units themselves; ``bn-relu``: FC d, batch normalisation and ReLU (as Table 3 ends);
    ``sigmoid``: FC d and sigmoid (Tables 2, 5).
    """
    if head == "penultimate":
        return nn.Identity()
    if head == "bn-relu":
        return Float32Sequential(nn.Linear(hidden, feature_dim), nn.BatchNorm1d(feature_dim), nn.ReLU())
    return Float32Sequential(nn.Linear(hidden, feature_dim), nn.Sigmoid())


def without_batch_norm(
    net: nn.Module, instead: Callable[[], nn.Module], weights: Callable[[Any], object] | None = None
) -> nn.Module:
    """The network with something else in the place of batch normalisation, and a normalisation of weights, in place."""
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(module, name, instead())
            elif weights and isinstance(child, (nn.Conv2d, nn.Linear)):
                weights(child)
    return net


def normalised(net: nn.Module, norm: str) -> nn.Module:
    """The network with another normalisation than that of batches, in place.

    ``none``: without batch normalisation. ``spectral``: besides, the weights of convolutions and linear layers divided
    by their largest singular value (Miyato et al., 2018), which one step of the power method a pass follows.
    """
    if norm == "batch":
        return net
    return without_batch_norm(net, nn.Identity, spectral_norm if norm == "spectral" else None)


@torch.no_grad()
def widen_weights(net: nn.Module, full: nn.Module) -> None:
    r"""Multiply initial weights by :math:`\sqrt{n_{full} / n}`, n the inputs of each layer, in place.

    N(0, 0.02) was chosen for layers of full width; the outputs of a narrow layer, which sums fewer inputs, shrink.
    ``full`` is the network at full width; it may lie on the meta device.
    """
    layers = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    for layer, wide in zip(net.modules(), full.modules(), strict=True):
        if isinstance(layer, layers) and isinstance(wide, layers):
            inputs = 0 if isinstance(layer, nn.ConvTranspose2d) else 1
            layer.weight.mul_((wide.weight.shape[inputs] / layer.weight.shape[inputs]) ** 0.5)


def parameter_count(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def reestimate_batch_norm(module: nn.Module, batches: Callable[[int], object], count: int) -> None:
    """Replace the running statistics of every batch normalisation by plain averages over ``count`` fresh batches.

    In training they mix real and generated batches and lag behind the weights (readings, row 22). ``batches(i)`` runs
    the i-th batch through the module, which is left in evaluation mode.
    """
    norms = {m: m.momentum for m in module.modules() if isinstance(m, _BatchNorm)}
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's cumulative average
    module.train()
    with torch.no_grad():
        for i in range(count):
            batches(i)
    for norm, momentum in norms.items():
        norm.momentum = momentum
    module.eval()


class Synchronised(nn.SyncBatchNorm):
    """PyTorch's, which would ask the other ranks even where this one works `alone`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002, D102
        return super().forward(input) if world_size() > 1 else _BatchNorm.forward(self, input)


def sync_batch_norm(net: nn.Module, cuda: bool) -> nn.Module:
    """The network with batch normalisation over the rows of all ranks; parameters and names stay."""
    net = nn.SyncBatchNorm.convert_sync_batchnorm(net) if cuda else net
    for module in net.modules():
        if isinstance(module, nn.SyncBatchNorm):
            module.__class__ = Synchronised  # PyTorch converts to its own class alone
        elif isinstance(module, _BatchNorm):  # PyTorch's works on GPUs only; on CPUs every rank takes the whole batch
            module.register_forward_pre_hook(lambda norm, inputs: all_gather(inputs[0]) if norm.training else None)
            module.register_forward_hook(lambda norm, _, output: shard(output) if norm.training else None)  # pyright: ignore[reportArgumentType]
    return net
