"""Layers that work on the rows of all devices that train together."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

from kmgan_lib import distributed, shared_update, shares
from kmgan_lib.models import fast


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    return values.view(1, -1, *[1] * (like.ndim - 2))


@functools.lru_cache(maxsize=64)
def _parts(count: int, world: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The parts (ranks,) of so many rows that the ranks have."""
    return torch.tensor([n / count for n in shares.row_counts(count)], dtype=dtype, device=device)


class _Normalise(torch.autograd.Function):
    r"""Rows normalised by mean and variance over all ranks.

    With :math:`\hat x = (x - \mu) / \sigma`, n rows of all ranks and sums over them,

    .. math:: \frac{\partial L}{\partial x} = \frac{w}{\sigma}
              \Big( \delta - \frac1n \sum \delta - \frac{\hat x}{n} \sum \delta \hat x \Big) ,

    as within one process. Every sum is PyTorch's own kernel on this rank's rows, and one exchange.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        moments = distributed.collected(torch.stack(torch.batch_norm_update_stats(x, None, None, 0.0)))
        means, variances = moments.unbind(1)
        parts = _parts(shares.shared_rows(), distributed.world(), means.dtype, means.device)
        # Together as in Chan, Golub and LeVeque (1983), which loses no digits.
        mean = parts @ means
        apart = means - mean
        variance = parts @ torch.addcmul(variances, apart, apart)
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps, ctx.values = eps, _values(x)
        ctx.mark_non_differentiable(mean, variance)
        y, *_ = torch.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, eps)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, variance = ctx.saved_tensors
        _, for_weight, for_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0], x, weight, mean, variance, None, None, False, ctx.eps, [False, True, True]
        )
        of_weight, of_bias = distributed.total(torch.stack([for_weight, for_bias])).div_(ctx.values).unbind()
        inverse = (variance + ctx.eps).rsqrt()
        scale, ratio = weight * inverse, of_weight * inverse
        shift, slope = (ratio * mean).sub_(of_bias).mul_(scale), -scale * ratio
        scale, slope, shift = (_per_channel(values, x) for values in (scale, slope, shift))
        return torch.addcmul(shift, gradients[0], scale).addcmul_(x, slope), for_weight, for_bias, None


def _values(x: Tensor) -> int:
    """Number of values a channel on all ranks, given this rank's rows."""
    return shares.shared_rows() * x[0, 0].numel()


class _Synchronised(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation that inside of `kmgan_lib.shares.apart` takes its statistics over all ranks' rows.

    PyTorch's own `torch.nn.SyncBatchNorm` works on GPUs only.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Maps (b, c, ...) to maps of the same shape."""
        if not shares.shared_rows() or not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        x = input if input.dtype == torch.float64 else input.float()
        y, mean, variance = _Normalise.apply(x, self.weight, self.bias, self.eps)  # pyright: ignore[reportGeneralTypeIssues]
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        # As PyTorch's own layer does it, unseen by autograd, which may hold them for a batch that was not split.
        self.running_mean.data.lerp_(mean, self.momentum)
        n = _values(x)
        self.running_var.data.lerp_(variance * (n / (n - 1)), self.momentum)
        return y.to(input.dtype)


class SyncBatchNorm1d(_Synchronised, nn.BatchNorm1d):
    """Of rows (b, c)."""


class SyncBatchNorm2d(_Synchronised, nn.BatchNorm2d):
    """Of maps (b, c, h, w)."""


class _Product(torch.autograd.Function):
    r"""Rows times a weight that all ranks hold in common: each rank computes some units, for the rows of all.

    A processor reads the weight for few rows as for many. So ranks tell each other rows, x and :math:`\delta`, and each
    reads its share of the weight: :math:`y = x W^T`, :math:`\partial L / \partial x = \delta W` and the gradient of the
    weight, :math:`\delta^T x`, are shared out by columns of the result, by columns and by rows. Nobody has that
    gradient whole.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.count, ctx.units = shares.shared_rows(), distributed.share(len(weight))
        x = shares.rows_of_all(x, ctx.count)
        ctx.save_for_backward(x, weight)
        return shares.columns_of_all(torch.addmm(bias[ctx.units], x, weight[ctx.units].T), len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, Tensor]:
        x, weight = ctx.saved_tensors
        slopes, for_x = shares.rows_of_all(gradients[0], ctx.count), None
        if ctx.needs_input_grad[0]:
            columns = weight.shape[1]
            for_x = shares.columns_of_all(slopes @ weight[:, distributed.share(columns)], columns)
        if ctx.needs_input_grad[1]:
            shared_update.add_gradient(weight, slopes[:, ctx.units].T / distributed.world(), x)
        return for_x, None, gradients[0].sum(0)


class SharedLinear(fast.Linear):
    """Fully connected layer that inside of `kmgan_lib.shares.apart` is computed by all ranks of a machine together."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Units (b, n) to units (b, m)."""
        told = 2 * shares.shared_rows() * (self.in_features + self.out_features)
        pays = 0 < told < self.weight.numel() and self.bias is not None and input.ndim == 2
        if pays and shared_update.is_in_common(self.weight) and not torch.is_autocast_enabled(input.device.type):
            return _Product.apply(input, self.weight, self.bias)  # pyright: ignore[reportReturnType]
        return super().forward(input)


def synchronise(net: nn.Module) -> None:
    """Make a network's layers work on the rows of all ranks; their parameters and names stay."""
    kinds: dict[type, type] = {
        nn.BatchNorm1d: SyncBatchNorm1d, nn.BatchNorm2d: SyncBatchNorm2d, nn.Linear: SharedLinear,
        fast.Linear: SharedLinear,
    }  # fmt: skip
    for module in net.modules():
        # As PyTorch's parametrisations do it: the same object, so that whoever holds it or its parameters keeps it.
        module.__class__ = kinds.get(type(module), type(module))
