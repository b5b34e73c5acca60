"""Batches of a data set that lies on the device: shuffled each epoch, with noise, from one random generator."""

from typing import Any

import torch
from torch import Tensor

from kmgan_lib.config import Preset
from kmgan_lib.data import Images
from kmgan_lib.data.images import to_unit
from kmgan_lib.distributed import shard
from kmgan_lib.methods.randomness import draw_noise, set_rng


class Batches:
    """Shuffled batches of a resident data set, reshuffled each epoch, an incomplete last batch left out.

    Randomness comes from one generator on the device, whose state and position make a resume exact.
    """

    def __init__(self, images: Images, preset: Preset, device: torch.device, seed: int):
        self.images, self.preset = images, preset
        self.generator = torch.Generator(device).manual_seed(seed)
        self.order, self.position = torch.empty(0, dtype=torch.int64, device=device), 0

    def draw(self, count: int = 1) -> tuple[Tensor, Tensor | None, Tensor]:
        """The next batch, or several one after the other: images as float in [0, 1], labels if known, noise."""
        images, labels, noise = zip(*(self._one() for _ in range(count)), strict=True)
        known = None if labels[0] is None else torch.cat(labels)
        return torch.cat(images), known, torch.cat(noise)

    def _one(self) -> tuple[Tensor, Tensor | None, Tensor]:
        b = self.preset.batch
        if self.position + b > len(self.order):
            n, device = len(self.images), self.generator.device
            self.order, self.position = torch.randperm(n, generator=self.generator, device=device), 0
        chosen = shard(self.order[self.position : self.position + b])
        self.position += b
        labels = None if self.images.labels is None else self.images.labels[chosen]
        return to_unit(self.images.tensor[chosen]), labels, shard(draw_noise(self.preset, b, self.generator))

    def state_dict(self) -> dict[str, Any]:
        """Random state, and place in the epoch."""
        return {"rng": self.generator.get_state(), "order": self.order, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        set_rng(self.generator, state["rng"])
        self.order, self.position = state["order"], state["position"]
        if len(self.order) not in (0, len(self.images)):  # of other data than these: a new epoch begins
            self.order, self.position = self.order[:0], 0
