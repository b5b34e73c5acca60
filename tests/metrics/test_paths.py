from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kmgan_lib.metrics import path_lengths


def noise(seed: int) -> Tensor:
    return torch.randn(40, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("position", [0.0, 0.3, 1.0])
def test_a_linear_generator_moves_straight(position: float) -> None:
    weights = torch.randn(6, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    lengths = path_lengths(lambda z: z @ weights, noise(0), noise(1), torch.tensor(position))
    torch.testing.assert_close(lengths, ((noise(1) - noise(0)) @ weights).square().sum(1))


def test_a_curved_path_has_its_own_speed_at_each_place() -> None:
    # On the unit circle by the angle: speed = difference of the angles, wherever t is.
    def circle(z: Tensor) -> Tensor:
        return torch.stack([z[:, 0].cos(), z[:, 0].sin()], 1)

    position = torch.linspace(0, 1, 40, dtype=torch.float64)
    lengths = path_lengths(circle, noise(0), noise(1), position)
    torch.testing.assert_close(lengths, (noise(1) - noise(0))[:, 0].square(), rtol=1e-5, atol=1e-8)
    straight = (circle(noise(1)) - circle(noise(0))).square().sum(1)
    assert (lengths >= straight - 1e-6).all()


def test_a_generator_that_never_varies_has_length_zero() -> None:
    assert path_lengths(torch.zeros_like, noise(0), noise(1), torch.rand(40)).tolist() == [0] * 40
