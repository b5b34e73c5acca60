"""How often each class is generated (Section 4.3, Fig. 5c)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor


def class_frequency(predicted_labels: Tensor, classes: int) -> dict[str, Any]:
    r"""Share of each class with its Wilson 95 % interval, and a test against equal shares.

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

    Raises
    ------
    ValueError
        Without labels, or with labels out of range.
    """
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
