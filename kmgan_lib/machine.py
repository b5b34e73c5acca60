"""What a training run asks of the machine, whatever it trains."""

from __future__ import annotations

import ctypes
import functools
import sys

import torch

from kmgan_lib import methods
from kmgan_lib.presets import Preset

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of the GNU C library


@functools.cache
def keep_memory() -> bool:
    """Let the C library keep freed memory of this process for its next use; whether it does.

    Every backward pass frees and asks anew for gradients of up to 67 MB. By default memory of that size goes back to
    the system each time and is cleared page by page when it comes again, which costs as much as the sums in it. The
    setting holds for the whole process. Only the GNU C library has it.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bf16, rather than imitating it."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    known = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("amx_bf16") or known.get("avx512_bf16"))


def settled(preset: Preset, device: torch.device) -> Preset:
    """The preset with ``precision=auto`` replaced by what a device trains with.

    It is bf16 where the device has it, for methods that were found to learn as well in it as in float32, over three
    seeds (``benchmarks/precision.py``); KM-GAN was found not to.
    """
    if preset.precision != "auto":
        return preset
    quick = methods.of(preset).bf16_as_good and has_bf16(device)
    return preset.replace(precision="bf16" if quick else "float32")


def prepare(device: torch.device) -> None:
    """Make the process ready to train on a device.

    Precision is as the preset says: PyTorch's defaults stay, with which float32 convolutions may use TF32 on a GPU
    that has it, and matrix products, so distances and sums of clusters, never do.
    """
    if device.type == "cpu":
        keep_memory()
