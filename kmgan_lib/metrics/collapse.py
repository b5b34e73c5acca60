"""Collapse: do centers become one (Section 3.3), does the generator leave out classes, or variety within them."""

from __future__ import annotations

import math
from typing import Any

import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from kmgan_lib import checks
from kmgan_lib.centers import assign
from kmgan_lib.metrics.neighbours import flat, kth_distances, nearest_neighbours

TOLERANCE = 0.1
RAREST_MODE = 0.01  # least share that makes a class a mode, and a center used


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

    A `ValueError` if shapes or types are others, or there are no centers or features.

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
        nearest to at least a share ``least_share`` of the features: 1 %, or half of an equal share where k is above 50.
        A center that lost its features stays where it was and may be distinct for ever. ``entropy``:
        :math:`-\sum_m p_m \ln p_m` of the shares of features assigned to each center, in nats; ``evenness``: the same
        over :math:`\ln k`, 1 for equal shares (0 for k = 1).
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
    least = min(RAREST_MODE, 1 / (2 * k))
    return {
        "spread": spread,
        "distance": gaps.mean().item() / spread if measured else 0.0,
        "smallest_distance": gaps.min().item() / spread if measured else 0.0,
        "distinct": distinct_points(centers, tolerance * spread),
        "used": int((shares >= least).sum()),
        "least_share": least,
        "entropy": entropy,
        "evenness": entropy / math.log(k) if k > 1 else 0.0,
    }


def mode_scores(points: Tensor, real: Tensor, labels: Tensor, rarest: float = RAREST_MODE) -> dict[str, Any]:
    """Which hidden classes generated points belong to, by the class of the nearest real point.

    A `ValueError` if shapes or types are others, there are no points, fewer than two real ones, or a label below 0.

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


def within_class_scores(
    images: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor, rarest: float = RAREST_MODE
) -> dict[str, Any]:
    r"""Variety within classes: variance of generated images over that of real ones, class by class.

    .. math:: \rho_c = \frac{V(\{g_i : \text{class } c\})}{V(\{x_j : \text{class } c\})}, \qquad
              V(S) = \tfrac{1}{|S| - 1} \textstyle\sum_{s \in S} \|s - \bar s\|^2

    A generator that draws one picture a class has a perfect class score, and ratios near 0.

    A `ValueError` if shapes or types are others, there are no images, or a label is below 0.

    Parameters
    ----------
    images : Tensor, (n, ...)
        Generated, as uint8 or as float in [0, 1].
    labels : Tensor, (n,) int64
        Their classes by a classifier.
    real : Tensor, (m, ...)
        Real images of the same shape.
    real_labels : Tensor, (m,) int64
        Their classes, by the same classifier.
    rarest : float
        Least share of a class that is looked at, in both.

    Returns
    -------
    dict
        ``within``: mean of the ratios over the classes present; ``smallest``: the smallest; ``present``: number of
        these classes, which have a share of at least ``rarest`` and two images in both, and varying real ones;
        ``ratios``: list over all classes, None for the others. ``within`` and ``smallest`` are 0 where no class is.
    """
    checks.rows(images=images, real=real)
    checks.labels(len(images), labels=labels)
    checks.labels(len(real), real_labels=real_labels)
    checks.at_least(1, images=len(images), real=len(real))
    checks.at_least(0, label=int(labels.min()), real_label=int(real_labels.min()))
    ratios: list[float | None] = []
    for c in range(1 + int(max(labels.max(), real_labels.max()))):
        groups = images[labels == c], real[real_labels == c]
        few = any(len(g) < max(2, rarest * len(all_)) for g, all_ in zip(groups, (images, real), strict=True))
        ours, theirs = (0.0, 0.0) if few else (flat(g).var(0).sum().item() for g in groups)
        ratios.append(ours / theirs if theirs > 0 else None)
    present = [ratio for ratio in ratios if ratio is not None]
    return {
        "within": sum(present) / len(present) if present else 0.0, "smallest": min(present, default=0.0),
        "present": len(present), "ratios": ratios,
    }  # fmt: skip
