"""Copies of a method's networks, with batch statistics re-estimated: what is measured and sampled from."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from kmgan_lib import models
from kmgan_lib.config import Preset
from kmgan_lib.data.images import content_keys, to_unit
from kmgan_lib.methods.randomness import draw_noise
from kmgan_lib.models.layers import reestimate_batch_norm

NORM_BATCHES = 50  # batches for re-estimated batch-normalisation statistics
FEATURE_BATCH = 512  # images of a data set that D sees at once when features are measured


class Copies:
    """The part of `kmgan_lib.methods.base.Method` that copies its networks; training goes on undisturbed."""

    preset: Preset
    device: torch.device
    seed: int
    generator_net: nn.Module
    discriminator_net: nn.Module
    average_net: nn.Module | None

    @classmethod
    def generator_classes(cls, preset: Preset) -> int:
        """Number of classes that G is told, 0 for none."""
        return 10 if preset.conditional else 0

    @classmethod
    def make_generator(cls, preset: Preset) -> nn.Module:
        """The network that samples are drawn from, before training or before its file is read."""
        return models.build_generator(preset, cls.generator_classes(preset))

    @classmethod
    def make_discriminator(cls, preset: Preset) -> nn.Module:
        """The network that extracts features."""
        return models.build_discriminator(preset, 10 if preset.conditional else 0)

    @torch.no_grad()
    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Features (n, d) of images (n, ...) by a copy of D with batch statistics re-estimated on them (row 22).

        They do not depend on the order of the rows. A conditional D needs the real classes (n,) as labels.
        """
        net = self._copy(self.make_discriminator, self.discriminator_net)
        # Data sets may be sorted by class: a batch of one class lacks the variance between classes, and so would the
        # statistics. An order by content mixes the classes, and is the same however the rows come.
        rows = torch.arange(len(images)).split(FEATURE_BATCH)
        keys = torch.cat([content_keys(to_unit(images[i].to(self.device))) for i in rows])
        mixed = [i for i in keys.argsort().cpu().split(FEATURE_BATCH) if len(i) > 1 or len(rows) == 1]

        def run(chosen: Tensor) -> Tensor:
            known = None if labels is None else labels[chosen.to(labels.device)].to(self.device)
            return net(to_unit(images[chosen.to(images.device)].to(self.device)), known)

        reestimate_batch_norm(net, lambda i: run(mixed[i]), min(NORM_BATCHES, len(mixed)))
        return torch.cat([run(chosen) for chosen in rows])

    def _copy(self, make: Callable[[Preset], nn.Module], net: nn.Module) -> nn.Module:
        """A copy of a network that asks nothing of other ranks, so that one of them can run it alone."""
        with torch.random.fork_rng(devices=[]):  # its first weights are overwritten
            copied = make(self.preset).to(self.device)
        copied.load_state_dict(net.state_dict())
        return copied

    def frozen_generator(self, *, averaged: bool = True) -> nn.Module:
        """A copy of G in evaluation mode, with batch statistics re-estimated on fresh noise (row 22).

        It has the average of G's weights, if the preset keeps one and ``averaged``; else the last weights.
        """
        weights = self.average_net if averaged and self.average_net else self.generator_net
        net = self._copy(self.make_generator, weights)
        generator = torch.Generator(self.device).manual_seed(self.seed)
        classes = self.generator_classes(self.preset)

        def batch(_: int) -> None:
            noise = draw_noise(self.preset, self.preset.batch, generator)
            labels = None
            if isinstance(shares := getattr(net, "shares", None), Tensor):
                labels = torch.multinomial(shares, len(noise), replacement=True, generator=generator)
            elif classes:
                labels = torch.randint(classes, (len(noise),), generator=generator, device=self.device)
            net(noise, labels)

        reestimate_batch_norm(net, batch, NORM_BATCHES)
        return net
