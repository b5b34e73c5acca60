"""What all networks share: width, labels as inputs, 5x5 convolutions, initial weights, heads, batch statistics."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from kmgan_lib.config import Preset
from kmgan_lib.distributed import all_gather, shard, world_size

FEW_CHANNELS = 4  # channels of an image: a convolution to or from so few leaves a CPU's vector units idle
WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def scale_width(channels: int, width: float) -> int:
    """Number of channels after the width factor: exact at 1, else a multiple of 8 (vector units) and at least 8."""
    return channels if width == 1 else max(8, 8 * round(channels * width / 8))


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Labels (b,) as rows (b, classes) with a one at the label, without `F.one_hot`'s wait for the device."""
    return (labels.unsqueeze(1) == torch.arange(classes, device=labels.device)).to(dtype)


def concat_labels(x: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """A layer's input (b, n) with the one-hot labels of its rows appended; ``x`` itself without classes."""
    return torch.cat([x, one_hot(require_labels(labels), classes, x.dtype)], 1) if classes else x


def require_labels(labels: Tensor | None) -> Tensor:
    """The labels that a conditional network was given; a `ValueError` if there are none."""
    if labels is None:
        raise ValueError("a conditional network needs labels")
    return labels


def _phases(weight: Tensor) -> Tensor:
    """5x5 kernels (a, b, 5, 5) as the four 3x3 kernels (a, b, 3, 2, 3, 2) for even and odd rows and columns."""
    return F.pad(weight, (0, 1, 0, 1)).unflatten(3, (3, 2)).unflatten(2, (3, 2))


class _Labelled(nn.Module):
    """A convolution with one-hot labels added to its input as constant maps, convolved once per class, not sample."""

    weight: Tensor
    bias: Tensor | None
    inputs: ClassVar[int]  # the dimension of the weights that counts input channels
    options: ClassVar[dict[str, int]]  # of the convolution, which make the side exactly twice or half as long
    _convolve: Callable[[Tensor, Tensor, Tensor | None], Tensor]

    def __init__(self, before: int, after: int, classes: int = 0):
        super().__init__(before + classes, after, 5, **self.options)
        self.classes = classes

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps (b, c, h, w) and, if conditional, labels (b,) to maps (b, m, 2 h, 2 w), or (b, m, h / 2, w / 2)."""
        mine, theirs = self.weight.tensor_split([x.shape[1]], self.inputs)
        y = self._convolve(x, mine, self.bias)
        if not self.classes:
            return y
        maps = torch.eye(self.classes, dtype=x.dtype, device=x.device)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        table = self._convolve(maps.contiguous(memory_format=torch.channels_last), theirs, None).permute(0, 2, 3, 1)
        hot = one_hot(require_labels(labels), self.classes, table.dtype)
        return y + (hot @ table.flatten(1)).unflatten(1, table.shape[1:]).permute(0, 3, 1, 2)


class Up(_Labelled, nn.ConvTranspose2d):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Transposed 5x5 convolution that doubles the side length, from ``before`` to ``after`` channels."""

    inputs, options = 0, {"stride": 2, "padding": 2, "output_padding": 1}

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if x.device.type != "cpu" or self.out_channels > FEW_CHANNELS:
            return F.conv_transpose2d(x, weight, bias, **self.options)
        # Output pixels in even and odd rows and columns use different taps of the kernel: a 3x3 convolution to four
        # times the channels, which are shuffled into one image.
        kernels = _phases(weight).flip(2, 4).permute(1, 3, 5, 0, 2, 4).flatten(0, 2)
        return F.pixel_shuffle(F.conv2d(x, kernels, None if bias is None else bias.repeat_interleave(4), padding=1), 2)


class Down(_Labelled, nn.Conv2d):  # pyright: ignore[reportIncompatibleMethodOverride]
    """5x5 convolution that halves the side length, from ``before`` to ``after`` channels."""

    inputs, options = 1, {"stride": 2, "padding": 2}

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # PyTorch's own form computes the gradient of an image slowly; where none is needed, it is the faster one.
        if x.device.type != "cpu" or x.shape[1] > FEW_CHANNELS or not x.requires_grad:
            return F.conv2d(x, weight, bias, **self.options)
        kernels = _phases(weight).permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
        return F.conv2d(F.pixel_unshuffle(x, 2), kernels, bias, padding=1)


def initialise(module: nn.Module) -> None:
    """Weights as in carpedm20/DCGAN-tensorflow: N(0, 0.02), truncated at two deviations for convolutions; biases 0."""
    for layer in module.modules():
        if isinstance(layer, WEIGHTED):
            draw = partial(nn.init.trunc_normal_, a=-0.04, b=0.04) if isinstance(layer, nn.Conv2d) else nn.init.normal_
            draw(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def to_float32(x: Tensor) -> Tensor:
    """A tensor in float32 or float64: bf16 rounds everything near 1 to 1, where a sigmoid has no gradient."""
    return x if x.dtype == torch.float64 else x.float()


class Float32Sequential(nn.Sequential):
    """Layers that compute in float32 after layers in bf16, which has too few digits to tell features apart."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Units (b, n) to units (b, m)."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(to_float32(input))


def feature_head(hidden: int, preset: Preset) -> tuple[nn.Module, int]:
    """The last layers of a discriminator, from ``hidden`` units to features, and the number d of features.

    ``penultimate``: the units themselves; ``bn-relu``: FC d, batch normalization and ReLU (as Table 3 ends);
    ``sigmoid``: FC d and sigmoid (Tables 2, 5).
    """
    if preset.head == "penultimate":
        return nn.Identity(), hidden
    d = preset.feature_dim
    ends = [nn.BatchNorm1d(d), nn.ReLU()] if preset.head == "bn-relu" else [nn.Sigmoid()]
    return Float32Sequential(nn.Linear(hidden, d), *ends), d


def without_batch_norm(
    net: nn.Module, instead: Callable[[], nn.Module], weights: Callable[[Any], object] | None = None
) -> nn.Module:
    """Put ``instead()`` in the place of batch normalization and apply ``weights`` to other layers, in place."""
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(module, name, instead())
            elif weights and isinstance(child, (nn.Conv2d, nn.Linear)):
                weights(child)
    return net


@torch.no_grad()
def widen_weights(net: nn.Module, full: nn.Module) -> None:
    r"""Multiply initial weights by :math:`\sqrt{n_{full} / n}`, n the inputs of each layer, in place."""
    for layer, wide in zip(net.modules(), full.modules(), strict=True):
        if isinstance(layer, WEIGHTED) and isinstance(wide, WEIGHTED):
            inputs = 0 if isinstance(layer, nn.ConvTranspose2d) else 1
            layer.weight.mul_((wide.weight.shape[inputs] / layer.weight.shape[inputs]) ** 0.5)


def parameter_count(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def reestimate_batch_norm(module: nn.Module, batches: Callable[[int], object], count: int) -> None:
    """Average batch statistics over ``count`` batches that ``batches(i)`` runs (row 22); switch to evaluation mode."""
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


class _Synchronised(nn.SyncBatchNorm):  # PyTorch's would ask the other ranks even where this one works `alone`
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return super().forward(input) if world_size() > 1 else _BatchNorm.forward(self, input)


def sync_batch_norm(net: nn.Module, cuda: bool) -> nn.Module:
    """The network with batch normalization over the rows of all ranks; parameters and names are unchanged."""
    net = nn.SyncBatchNorm.convert_sync_batchnorm(net) if cuda else net
    for module in net.modules():
        if isinstance(module, nn.SyncBatchNorm):
            module.__class__ = _Synchronised  # PyTorch converts only to its own class
        elif isinstance(module, _BatchNorm):  # PyTorch's works on GPUs only; on CPUs every rank takes the whole batch
            module.register_forward_pre_hook(lambda norm, inputs: all_gather(inputs[0]) if norm.training else None)
            module.register_forward_hook(lambda norm, _, output: shard(output) if norm.training else None)  # pyright: ignore[reportArgumentType]
    return net
