"""What a few seeds can show: exact tests, and an interval, that assume no normal distribution."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


def rate_gap(failed: int, runs: int, other_failed: int, other_runs: int) -> tuple[float, float]:
    r"""95 % interval of the difference of two rates, the first minus the other (Newcombe, 1998, method 10).

    With :math:`[l_i, u_i]` the Wilson interval of :math:`p_i`, and :math:`\delta = p_1 - p_2`,

    .. math::
        \left[\delta - \sqrt{(p_1 - l_1)^2 + (u_2 - p_2)^2},\;
        \delta + \sqrt{(u_1 - p_1)^2 + (p_2 - l_2)^2}\right].
    """
    (p, l1, u1), (q, l2, u2) = (
        (k / n, *stats.binomtest(k, n).proportion_ci(0.95, method="wilson"))
        for k, n in ((failed, runs), (other_failed, other_runs))
    )
    return p - q - math.hypot(p - l1, u2 - q), p - q + math.hypot(u1 - p, q - l2)


def sign_flip(gaps: Sequence[float] | np.ndarray) -> float:
    """Exact paired test that the gaps lie below 0, one-sided (Fisher's randomization of signs).

    The share of the :math:`2^n` choices of signs whose sum is at most the one found: at least :math:`2^{-n}`, and 1
    with fewer than two pairs. An infinite gap outweighs all finite ones. Each pair doubles the time: seconds at 22.
    """
    known = np.asarray(gaps, float)
    if len(known) < 2:
        return 1.0
    largest = np.abs(known[np.isfinite(known)]).max(initial=0) or 1.0
    beyond = len(known) + 1
    sums = np.zeros(1)
    for gap in np.clip(known / largest, -beyond, beyond):
        sums = np.concatenate([sums + gap, sums - gap])
    found = sums[0]  # with every sign as it was
    return float((sums <= found + 1e-12 * beyond).mean())


def ranks(values: Sequence[float], others: Sequence[float]) -> float:
    """Exact test that values lie below others, one-sided (Mann and Whitney's, with ties and infinite values).

    The share of all ways to deal the pooled ranks (means for ties) that give the first group at most the sum found.
    Three against three reach 0.05 if they do not overlap; it is 1 with fewer than two of either.
    """
    if min(len(values), len(others)) < 2:
        return 1.0
    doubled = np.rint(2 * stats.rankdata([*values, *others])).astype(int)  # means of ranks are halves
    ways = np.zeros((len(values) + 1, doubled.sum() + 1))  # [i, s]: how many choices of i ranks have the sum s
    ways[0, 0] = 1
    for rank in doubled:
        ways[1:, rank:] += ways[:-1, :-rank].copy()
    chosen = ways[len(values)]
    return float(chosen[: doubled[: len(values)].sum() + 1].sum() / chosen.sum())
