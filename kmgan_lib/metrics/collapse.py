"""Collapse: do centers become one (Section 3.3), and does the generator leave out classes."""

from __future__ import annotations

import math
from typing import Any

import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from kmgan_lib import checks
from kmgan_lib.centers import assign
from kmgan_lib.metrics.neighbours import kth_distances, nearest_neighbours

TOLERANCE = 0.1
RAREST_MODE = 0.01


def distinct_points(points: Tensor, within: float) -> int:
    """Number of groups of points (k, d), where points no farther apart than ``within`` are of one group."""
    close = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist") <= within
    return int(connected_components(close.numpy(), directed=False, return_labels=False))


def center_scores(centers: Tensor, features: Tensor, tolerance: float = TOLERANCE) -> dict[str, float | int]:
    r"""Whether K-Means has k clusters or one: distances between centers, how many are distinct, and their use.

    Lengths are measured by the spread of the features, :math:`s = \sqrt{E\|f - Ef\|^2}`: features that shrink take
    their centers with them, which is no collapse of the clusters. Centers no farther apart than ``tolerance`` times s
    count as one. To merge two clusters at a distance :math:`\delta s` raises the K-Means loss by at most
    :math:`\delta^2/4` of the features' variance: by 0.25 % at the tolerance of 0.1, so such clusters say nothing.

    Parameters
    ----------
    centers : Tensor, (k, d)
    features : Tensor, (n, d)
        Of real images.
    tolerance : float

    Returns
    -------
    dict
        ``spread``: s. ``distance``, ``smallest_distance``: mean and minimum over pairs of centers, in units of s (0
        for k = 1 or s = 0). ``distinct``: number of distinct centers, 1 ... k. ``used``: number of centers that are
        nearest to some feature. ``entropy``: :math:`-\sum_m p_m \ln p_m` of the shares of features assigned to each
        center, in nats; ``evenness``: the same over :math:`\ln k`, 1 for equal shares (0 for k = 1).

    Raises
    ------
    ValueError
        If shapes or types are others, or there are no centers or features.
    """
    checks.matrices(centers=centers, features=features)
    checks.at_least(1, k=len(centers), features=len(features))
    centers, features = centers.detach().cpu().double(), features.detach().cpu().double()
    k = len(centers)
    spread = (features - features.mean(0)).square().sum(1).mean().sqrt().item()
    gaps = torch.pdist(centers)
    shares = torch.bincount(assign(features, centers), minlength=k).double() / len(features)
    entropy = torch.special.entr(shares).sum().item()
    measured = len(gaps) > 0 and spread > 0
    return {
        "spread": spread,
        "distance": gaps.mean().item() / spread if measured else 0.0,
        "smallest_distance": gaps.min().item() / spread if measured else 0.0,
        "distinct": distinct_points(centers, tolerance * spread),
        "used": int((shares > 0).sum()),
        "entropy": entropy,
        "evenness": entropy / math.log(k) if k > 1 else 0.0,
    }


def mode_scores(points: Tensor, real: Tensor, labels: Tensor, rarest: float = RAREST_MODE) -> dict[str, Any]:
    """Which hidden classes generated points belong to, by the class of the nearest real point.

    Parameters
    ----------
    points : Tensor, (n, d)
        Generated.
    real : Tensor, (m, d)
    labels : Tensor, (m,) int64
        Classes of the real points, 0 ... c - 1.
    rarest : float
        Least share of points that makes a class a mode.

    Returns
    -------
    dict
        ``modes``: number of classes with at least this share; ``share``: list of length c; ``near_data``: share of
        points that are nearer to a real point than 99 % of real points are to another one. A point far from all data
        has a nearest class too, so ``modes`` means nothing where ``near_data`` is small.

    Raises
    ------
    ValueError
        If shapes or types are others, there are no points, fewer than two real ones, or a label below 0.
    """
    checks.rows(points=points, real=real)
    checks.labels(len(real), labels=labels)
    checks.at_least(1, points=len(points))
    checks.at_least(2, real=len(real))
    checks.at_least(0, label=int(labels.min()))
    distances, indices = nearest_neighbours(points, real)
    share = torch.bincount(labels[indices], minlength=int(labels.max()) + 1).double() / len(points)
    near = distances <= kth_distances(real, 1).quantile(0.99)
    return {
        "modes": int((share >= rarest).sum()), "share": share.tolist(), "near_data": near.double().mean().item(),
    }  # fmt: skip
