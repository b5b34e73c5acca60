"""Building blocks that several methods share."""

import contextlib
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from kmgan_lib.config import Preset
from kmgan_lib.data.images import Images, to_unit
from kmgan_lib.distributed import alone, broadcast, shard, world_size
from kmgan_lib.errors import UsageError
from kmgan_lib.methods.base import FEATURE_BATCH, Method, class_count, detached
from kmgan_lib.models.layers import one_hot, without_batch_norm


def unnormalised(base: Preset, **changes: Any) -> dict[str, Any]:
    """Settings of a D for a logit or a critic: no batch normalization in its fully connected layers."""
    tail = "plain" if base.network == "mnist" else "linear"  # FC 1024 without it, or the last convolution's maps
    return {"tail": tail, "head": "penultimate", "initial_scale": "fan-in", **changes}


def logged(loss_d: Tensor, loss_g: Tensor, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
    """Losses, and the mean probabilities that D gives real and generated samples."""
    real, fake = real_logits.sigmoid().mean(), fake_logits.sigmoid().mean()
    return detached(loss_d=loss_d, loss_g=loss_g, real_probability=real, fake_probability=fake)


def label_entropy(labels: Tensor, k: int) -> Tensor:
    """Entropy, in nats, of the shares of k clusters among the labels (b,)."""
    return torch.special.entr(one_hot(labels, k).mean(0)).sum()


@torch.no_grad()
def clip_weights(net: nn.Module, bound: float | None, scope: str = "all") -> None:
    """Clip ``all`` parameters, or ``weights`` of layers alone, to [-bound, bound] (Section 4.2.2; readings, row 14)."""
    if bound is None or bound > torch.finfo().max:  # above every number
        return
    for name, p in net.named_parameters():
        if scope == "all" or (name.endswith("weight") and p.ndim > 1):
            p.clamp_(-bound, bound)


class Clustered(Method):
    """A method with ``k`` centers, found by K-Means on images of the training set."""

    clustered: ClassVar[str] = "init_images"  # the option that says how many images K-Means sees
    reclusters = False  # whether `_recluster` finds them anew every ``recluster_every`` steps
    _recluster: Callable[[Tensor, int], None]  # on the training set, after so many steps

    @classmethod
    def check_data(cls, preset: Preset, images: Images) -> None:
        super().check_data(preset, images)
        known, seen = class_count(images), min(len(images), getattr(preset, cls.clustered))
        if preset.k > seen:
            raise UsageError(f"k={preset.k} centers need at least {preset.k} images, and there are {seen}")
        if getattr(preset, "grouping", None) == "true" and not 0 < known <= preset.k:
            least = f"k of at least {known}, its number of classes" if known else "a data set with labels"
            raise UsageError(f"grouping=true needs {least}")

    @classmethod
    def generator_classes(cls, preset: Preset) -> int:
        """Number of clusters, if there are any and G is told them, else 0."""
        return preset.k if getattr(preset, "told", False) and getattr(preset, "grouping", None) != "none" else 0

    def _seen(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The images that K-Means sees, in random order."""
        count = getattr(self.preset, self.clustered)
        chosen = torch.randperm(len(images), generator=generator, device=self.device)[:count]
        return images[chosen.to(images.device)]

    def _run_all(self, net: nn.Module, images: Tensor) -> Tensor:
        """Output (n, ...) of a network on images (n, ...), batch by batch."""
        return torch.cat([self.run_net(net, x) for x in self.batches(images)])

    def before_step(self, done: int) -> None:
        if self.reclusters and done and done % self.preset.recluster_every == 0:
            assert self.training_set is not None
            with alone():
                self._recluster(self.training_set, done)
            broadcast(self.state_dict())  # GPUs of different kinds differ in the last bit


class Dropout(nn.Module):
    """Dropout with masks from the method's generator, so that a run can be resumed exactly.

    Every rank draws the masks of the whole batch and takes its rows, or all where the inputs are ``gathered``.
    """

    def __init__(self, p: float, *, gathered: bool = False):
        super().__init__()
        self.p, self.gathered = p, gathered
        self.rng: torch.Generator | None = None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        if not self.training or self.rng is None or self.p == 0:
            return input
        ranks = 1 if self.gathered else world_size()
        mask = torch.rand(len(input) * ranks, *input.shape[1:], generator=self.rng, device=input.device) >= self.p
        return input * (mask if self.gathered else shard(mask)) / (1 - self.p)


class WeightNormalised(Method):
    """A method whose D normalizes weights instead of batches, with options ``dropout`` and ``initialise_by_data``."""

    @classmethod
    def make_discriminator(cls, preset: Preset) -> nn.Module:
        return without_batch_norm(super().make_discriminator(preset), lambda: Dropout(preset.dropout), weight_norm)

    def __init__(self, preset: Preset, *, device: torch.device, seed: int):
        super().__init__(preset, device=device, seed=seed)
        for module in self.modules():
            if isinstance(module, Dropout):
                module.rng = self.rng

    @torch.no_grad()
    def setup(self, images: Tensor) -> None:
        """Set D's gains and biases from a first batch, if so chosen (Salimans and Kingma, 2016, Section 3)."""
        if not self.preset.initialise_by_data:
            return
        with contextlib.ExitStack() as hooked:
            for layer in self.discriminator_net.modules():
                if isinstance(layer, (nn.Conv2d, nn.Linear)):
                    hooked.callback(layer.register_forward_hook(_rescale).remove)
            self.discriminator_net(to_unit(images[:FEATURE_BATCH].to(self.device)))


def _rescale(layer: nn.Module, _: object, output: Tensor) -> Tensor:
    """Give the outputs of a weight-normalized layer mean 0 and variance 1, by its gain and bias."""
    dims = [0, *range(2, output.ndim)]
    mean, deviation = output.mean(dims), output.std(dims).clamp_min(1e-6)
    gain, bias = (layer.get_parameter(name) for name in ("parametrizations.weight.original0", "bias"))
    gain.div_(deviation.view(-1, *[1] * (gain.ndim - 1)))
    bias.sub_(mean).div_(deviation)
    shape = (1, -1, *[1] * (output.ndim - 2))
    return (output - mean.view(shape)) / deviation.view(shape)
