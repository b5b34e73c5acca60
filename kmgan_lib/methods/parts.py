"""Small pieces that several methods are made of."""

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from kmgan_lib.config import Preset
from kmgan_lib.distributed import shard, world_size
from kmgan_lib.methods.base import Method, detached
from kmgan_lib.methods.copies import FEATURE_BATCH
from kmgan_lib.models.layers import initialise, without_batch_norm


def feature_dim(net: nn.Module) -> int:
    """Number d of features of a discriminator network."""
    return int(net.feature_dim)  # pyright: ignore[reportArgumentType]


def unnormalised(base: Preset) -> dict[str, Any]:
    """Settings of a D that a logit or a critic may stand on: no batch normalisation in a fully connected layer.

    On 28x28 images FC 1024 stays, without normalisation; on larger ones the last convolution's maps are the features.
    """
    tail = "plain" if base.network == "mnist" else "linear"
    return {"tail": tail, "head": "penultimate", "initial_scale": "fan-in"}


def linear(inputs: int, outputs: int = 1) -> nn.Linear:
    """One linear layer, its weights drawn as the networks' are."""
    layer = nn.Linear(inputs, outputs)
    initialise(layer)
    return layer


def logged(loss_d: Tensor, loss_g: Tensor, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
    """Losses, and the mean probabilities that D gives real and generated samples."""
    real, fake = real_logits.sigmoid().mean(), fake_logits.sigmoid().mean()
    return detached(loss_d=loss_d, loss_g=loss_g, real_probability=real, fake_probability=fake)


class Dropout(nn.Module):
    """Dropout whose masks come from a generator of its own, so that a run can be resumed exactly.

    A share p of the values becomes 0, the others grow by 1 / (1 - p). Every rank draws the masks of the whole batch and
    takes its rows, or all where the inputs are ``gathered``.
    """

    def __init__(self, p: float, *, gathered: bool = False):
        super().__init__()
        self.p, self.gathered = p, gathered
        self.rng: torch.Generator | None = None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Values (b, ...) to values of the same shape."""
        if not self.training or self.rng is None or self.p == 0:
            return input
        shape = (len(input) * (1 if self.gathered else world_size()), *input.shape[1:])
        mask = torch.rand(shape, generator=self.rng, device=input.device) >= self.p
        kept = mask if self.gathered else shard(mask)
        return input * kept / (1 - self.p)


@torch.no_grad()
def initialise_by_data(net: nn.Module, images: Tensor) -> None:
    """Set gain and bias of each weight-normalised layer so that its outputs have mean 0 and variance 1, in place.

    Salimans and Kingma (2016), Section 3, on a batch of images (b, ...) as the network gets them.
    """

    def rescale(layer: nn.Module, _: object, output: Tensor) -> Tensor:
        dims = [0, *range(2, output.ndim)]
        mean, deviation = output.mean(dims), output.std(dims).clamp_min(1e-6)
        parameters = dict(layer.named_parameters())
        gain, bias = parameters["parametrizations.weight.original0"], parameters["bias"]
        gain.div_(deviation.view(-1, *[1] * (gain.ndim - 1)))
        bias.sub_(mean).div_(deviation)
        shape = (1, -1, *[1] * (output.ndim - 2))
        return (output - mean.view(shape)) / deviation.view(shape)

    layers = [layer for layer in net.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    with contextlib.ExitStack() as hooked:
        for layer in layers:
            hooked.callback(layer.register_forward_hook(rescale).remove)
        net(images)


class WeightNormalised(Method):
    """A method whose D normalises weights instead of batches, with options ``dropout`` and ``initialise_by_data``."""

    @classmethod
    def make_discriminator(cls, preset: Preset) -> nn.Module:
        net = super().make_discriminator(preset)
        return without_batch_norm(net, lambda: Dropout(preset.dropout), weight_norm)

    def __init__(self, preset: Preset, *, device: torch.device, seed: int):
        super().__init__(preset, device=device, seed=seed)
        for module in (module for net in self._judging() for module in net.modules()):
            if isinstance(module, Dropout):
                module.rng = self.rng

    @torch.no_grad()
    def setup(self, images: Tensor) -> None:
        """Set D's gains and biases by a first batch, if the preset asks for it."""
        if self.options.initialise_by_data:
            initialise_by_data(self.discriminator_net, next(self.batches(images, FEATURE_BATCH)))


def clipped(net: nn.Module, scope: str) -> list[nn.Parameter]:
    """Parameters that weight clipping bounds (readings, row 14).

    ``all``: every one; ``weights``: those of convolutions and linear layers without biases and batch normalisation.
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
