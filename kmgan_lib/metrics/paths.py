"""Perceptual path length: how fast pictures change along a straight line between two noise vectors."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

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
    """
    t = position.to(start).reshape(-1, 1)  # t in single precision would move the step by its rounding
    near, far = (embed(start + (end - start) * (t + step)) for step in (0.0, epsilon))
    return (far - near).flatten(1).square().sum(1) / epsilon**2
