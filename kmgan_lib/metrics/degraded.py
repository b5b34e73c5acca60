"""Real images made worse by a known amount: levels that say what a distance to real images is worth."""

import math

import torch
from torch import Tensor
from torchvision.transforms import functional

from kmgan_lib import checks
from kmgan_lib.data.images import to_unit

BLUR = 1.5 / 64  # standard deviation in sides of the image: 1.5 pixels of 64
NOISE = 0.1  # standard deviation in units of the range from black to white
CHUNK = 1000


@checks.tensors(images="uint8 n>0 c h w")
def blurred(images: Tensor) -> Tensor:
    """Images (n, c, h, w) of uint8, each convolved with a normal density of standard deviation `BLUR` times its side.

    The kernel reaches to three standard deviations, images are continued by reflection, and values are rounded.
    """
    deviation = BLUR * images.shape[-1]
    reach = math.ceil(3 * deviation)
    checks.at_least(reach + 1, height=images.shape[-2], width=images.shape[-1])
    size = [2 * reach + 1] * 2
    return torch.cat([functional.gaussian_blur(part, size, [deviation] * 2) for part in images.split(CHUNK)])


@checks.tensors(images="uint8 n>0 c h w")
def noisy(images: Tensor) -> Tensor:
    """Images (n, c, h, w) of uint8 with independent normal noise of standard deviation `NOISE`, cut to the range.

    The noise is the same every time.
    """
    generator = torch.Generator().manual_seed(0)

    def part(some: Tensor) -> Tensor:
        noise = torch.randn(some.shape, generator=generator).to(some.device)
        return (255 * (to_unit(some) + NOISE * noise).clamp(0, 1)).round().byte()

    return torch.cat([part(some) for some in images.split(CHUNK)])
