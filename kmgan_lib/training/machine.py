"""The precision that a device trains in."""

import torch

from kmgan_lib import methods
from kmgan_lib.config import Preset


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bf16, rather than imitating it."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    known = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("amx_bf16") or known.get("avx512_bf16"))


def resolve_precision(preset: Preset, device: torch.device) -> Preset:
    """The preset with ``precision=auto`` replaced by what a device trains with.

    It is bf16 where the device has it, for presets that were found to learn as well in it as in float32, over three
    seeds (``benchmarks/precision.py``); KM-GAN was found not to, and most were not tried.
    """
    if preset.precision != "auto":
        return preset
    quick = preset.name.partition("/")[2] in methods.method_class(preset).bf16_as_good and has_bf16(device)
    return preset.replace(precision="bf16" if quick else "float32")
