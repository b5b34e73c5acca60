"""Small pieces that several methods are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from kmgan_lib.models import initialise


def feature_dim(net: nn.Module) -> int:
    """Number d of features of a discriminator network."""
    return int(net.feature_dim)  # pyright: ignore[reportArgumentType]


def linear(inputs: int, outputs: int = 1) -> nn.Linear:
    """One linear layer, its weights drawn as the networks' are."""
    layer = nn.Linear(inputs, outputs)
    initialise(layer)
    return layer


def weight_normalised(net: nn.Module) -> nn.Module:
    """The network with its batch normalisations removed and the weights of its other layers normalised, in place."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
                setattr(module, name, nn.Identity())
            elif isinstance(child, (nn.Conv2d, nn.Linear)):
                weight_norm(child)
    return net


def clipped(net: nn.Module, scope: str) -> list[nn.Parameter]:
    """Parameters that weight clipping bounds (readings, row 14).

    Parameters
    ----------
    net : nn.Module
    scope : {"all", "weights"}
        Every parameter, or the weights of convolutions and linear layers without biases and batch normalisation.
    """
    if scope == "all":
        return list(net.parameters())
    layers = [m for m in net.modules() if not isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return [p for m in layers for name, p in m.named_parameters(recurse=False) if name == "weight"]


@torch.no_grad()
def clamp(parameters: Sequence[Tensor], bound: float | None) -> None:
    """Clip values to [-bound, bound] in place (Section 4.2.2); nothing happens if ``bound`` is None."""
    if bound is not None:
        for p in parameters:
            p.clamp_(-bound, bound)
