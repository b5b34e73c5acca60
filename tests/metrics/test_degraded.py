from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from kmgan_lib.metrics.inception import blurred, noisy


def random_images(n: int, channels: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(size)
    return torch.randint(0, 256, (n, channels, size, size), generator=generator, dtype=torch.uint8)


def naive_blur(image: Tensor, deviation: float) -> list[list[float]]:
    """One channel (h, w), convolved with loops; beyond its edges the image is its own mirror image."""
    size, reach = len(image), math.ceil(3 * deviation)
    weights = [math.exp(-((i / deviation) ** 2) / 2) for i in range(-reach, reach + 1)]
    weights = [w / sum(weights) for w in weights]

    def at(i: int) -> int:
        i = abs(i)
        return 2 * (size - 1) - i if i >= size else i

    offsets = range(-reach, reach + 1)
    return [
        [
            sum(
                weights[di + reach] * weights[dj + reach] * float(image[at(i + di), at(j + dj)])
                for di in offsets
                for dj in offsets
            )
            for j in range(size)
        ]
        for i in range(size)
    ]


@pytest.mark.parametrize("size", [16, 28])
def test_blur_is_a_convolution_that_grows_with_the_image(size: int) -> None:
    images = random_images(2, 3, size)
    expected = torch.tensor(naive_blur(images[1, 2], 1.5 * size / 64))
    found = blurred(images)
    assert found.dtype == torch.uint8
    torch.testing.assert_close(found[1, 2].float(), expected, atol=0.51, rtol=0)


def test_noise_has_its_deviation_and_is_the_same_every_time() -> None:
    grey = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    noise = (noisy(grey).double() - 128) / 255
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.002)
    assert torch.equal(noisy(grey), noisy(grey))
    assert not torch.equal(noise[0], noise[1])
    black = noisy(torch.zeros_like(grey))
    assert (black == 0).double().mean().item() == pytest.approx(0.5, abs=0.02)  # cut to the range
