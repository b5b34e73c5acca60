r"""The paper's objectives, one function per equation, literally as printed (Eqs. 4 to 7).

``real_features`` and ``fake_features`` (b, d) are :math:`D(x)` and :math:`D(G(z))`, labels (b,) int64 the cluster of
each row, centers (k, d), and targets (b, d) the center of each row. Centers and targets are constants (readings, rows 3
and 10): gradients flow through the features only. Results are 0-dim tensors. Other shapes, types and words raise a
`jaxtyping.TypeCheckError`; NaN and infinity are passed through.
"""

from typing import Literal

from jaxtyping import Float, Int64
from torch import Tensor

from kmgan_lib.centers import distances, fractions
from kmgan_lib.checks import typed

Reduction = Literal["frobenius", "mean"]
PairReduction = Literal["sum", "mean", "pairs"]
ROOT_EPS = 1e-12  # added under a square root, whose gradient at zero would be infinite


@typed
def center_loss(
    real_features: Float[Tensor, "n d"], fake_features: Float[Tensor, "m d"], real_labels: Int64[Tensor, " n"],
    fake_labels: Int64[Tensor, " m"], real_centers: Float[Tensor, "k d"], fake_centers: Float[Tensor, "k d"], *,
    per_cluster: bool = False,
) -> Tensor:  # fmt: skip
    r"""Center loss, Eq. (4), without its constraint (see `kmgan_lib.methods.kmgan`), in the units of the features.

    .. math:: L_{center} = \Big\| \sum_{m=1}^k \frac{c_m + \sum_{i: \ell_i = m} D(x_i)}{1 + n_m}
              - \sum_{m=1}^k \frac{\hat c_m + \sum_{i: \hat\ell_i = m} D(G(z_i))}{1 + \hat n_m} \Big\|_1

    Labels are those of the first forward pass, centers :math:`c` and :math:`\hat c` those after the last iteration.
    ``per_cluster`` sums the distances of corresponding centers, :math:`\sum_m \|A_m - B_m\|_1`, which the text
    describes, instead of the distance of the two sums, which the equation prints (readings, row 2).
    """
    difference = fractions(real_centers.detach(), real_features, real_labels)
    difference = difference - fractions(fake_centers.detach(), fake_features, fake_labels)
    return difference.abs().sum() if per_cluster else difference.sum(0).abs().sum()


def block_norm(block: Tensor) -> Tensor:
    r"""Frobenius norm :math:`\sqrt{\sum_{ij} B_{ij}^2}` of a block (b, d), as in Eqs. (5), (6) and Algorithm 2."""
    return (block.square().sum() + ROOT_EPS).sqrt()


def _distance(features: Tensor, targets: Tensor, reduction: Reduction) -> Tensor:
    difference = features - targets.detach()
    if reduction == "frobenius":
        return block_norm(difference)
    return (difference.square().sum(1) + ROOT_EPS).sqrt().mean()


@typed
def discriminator_loss(
    real_features: Float[Tensor, "n d"], fake_features: Float[Tensor, "m d"], real_targets: Float[Tensor, "n d"],
    fake_targets: Float[Tensor, "m d"], *, reduction: Reduction = "frobenius",
) -> Tensor:  # fmt: skip
    r"""Discriminator's objective, Eq. (5), not bounded below unless the features are bounded (readings, row 11).

    .. math:: L_D = \|D(x) - C_{real}\|_2 - \|D(G(z)) - C_{gen}\|_2

    ``reduction``: ``frobenius``, the norm of the whole b x d block, as the symbols say, or ``mean``, the mean over the
    batch of each row's Euclidean norm (readings, row 9).
    """
    return _distance(real_features, real_targets, reduction) - _distance(fake_features, fake_targets, reduction)


@typed
def generator_loss(
    fake_features: Float[Tensor, "b d"], fake_targets: Float[Tensor, "b d"], *, reduction: Reduction = "frobenius"
) -> Tensor:
    r"""Generator's objective, Eq. (6), at least 0; ``reduction`` as in `discriminator_loss`.

    .. math:: L_G = \|D(G(z)) - C_{gen}\|_2, \qquad C_{gen} \text{ the real center of each row}
    """
    return _distance(fake_features, fake_targets, reduction)


def _pairwise(a: Tensor, b: Tensor, reduction: PairReduction, *, within: bool = False) -> Tensor:
    total = distances(a, b, 1).sum()
    pairs = 2 * len(a) * (len(a) - 1) if within and reduction == "pairs" else len(a) * len(b)
    return total if reduction == "sum" else total / pairs


@typed
def intra_distance(
    real_features: Float[Tensor, "n d"], fake_features: Float[Tensor, "m d"], *, reduction: PairReduction = "sum"
) -> Tensor:
    r"""Distances within real and within generated samples, the :math:`L_{intra}` of Eq. (7), at least 0.

    .. math:: L_{intra} = \sum_{i,j} \|D(x_i) - D(x_j)\|_1 + \sum_{i,j} \|D(G(z_i)) - D(G(z_j))\|_1

    ``reduction``: the ``sum`` over all :math:`b^2` ordered pairs, as printed; their ``mean``; or half the mean over
    unordered ``pairs`` of different samples (readings, row 33), with which :math:`L_{intra} - L_{inter}` is minus half
    the energy distance (Székely and Rizzo, 2013): nothing is gained by shrinking the features.
    """
    real = _pairwise(real_features, real_features, reduction, within=True)
    return real + _pairwise(fake_features, fake_features, reduction, within=True)


@typed
def inter_distance(
    real_features: Float[Tensor, "n d"], fake_features: Float[Tensor, "m d"], *, reduction: PairReduction = "sum"
) -> Tensor:
    r"""Distances between real and generated samples, the :math:`L_{inter}` of Eq. (7); with ``pairs``, their mean.

    .. math:: L_{inter} = \sum_{i,j} \|D(x_i) - D(G(z_j))\|_1
    """
    return _pairwise(real_features, fake_features, reduction)
