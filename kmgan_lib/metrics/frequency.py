"""How often each class is generated (Section 4.3, Fig. 5c)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import optimize, stats
from torch import Tensor

from kmgan_lib import checks

RESAMPLES = 200


def class_frequency(predicted_labels: Tensor, classes: int) -> dict[str, Any]:
    r"""Share of each class with its Wilson 95 % interval, and a test against equal shares.

    A `ValueError` without labels, with labels out of range or of another type, or without classes.

    Parameters
    ----------
    predicted_labels : Tensor, (n,) int64
        Class of each generated image, 0 ... classes - 1, by a classifier.
    classes : int
        Number of classes.

    Returns
    -------
    dict
        ``frequency``, ``low``, ``high``: lists of length ``classes``, shares in [0, 1]. ``chi2``, ``p``: Pearson's
        statistic against equal shares with classes - 1 degrees of freedom, and its p-value.
    """
    checks.labels(predicted_labels=predicted_labels)
    checks.at_least(1, classes=classes)
    if len(predicted_labels) == 0:
        raise ValueError("no labels: a frequency needs at least one")
    if int(predicted_labels.min()) < 0 or int(predicted_labels.max()) >= classes:
        raise ValueError(f"labels must lie between 0 and {classes - 1}")
    counts = torch.bincount(predicted_labels.cpu(), minlength=classes).double().numpy()
    n, z = counts.sum(), stats.norm.ppf(0.975)
    share = counts / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    chi2, p = stats.chisquare(counts)
    low, high = (middle - half).clip(0), (middle + half).clip(max=1)
    return {
        "frequency": share.tolist(), "low": low.tolist(), "high": high.tolist(), "chi2": float(chi2), "p": float(p),
    }  # fmt: skip


def confusion_matrix(true_labels: Tensor, predicted_labels: Tensor, classes: int) -> Tensor:
    """How many images of each true class (rows) get each predicted class (columns), (c, c) int64.

    A `ValueError` if the labels are no vectors of int64 of one length, or out of range.
    """
    checks.labels(true_labels=true_labels, predicted_labels=predicted_labels)
    checks.labels(len(true_labels), predicted_labels=predicted_labels)
    checks.at_least(1, classes=classes)
    for known in (true_labels, predicted_labels):
        if len(known) and not 0 <= int(known.min()) <= int(known.max()) < classes:
            raise ValueError(f"labels must lie between 0 and {classes - 1}")
    pairs = true_labels.cpu() * classes + predicted_labels.cpu()
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def corrected_frequency(predicted_labels: Tensor, confusion: Tensor, seed: int = 0) -> dict[str, list[float]]:
    r"""Share of each class, corrected for the classifier's confusions.

    A classifier that takes a tenth of the shirts for T-shirts sees too few shirts. With
    :math:`C_{ij} = P(\text{predicted } j \,|\, \text{true } i)`, estimated on real test images, the shares are

    .. math:: \hat\pi = \arg\min_{\pi \ge 0,\; \sum_i \pi_i = 1} \|C^T \pi - p\|_2,

    where p are the predicted shares. This takes generated images to be confused like real ones, which holds less the
    worse they are. The intervals resample both the predictions and the rows of C (the 95 % of a parametric bootstrap).

    A `ValueError` if a class has no real images, there are no labels, or any are out of range; if the counts are none.

    Parameters
    ----------
    predicted_labels : Tensor, (n,) int64
        Class of each generated image by the classifier.
    confusion : Tensor, (c, c)
        Counts: true classes in rows, predicted ones in columns; no empty row.
    seed : int
        Fixes the resampling.

    Returns
    -------
    dict
        ``corrected``, ``corrected_low``, ``corrected_high``: lists of length c, shares in [0, 1].
    """
    checks.labels(predicted_labels=predicted_labels)
    checks.seed(seed)
    if confusion.ndim != 2 or len(confusion) != confusion.shape[1] or not len(confusion) or confusion.is_complex():
        raise ValueError(f"confusion {tuple(confusion.shape)} must be a square matrix of counts")
    if not (confusion.isfinite() & (confusion >= 0) & (confusion < 2**31)).all():
        raise ValueError("confusion must hold counts, which are finite, not negative and below 2**31")
    if len(predicted_labels) and not 0 <= int(predicted_labels.min()) <= int(predicted_labels.max()) < len(confusion):
        raise ValueError(f"labels must lie between 0 and {len(confusion) - 1}")
    counts = confusion.double().numpy()
    classes, n = len(counts), len(predicted_labels)
    if n == 0 or (counts.sum(1) == 0).any():
        raise ValueError(f"{n} labels and {int((counts.sum(1) == 0).sum())} classes without real images: need some")
    rows = counts / counts.sum(1, keepdims=True)
    shares = torch.bincount(predicted_labels.cpu(), minlength=classes).double().numpy() / n
    random = np.random.default_rng(seed)
    totals = counts.sum(1).astype(int)
    resampled = []
    for p in random.multinomial(n, shares, RESAMPLES) / n:
        drawn = [random.multinomial(total, row) / total for total, row in zip(totals, rows, strict=True)]
        resampled.append(_unmixed(np.stack(drawn), p))
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    corrected = _unmixed(rows, shares)
    return {"corrected": corrected.tolist(), "corrected_low": low.tolist(), "corrected_high": high.tolist()}


def _unmixed(rows: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The point of the simplex whose mixture of rows (c, c) is nearest to the shares (c,)."""
    # Least squares with non-negative weights; a heavy extra equation holds their sum at 1.
    heavy = 1e4
    weights = optimize.nnls(np.vstack([rows.T, np.full(len(rows), heavy)]), np.append(shares, heavy))[0]
    return weights / weights.sum()
