"""What to do when a training does not fit into memory: find the batch that does."""

from __future__ import annotations

import dataclasses
import gc
import logging

import torch

from kmgan_lib import distributed, methods
from kmgan_lib.batches import Batches
from kmgan_lib.data import Images
from kmgan_lib.presets import Preset

log = logging.getLogger(__name__)
SMALLEST = 2  # batch normalisation needs two images
# PyTorch has no class of its own for a processor without memory.
ON_THE_CPU = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")


def ran_out(error: BaseException) -> bool:
    """Whether an error says that a device, or the machine, has no memory left."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in ON_THE_CPU)


def largest_batch(preset: Preset, images: Images, device: torch.device, seed: int) -> int | None:
    """The largest of batch/2, batch/4, ... with which two steps fit into memory; None if not even two images do.

    Each is tried with new networks. Two steps, since the first one makes the optimisers' state.
    """
    batch = preset.batch // 2
    while batch >= SMALLEST:
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        if _fits(dataclasses.replace(preset, batch=batch), images, device, seed):
            return batch
        batch //= 2
    return None


def advice(preset: Preset, images: Images, device: torch.device, seed: int) -> str:
    """One line for a training that ran out of memory: which batch fits."""
    if distributed.world() > 1:
        return f"out of memory with batch={preset.batch} on {distributed.world()} devices: choose a smaller --set batch"
    log.warning("out of memory with batch=%d: trying smaller ones", preset.batch)
    fitting = largest_batch(preset, images, device, seed)
    if fitting is None:
        return f"out of memory with batch={preset.batch}, and no smaller batch fits: use another --device or --profile"
    return f"out of memory with batch={preset.batch}: batch={fitting} fits; --set batch={fitting}"


def _fits(preset: Preset, images: Images, device: torch.device, seed: int) -> bool:
    try:
        resident = images.to(device)
        method = methods.create(preset, device=device, seed=seed)
        method.training_set = resident.tensor
        method.setup(resident.tensor)
        batches = Batches(resident, preset, device, seed)
        for done in range(2):
            method.step(*batches.draw(method.batches_per_step(done)))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        return False
    return True
