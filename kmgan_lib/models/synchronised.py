"""Batch normalisation over the rows of all devices that train together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kmgan_lib import distributed


class _Synchronised(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation that inside of `apart` takes mean and variance over the rows of all ranks.

    PyTorch's own `torch.nn.SyncBatchNorm` works on GPUs only. Each rank sends its count, mean and variance; they are
    put together as in Chan, Golub and LeVeque (1983), which loses no digits.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Maps (b, c, ...) to maps of the same shape."""
        if not distributed.within_share() or not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        x = input if input.dtype == torch.float64 else input.float()
        axes, c = [0, *range(2, x.ndim)], x.shape[1]
        variance, mean = torch.var_mean(x, axes, correction=0)
        count = mean.new_full((1,), x.numel() // c)
        mine = torch.cat([count, mean, variance])[None]
        every = distributed.gather(mine, distributed.rank(), distributed.world())
        counts, means, variances = every.split([1, c, c], 1)
        n = counts.sum()
        mean = (counts * means).sum(0) / n
        variance = (counts * (variances + (means - mean).square())).sum(0) / n
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        # As PyTorch's own layer does it, unseen by autograd, which may hold them for a batch that was not split.
        self.running_mean.data.lerp_(mean.detach(), self.momentum)
        self.running_var.data.lerp_((variance * (n / (n - 1))).detach(), self.momentum)
        shape = (1, c, *[1] * (x.ndim - 2))
        scale, shift = (self.weight * (variance + self.eps).rsqrt()).view(shape), self.bias.view(shape)
        return ((x - mean.view(shape)) * scale + shift).to(input.dtype)


class SyncBatchNorm1d(_Synchronised, nn.BatchNorm1d):
    """Of rows (b, c)."""


class SyncBatchNorm2d(_Synchronised, nn.BatchNorm2d):
    """Of maps (b, c, h, w)."""


def synchronise(net: nn.Module) -> None:
    """Give a network's batch normalisations the statistics of all ranks; their parameters and names stay."""
    kinds: dict[type, type] = {nn.BatchNorm1d: SyncBatchNorm1d, nn.BatchNorm2d: SyncBatchNorm2d}
    for module in net.modules():
        # As PyTorch's parametrisations do it: the same object, so that whoever holds it or its parameters keeps it.
        module.__class__ = kinds.get(type(module), type(module))
