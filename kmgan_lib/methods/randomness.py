"""Noise, and the states of random generators."""

import hashlib
import logging

import torch
from torch import Tensor

from kmgan_lib.config import Preset

log = logging.getLogger(__name__)


def draw_noise(preset: Preset, count: int, generator: torch.Generator) -> Tensor:
    """Noise z (count, z_dim) from the preset's distribution, on the generator's device."""
    draw = torch.randn if preset.z_distribution == "normal" else torch.rand
    noise = draw(count, preset.z_dim, generator=generator, device=generator.device)
    return noise if preset.z_distribution == "normal" else noise * 2 - 1


def set_rng(generator: torch.Generator, state: Tensor) -> None:
    """Restore a generator's state, in place.

    CPU and CUDA keep states of different kinds. One of another kind cannot be taken over: it seeds the generator
    instead, which is said, since the run then goes on with other random numbers than it would have drawn.
    """
    state = state.cpu()
    if state.numel() == generator.get_state().numel():
        generator.set_state(state)
        return
    generator.manual_seed(int.from_bytes(hashlib.sha256(state.numpy().tobytes()).digest()[:4], "big"))
    log.warning("the random state is of another kind of device than %s: new random numbers", generator.device.type)
