"""Distances between two sets of features: Fréchet (FID's formula) and kernel (KID's), for any extractor."""

from __future__ import annotations

import torch
from torch import Tensor

from kmgan_lib import checks


def _checked(features_a: Tensor, features_b: Tensor) -> tuple[Tensor, Tensor]:
    if features_a.ndim != 2 or features_b.ndim != 2 or features_a.shape[1] != features_b.shape[1]:
        shapes = f"{tuple(features_a.shape)} and {tuple(features_b.shape)}"
        raise ValueError(f"features {shapes} must be two matrices with equally many columns")
    checks.rows(features_a=features_a, features_b=features_b)
    checks.at_least(1, columns=features_a.shape[1])
    if min(len(features_a), len(features_b)) < 2:
        raise ValueError(f"{len(features_a)} and {len(features_b)} rows: a distance needs at least 2 of each")
    return features_a.detach().cpu().double(), features_b.detach().cpu().double()


def _root(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and a matrix R with R'R = covariance (unbiased, as NumPy's ``cov``)."""
    mean = features.mean(0)
    triangle = torch.linalg.qr((features - mean) / (len(features) - 1) ** 0.5, mode="r").R
    return mean, triangle


def frechet_distance(features_a: Tensor, features_b: Tensor) -> float:
    r"""Squared Fréchet distance of the normal distributions fitted to two sets of features (Heusel et al., 2017).

    .. math:: \|\mu_a - \mu_b\|^2 + \mathrm{tr}\big(\Sigma_a + \Sigma_b - 2(\Sigma_a\Sigma_b)^{1/2}\big)

    With :math:`\Sigma_a = R_a^T R_a` the last trace is the sum of the singular values of :math:`R_a R_b^T`, which needs
    no matrix square root and stays accurate for singular covariances. The name FID is right only for the 2,048
    features of the Inception network of 2015. The estimate is biased upwards for small n: compare equal n only.

    A `ValueError` if the numbers of columns differ, or a set has fewer than 2 rows.

    Parameters
    ----------
    features_a : Tensor, (n, d)
    features_b : Tensor, (m, d)

    Returns
    -------
    float
        At least 0 up to rounding, in squared units of the features; computed in double precision. NaN for features
        that are not finite.
    """
    a, b = _checked(features_a, features_b)
    if not (a.isfinite().all() and b.isfinite().all()):
        return float("nan")
    (mean_a, root_a), (mean_b, root_b) = _root(a), _root(b)
    if not (root_a.isfinite().all() and root_b.isfinite().all()):
        return float("inf")  # finite features too far apart for double precision
    cross = torch.linalg.svdvals(root_a @ root_b.T).sum()
    total = (mean_a - mean_b).square().sum() + root_a.square().sum() + root_b.square().sum() - 2 * cross
    return total.item()


def kernel_distance(
    features_a: Tensor, features_b: Tensor, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    r"""Squared maximum mean discrepancy under a cubic kernel, unbiased (KID's formula; Binkowski et al., 2018).

    .. math:: k(x, y) = (x^T y / d + 1)^3, \qquad
       \frac{\sum_{i \ne j} k(a_i, a_j) + k(b_i, b_j)}{s(s - 1)} - \frac{2 \sum_{i, j} k(a_i, b_j)}{s^2}

    Unlike the Fréchet distance it has no bias in n, so values of different n may be compared.

    A `ValueError` if the numbers of columns differ, a set has fewer rows than a subset, or the seed is none.

    Parameters
    ----------
    features_a : Tensor, (n, d)
    features_b : Tensor, (m, d)
    subsets : int
        Number of pairs of random subsets.
    subset_size : int
        Rows s of each, drawn without replacement; at most n and m.
    seed : int
        Fixes the subsets.

    Returns
    -------
    mean, std : float
        Over the subsets, the population standard deviation; computed in double precision. Around 0 for equal
        distributions, and then also below it.
    """
    a, b = _checked(features_a, features_b)
    subsets, size = checks.whole("subsets", subsets), checks.whole("subset_size", subset_size)
    smallest = min(len(a), len(b))
    if subsets < 1 or not 2 <= size <= smallest:
        raise ValueError(f"{subsets} subsets of {size} rows: need at least 1 subset of 2 to {smallest} rows")
    generator = torch.Generator().manual_seed(checks.seed(seed))
    values = []
    for _ in range(subsets):
        x, y = (f[torch.randperm(len(f), generator=generator)[:size]] for f in (a, b))
        xx, yy, xy = ((u @ v.T / a.shape[1] + 1) ** 3 for u, v in ((x, x), (y, y), (x, y)))
        within = xx.sum() - xx.diagonal().sum() + yy.sum() - yy.diagonal().sum()
        values.append(within / (size * (size - 1)) - 2 * xy.mean())
    stacked = torch.stack(values)
    return stacked.mean().item(), stacked.std(correction=0).item()
