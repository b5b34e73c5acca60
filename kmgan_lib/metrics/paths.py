"""How images change along a straight line between two noise vectors: path length, jumps, and where the line goes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kmgan_lib import checks
from kmgan_lib.metrics.neighbours import flat, nearest_neighbours

EPSILON = 1e-4


def path_lengths(
    embed: Callable[[Tensor], Tensor], start: Tensor, end: Tensor, position: Tensor, epsilon: float = EPSILON
) -> Tensor:
    r"""Squared speed in feature space on the line from one noise to another (Karras et al., 2019).

    .. math:: \epsilon^{-2} \big\|\phi(G(z_{t+\epsilon})) - \phi(G(z_t))\big\|^2, \quad z_t = (1 - t) z_0 + t z_1

    Its mean over noise and t is the perceptual path length. The mean over t is at least
    :math:`\|\phi(G(z_1)) - \phi(G(z_0))\|^2`, and equal to it only where features move straight and steadily.

    A `ValueError` if start and end differ in shape, there is not one position for all or each, or the step is 0.

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

    A `ValueError` if there are fewer than two pictures, or they are no (T + 1, n, d) of floating-point numbers.

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


def line_scores(start: Tensor, middle: Tensor, end: Tensor, real: Tensor, held_out: Tensor) -> dict[str, float]:
    r"""Whether interpolations lead from one image to another one, through images.

    Steps alone (`step_scores`) are as even for a generator that always draws the same, or nothing but grey.

    .. math:: \text{span} = \frac{E\|x_0 - x_1\|}{E\|r - h\|}, \qquad
              \text{validity} = \frac{E \min_j \|x_{1/2} - r_j\|}{E_h \min_j \|h - r_j\|}

    A `ValueError` if rows differ in shape, or there are none of a kind.

    Parameters
    ----------
    start, middle, end : Tensor, (n, ...)
        Images at the ends and in the middle of n lines, as uint8 or as float in [0, 1].
    real : Tensor, (m, ...)
        r: real images.
    held_out : Tensor, (h, ...)
        h: real images that are not among them. They pair with r one by one, so both need a random order.

    Returns
    -------
    dict
        ``span``: around 1 where ends differ as two real images do, 0 where all images are one. ``validity``: 1 where
        an image in the middle is as near to real ones as an unseen real image is, more where it is none. Blurred images
        lie near many others: a value below 1 is not better than 1.
    """
    checks.rows(start=start, middle=middle, end=end, real=real, held_out=held_out)
    checks.at_least(1, lines=len(start), real=len(real), held_out=len(held_out))
    if not len(start) == len(middle) == len(end):
        raise ValueError(f"{len(start)} starts, {len(middle)} middles and {len(end)} ends: need equally many")
    pairs = min(len(real), len(held_out))
    apart, real_apart = (
        (flat(a) - flat(b)).norm(dim=1).mean() for a, b in ((start, end), (real[:pairs], held_out[:pairs]))
    )
    near, real_near = (nearest_neighbours(rows, real)[0].mean() for rows in (middle, held_out))
    least = torch.finfo(torch.float64).tiny  # of real images that are all alike
    return {
        "span": (apart / real_apart.clamp_min(least)).item(), "validity": (near / real_near.clamp_min(least)).item(),
    }  # fmt: skip
