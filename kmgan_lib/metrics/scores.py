"""Scores that need class probabilities only."""

from __future__ import annotations

import torch
from torch import Tensor

from kmgan_lib import checks


def inception_score(probabilities: Tensor, splits: int = 10) -> tuple[float, float]:
    r"""Exponential of the mean divergence from the marginal, Eq. (8) (Salimans et al., 2016).

    .. math:: \exp\big(E_x\, KL(p(y|x)\,\|\,p(y))\big)

    The name Inception Score is right only for probabilities of the Inception network of 2015; for those of a
    classifier of ours it is called *classifier score*. It lies between 1 and the number of classes.

    A `ValueError` if there are fewer rows than splits, or the probabilities are no matrix.

    Parameters
    ----------
    probabilities : Tensor, (n, c)
        Rows sum to 1.
    splits : int
        Number of consecutive parts; each has its own marginal.

    Returns
    -------
    mean, std : float
        Over the splits; the population standard deviation, as in the original code.
    """
    checks.matrices(probabilities=probabilities)
    checks.at_least(1, classes=probabilities.shape[1])
    splits = checks.whole("splits", splits)
    if splits < 1 or len(probabilities) < splits:
        raise ValueError(f"{splits} splits need at least {splits} rows, and there are {len(probabilities)}")
    scores = []
    for part in probabilities.double().tensor_split(splits):
        marginal = part.mean(0, keepdim=True)
        # xlogy is 0 at probability 0, where the naive p log p would be NaN
        divergence = (torch.special.xlogy(part, part) - torch.special.xlogy(part, marginal)).sum(1)
        scores.append(divergence.mean().exp())
    stacked = torch.stack(scores)
    return stacked.mean().item(), stacked.std(correction=0).item()
