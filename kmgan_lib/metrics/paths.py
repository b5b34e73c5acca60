"""How pictures change along a straight line between two noise vectors: perceptual path length, and jumps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kmgan_lib import checks

EPSILON = 1e-4


def path_lengths(
    embed: Callable[[Tensor], Tensor], start: Tensor, end: Tensor, position: Tensor, epsilon: float = EPSILON
) -> Tensor:
    r"""Squared speed in feature space on the line from one noise to another (Karras et al., 2019).

    .. math:: \epsilon^{-2} \big\|\phi(G(z_{t+\epsilon})) - \phi(G(z_t))\big\|^2, \quad z_t = (1 - t) z_0 + t z_1

    Its mean over noise and t is the perceptual path length. The mean over t is at least
    :math:`\|\phi(G(z_1)) - \phi(G(z_0))\|^2`, and equal to it only where features move straight and steadily.

    Parameters
    ----------
    embed : callable
        Noise (n, z) to features :math:`\phi(G(z))` (n, d), in double precision: the differences are small.
    start, end : Tensor, (n, z) float64
        :math:`z_0` and :math:`z_1`.
    position : Tensor, (n,) or 0-dim
        t in [0, 1].
    epsilon : float
        Length of the step.

    Returns
    -------
    Tensor, (n,)
        In squared units of the features.

    Raises
    ------
    ValueError
        If start and end differ in shape, there is not one position for all or each, or the step is 0.
    """
    checks.alike(start=start, end=end)
    if position.is_complex() or position.ndim > 1 or position.numel() not in (1, len(start)):
        raise ValueError(f"position {tuple(position.shape)} must be one number, or {len(start)}")
    if epsilon == 0:
        raise ValueError("epsilon=0: a step needs a length")
    t = position.to(start).reshape(-1, 1)  # t in single precision would move the step by its rounding
    near, far = (embed(start + (end - start) * (t + step)) for step in (0.0, epsilon))
    return (far - near).flatten(1).square().sum(1) / epsilon**2


def step_scores(frames: Tensor) -> dict[str, float]:
    r"""Whether an interpolation moves steadily or jumps.

    With :math:`s_t = \|x_{t+1} - x_t\|_2` the steps of a line of T + 1 pictures, its length is :math:`\sum_t s_t`.

    Parameters
    ----------
    frames : Tensor, (T + 1, n, d)
        Pictures or their features along n lines.

    Returns
    -------
    dict
        ``largest_step``: :math:`\max_t s_t / \sum_t s_t`, its mean over lines: 1/T where every step is alike, 1 where
        all happens at once (1/T for a line that stands still). ``detour``: length over the distance of its ends, mean
        over lines, at least 1 (1 for lines whose ends are alike).

    Raises
    ------
    ValueError
        If there are fewer than two pictures, or they are no (T + 1, n, d) of floating-point numbers.
    """
    if frames.ndim != 3 or not frames.is_floating_point():
        raise ValueError(f"frames {tuple(frames.shape)} must be (T + 1, n, d) of floating-point numbers")
    if len(frames) < 2:
        raise ValueError(f"{len(frames)} pictures: a step needs two")
    steps = (frames[1:] - frames[:-1]).norm(dim=2)
    length, straight = steps.sum(0), (frames[-1] - frames[0]).norm(dim=1)
    largest = torch.where(length > 0, steps.amax(0) / length, 1 / len(steps))
    detour = torch.where(straight > 0, length / straight, 1.0)
    return {"largest_step": largest.mean().item(), "detour": detour.mean().item()}
