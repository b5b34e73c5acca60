"""Real images made worse by a known amount: levels that say what a distance to real images is worth."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.transforms import functional

from kmgan_lib import checks
from kmgan_lib.data.images import to_unit

BLUR = 1.5 / 64  # standard deviation in sides of the image: 1.5 pixels of 64
NOISE = 0.1  # standard deviation in units of the range from black to white
CHUNK = 1000


def blurred(images: Tensor) -> Tensor:
    """Images (n, c, h, w) of uint8, each convolved with a normal density of standard deviation `BLUR` times its side.

    The kernel reaches to three standard deviations, images are continued by reflection, and values are rounded. A
    `ValueError` if they are no images, or too small for the kernel.
    """
    _checked(images)
    deviation = BLUR * images.shape[-1]
    reach = math.ceil(3 * deviation)
    checks.at_least(reach + 1, height=images.shape[-2], width=images.shape[-1])
    size = [2 * reach + 1] * 2
    return torch.cat([functional.gaussian_blur(part, size, [deviation] * 2) for part in images.split(CHUNK)])


def noisy(images: Tensor) -> Tensor:
    """Images (n, c, h, w) of uint8 with independent normal noise of standard deviation `NOISE`, cut to the range.

    The noise is the same every time. A `ValueError` if they are no images.
    """
    _checked(images)
    generator = torch.Generator().manual_seed(0)

    def part(bytes_: Tensor) -> Tensor:
        noise = torch.randn(bytes_.shape, generator=generator).to(bytes_.device)
        return (255 * (to_unit(bytes_) + NOISE * noise).clamp(0, 1)).round().byte()

    return torch.cat([part(bytes_) for bytes_ in images.split(CHUNK)])


def _checked(images: Tensor) -> None:
    if images.ndim != 4 or images.dtype != torch.uint8 or not images.numel():
        raise ValueError(f"images {tuple(images.shape)} must be (n, c, h, w) of uint8, and there must be some")
