"""Fidelity and diversity by nearest neighbours: precision, recall, density and coverage."""

from __future__ import annotations

import torch
from torch import Tensor

from kmgan_lib import checks
from kmgan_lib.metrics.neighbours import CHUNK, flat, kth_distances, squared_distances


def coverage_scores(real_features: Tensor, fake_features: Tensor, k: int = 5) -> dict[str, float]:
    r"""Precision and recall (Kynkäänniemi et al., 2019), density and coverage (Naeem et al., 2020).

    The ball :math:`B(x_i)` around a feature reaches to its k-th nearest neighbour of the same set.

    .. math::
       \text{precision} &= \tfrac1m \textstyle\sum_j 1[\exists i: g_j \in B(f_i)], &
       \text{recall} &= \tfrac1n \textstyle\sum_i 1[\exists j: f_i \in B(g_j)], \\
       \text{density} &= \tfrac1{km} \textstyle\sum_j \sum_i 1[g_j \in B(f_i)], &
       \text{coverage} &= \tfrac1n \textstyle\sum_i 1[\exists j: g_j \in B(f_i)]

    Distances are computed in chunks: 10,000 by 10,000 features take about 100 MB.

    A `ValueError` if the numbers of columns differ or a set has no more than k rows.

    Parameters
    ----------
    real_features : Tensor, (n, d)
        f, more than k of them.
    fake_features : Tensor, (m, d)
        g, more than k of them.
    k : int
        Neighbours that a ball reaches to.

    Returns
    -------
    dict
        ``precision``, ``recall`` and ``coverage`` in [0, 1]; ``density`` at least 0, around 1 for equal
        distributions.
    """
    if real_features.ndim != 2 or real_features.shape[1:] != fake_features.shape[1:]:
        shapes = f"{tuple(real_features.shape)} and {tuple(fake_features.shape)}"
        raise ValueError(f"features {shapes} must be two matrices with equally many columns")
    checks.rows(real_features=real_features, fake_features=fake_features)
    k = checks.whole("k", k)
    real, fake = flat(real_features.detach().cpu()), flat(fake_features.detach().cpu())
    # The balls are closed, as Kynkäänniemi et al. write them: exact copies count.
    real_radii, fake_radii = (kth_distances(f, k).square() for f in (real, fake))
    origin = real.mean(0)
    balls_of_fake = torch.zeros(len(fake), dtype=torch.int64)  # in how many real balls each generated feature lies
    recalled, covered = [], []
    for part, radii in zip(real.split(CHUNK), real_radii.split(CHUNK), strict=True):
        squared = squared_distances(part, fake, origin)
        inside = squared <= radii.unsqueeze(1)
        balls_of_fake += inside.sum(0)
        covered.append(inside.any(1))
        recalled.append((squared <= fake_radii).any(1))
    return {
        "precision": (balls_of_fake > 0).double().mean().item(),
        "recall": torch.cat(recalled).double().mean().item(),
        "density": balls_of_fake.double().mean().item() / k,
        "coverage": torch.cat(covered).double().mean().item(),
    }
