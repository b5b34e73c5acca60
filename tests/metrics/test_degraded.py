import math

import pytest
import torch
from scipy import ndimage

from kmgan_lib.metrics.inception import blurred, noisy


@pytest.mark.parametrize("size", [16, 28])
def test_blur_is_a_convolution_that_grows_with_the_image_and_mirrors_it_at_its_edges(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    images = torch.randint(0, 256, (2, 3, size, size), generator=generator, dtype=torch.uint8)
    deviation = 1.5 * size / 64
    pixels = images[1, 2].float().numpy()
    expected = ndimage.gaussian_filter(pixels, deviation, mode="mirror", radius=math.ceil(3 * deviation))
    found = blurred(images)
    assert found.dtype == torch.uint8
    torch.testing.assert_close(found[1, 2].float(), torch.from_numpy(expected), atol=0.51, rtol=0)


def test_noise_has_its_deviation_and_is_the_same_every_time() -> None:
    grey = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    noise = (noisy(grey).double() - 128) / 255
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.002)
    assert torch.equal(noisy(grey), noisy(grey))
    assert not torch.equal(noise[0], noise[1])
    black = noisy(torch.zeros_like(grey))
    assert (black == 0).double().mean().item() == pytest.approx(0.5, abs=0.02)  # cut to the range
