"""What all networks share: the width factor, labels as inputs, initial weights, feature heads, batch statistics."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import spectral_norm

from kmgan_lib.distributed import all_gather, shard

HEADS = ("penultimate", "bn-relu", "sigmoid")


def scale_width(channels: int, width: float) -> int:
    """Number of channels after the width factor: exact at 1, else a multiple of 8 (vector units) and at least 8."""
    return channels if width == 1 else max(8, 8 * round(channels * width / 8))


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Labels (b,) as rows (b, classes) with a one at the label.

    A comparison: `F.one_hot` looks at the labels first, for which it waits for the device.
    """
    return (labels.unsqueeze(1) == torch.arange(classes, device=labels.device)).to(dtype)


def concat_labels(x: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """A layer's input (b, n) with the one-hot labels of its rows appended; ``x`` itself if there are no classes."""
    return torch.cat([x, one_hot(require_labels(labels), classes, x.dtype)], 1) if classes else x


def require_labels(labels: Tensor | None) -> Tensor:
    """The labels that a conditional network was given; a `ValueError` if there are none."""
    if labels is None:
        raise ValueError("a conditional network needs labels")
    return labels


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


def normalised(net: nn.Module, norm: str) -> nn.Module:
    """The network with another normalisation than that of batches, in place.

    ``batch``: as built. ``none``: without batch normalisation. ``spectral``: besides, the weights of convolutions and
    linear layers divided by their largest singular value (Miyato et al., 2018), which one step of the power method a
    pass follows.
    """
    if norm == "batch":
        return net
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(module, name, nn.Identity())
            elif norm == "spectral" and isinstance(child, (nn.Conv2d, nn.Linear)):
                spectral_norm(child)
    return net


@torch.no_grad()
def widen_weights(net: nn.Module, full: nn.Module) -> None:
    r"""Multiply initial weights by :math:`\sqrt{n_{full} / n}`, n the inputs of each layer, in place.

    N(0, 0.02) was chosen for layers of full width. A narrow layer sums fewer inputs, so that without a normalisation
    behind it its outputs shrink, layer by layer. ``full`` is the network at full width; it may lie on the meta device.
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

    In training the statistics of real and generated batches mix and lag behind the weights, so nothing is sampled or
    measured with them (readings, row 22). ``batches(i)`` runs the i-th batch through the module, which is left in
    evaluation mode.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's cumulative average
    module.train()
    with torch.no_grad():
        for i in range(count):
            batches(i)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()


def sync_batch_norm(net: nn.Module) -> nn.Module:
    """The network with batch normalisation over the rows of all ranks; parameters and names stay."""
    if next(net.parameters()).is_cuda:
        return nn.SyncBatchNorm.convert_sync_batchnorm(net)
    for module in net.modules():  # PyTorch's works on GPUs only; on CPUs every rank normalises the whole batch
        if isinstance(module, _BatchNorm):
            module.register_forward_pre_hook(_gathered)
            module.register_forward_hook(_sharded)
    return net


def _gathered(module: nn.Module, inputs: tuple[Tensor]) -> Tensor | None:
    return all_gather(inputs[0]) if module.training else None


def _sharded(module: nn.Module, _: object, output: Tensor) -> Tensor | None:
    return shard(output) if module.training else None
