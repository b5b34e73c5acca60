"""Nearest neighbours in chunks: are samples copies of training images (memorised), and who is near whom."""

from __future__ import annotations

import torch
from torch import Tensor

from kmgan_lib import checks
from kmgan_lib.data.images import to_unit

CHUNK = 1000


def flat(rows: Tensor) -> Tensor:
    """Rows (n, p) in double precision, of pictures (n, c, h, w) in bytes or in [0, 1], or of features (n, p)."""
    return to_unit(rows).double().flatten(1)


def squared_distances(a: Tensor, b: Tensor, origin: Tensor) -> Tensor:
    """Squared Euclidean distances (n, m) of rows (n, p) and (m, p) in float64, at least 0.

    ``origin`` (p,) is a point near the rows: far from it the expansion of the square would lose digits.
    """
    a, b = a - origin, b - origin
    return (a.square().sum(1, keepdim=True) - 2 * a @ b.T + b.square().sum(1)).clamp_min(0)


def nearest_neighbours(samples: Tensor, training: Tensor, chunk: int = CHUNK) -> tuple[Tensor, Tensor]:
    r"""The nearest training row of each sample, :math:`\min_j \|s_i - t_j\|_2` and its index.

    Memory is that of ``chunk`` rows of each, and of as many distances.

    A `ValueError` without training rows, or if the rows differ in shape.

    Parameters
    ----------
    samples : Tensor, (n, ...)
        Pictures as uint8 or as float in [0, 1], or features.
    training : Tensor, (m, ...)
        The same kind of rows.
    chunk : int
        Rows compared at a time.

    Returns
    -------
    distances : Tensor, (n,) float64
        Euclidean; of pictures in units of the full range from black to white.
    indices : Tensor, (n,) int64
        The lowest index on a tie.
    """
    for name, tensor in (("samples", samples), ("training", training)):
        checks.rows(**{name: tensor})
    checks.at_least(1, chunk=chunk)
    if len(training) == 0 or samples.shape[1:] != training.shape[1:]:
        shapes = f"{tuple(samples.shape)} and {tuple(training.shape)}"
        raise ValueError(f"samples and training rows {shapes} must be of one shape, and there must be some")
    origin = flat(training[:chunk]).mean(0)
    distances, indices = [], []
    for part in samples.split(chunk):
        rows = flat(part)
        best = torch.full((len(rows),), torch.inf, dtype=torch.float64)
        where = torch.zeros(len(rows), dtype=torch.int64)
        for start, others in zip(range(0, len(training), chunk), training.split(chunk), strict=True):
            least, column = squared_distances(rows, flat(others), origin).min(1)
            closer = least < best
            best, where = torch.where(closer, least, best), torch.where(closer, column + start, where)
        distances.append(best.sqrt())
        indices.append(where)
    return torch.cat(distances), torch.cat(indices)


def kth_distances(rows: Tensor, k: int, chunk: int = CHUNK) -> Tensor:
    """Distance (n,) of each row (n, p) to its k-th nearest other row; a row is not its own neighbour."""
    checks.rows(rows=rows)
    checks.at_least(1, chunk=chunk)
    rows, k = flat(rows), checks.whole("k", k)
    if not 1 <= k < len(rows):
        raise ValueError(f"k={k} neighbours need more than {k} rows, and there are {len(rows)}")
    origin, radii = rows.mean(0), []
    for start in range(0, len(rows), chunk):
        squared = squared_distances(rows[start : start + chunk], rows, origin)
        squared[torch.arange(len(squared)), torch.arange(start, start + len(squared))] = torch.inf
        radii.append(squared.topk(k, dim=1, largest=False).values[:, -1].sqrt())  # kthvalue takes longer
    return torch.cat(radii)


def memorisation_scores(samples: Tensor, training: Tensor, held_out: Tensor, baseline: Tensor) -> dict[str, object]:
    r"""How near samples are to training images, measured by how near unseen real images are.

    .. math:: r_i = \frac{\min_j \|s_i - t_j\|}{\mathrm{median}_h \min_j \|h - u_j\|}

    A ratio of 1 is what an image that the method never saw would have; copies have ratios near 0. Blurred or empty
    pictures lie near many others, so a small ratio is a reason to look at the pair, not yet a proof.

    A `ValueError` if rows differ in shape, or there are none of a kind.

    Parameters
    ----------
    samples : Tensor, (n, ...)
        Generated pictures or their features.
    training : Tensor, (m, ...)
        What the method was trained on.
    held_out, baseline : Tensor, (h, ...) and (u, ...)
        Real images, and others that none of them is among: the scale.

    Returns
    -------
    dict
        ``ratio`` (median), ``smallest`` (minimum); ``closer_than_real``: share of samples nearer to their neighbour
        than all but 1 % of the held-out images are, 0.01 by chance; ``typical``: the median distance of held-out
        images; ``nearest``: index in ``training`` for each sample; ``ratios``: for each sample. Where most held-out
        images have copies the scale is 0, and ratios are NaN.
    """
    checks.rows(samples=samples, training=training, held_out=held_out, baseline=baseline)
    checks.at_least(1, samples=len(samples), held_out=len(held_out))
    distances, indices = nearest_neighbours(samples, training)
    real = nearest_neighbours(held_out, baseline)[0]
    typical = real.median()
    ratios = distances / (typical if typical > 0 else torch.nan)
    return {
        "ratio": ratios.median().item(), "smallest": ratios.min().item(),
        "closer_than_real": (distances < real.quantile(0.01)).double().mean().item(), "typical": typical.item(),
        "nearest": indices.tolist(), "ratios": [round(r, 4) for r in ratios.tolist()],
    }  # fmt: skip
