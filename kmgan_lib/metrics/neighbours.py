"""Nearest neighbors: copies of training images, fidelity and diversity, and interpolations between images.

Rows are images (n, c, h, w) as uint8 or as float in [0, 1], or features (n, d). Distances are Euclidean, in float64;
between images, in units of the range from black to white.
"""

import sys
from typing import Any

import torch
from jaxtyping import Float, Real
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from kmgan_lib import checks
from kmgan_lib.data.images import to_unit


def flat(rows: Tensor) -> Tensor:
    """Rows (n, p) in double precision."""
    return to_unit(rows).double().flatten(1)


@checks.typed
def nearest_neighbours(
    samples: Real[Tensor, "n d *rest"], training: Real[Tensor, "m d *rest"], chunk: int = 1000
) -> tuple[Tensor, Tensor]:
    r"""The nearest training row of each sample: :math:`\min_j \|s_i - t_j\|_2` (n,), and its (lowest) index (n,)."""
    origin = flat(training[:chunk]).mean(0)  # far from it the matrix product behind `torch.cdist` would lose digits
    rows = flat(samples) - origin
    nearest = [torch.cdist(rows, flat(part) - origin).min(1) for part in training.split(chunk)]
    distances, part = torch.stack([found.values for found in nearest]).min(0)
    columns = torch.stack([found.indices for found in nearest])
    return distances, columns.gather(0, part[None])[0] + chunk * part


@checks.typed
def memorisation_scores(
    samples: Real[Tensor, "s d *rest"], training: Real[Tensor, "t d *rest"], held_out: Real[Tensor, "h d *rest"],
    baseline: Real[Tensor, "b d *rest"],
) -> dict[str, Any]:  # fmt: skip
    r"""How near samples (s, ...) are to training images (t, ...), relative to how near unseen real images are.

    .. math:: r_i = \frac{\min_j \|s_i - t_j\|}{\mathrm{median}_h \min_j \|h - u_j\|}

    The scale is set by real images h (``held_out``), and others u (``baseline``) that do not contain them. Unseen
    images have ratios around 1, copies near 0; blurred or empty ones lie near many others.

    ``ratio`` (median), ``smallest``, ``ratios`` (of each sample, NaN where most held-out images have copies);
    ``closer_than_real``: share of samples nearer to their neighbor than all but 1% of the held-out images are;
    ``typical``: the median distance of held-out images; ``nearest``: indices in ``training``.
    """
    distances, indices = nearest_neighbours(samples, training)
    real = nearest_neighbours(held_out, baseline)[0]
    typical = real.median()
    ratios = distances / (typical if typical > 0 else torch.nan)
    return {
        "ratio": ratios.median().item(), "smallest": ratios.min().item(),
        "closer_than_real": (distances < real.quantile(0.01)).double().mean().item(), "typical": typical.item(),
        "nearest": indices.tolist(), "ratios": [round(r, 4) for r in ratios.tolist()],
    }  # fmt: skip


@checks.typed
def coverage_scores(
    real_features: Real[Tensor, "n d"], fake_features: Real[Tensor, "m d"], k: int = 5
) -> dict[str, float]:
    r"""Precision and recall (Kynkäänniemi et al., 2019), density and coverage (Naeem et al., 2020).

    The ball :math:`B(x_i)` around a feature reaches to its k-th nearest neighbor in its set of more than k features.

    .. math::
       \text{precision} &= \tfrac1m \textstyle\sum_j 1[\exists i: g_j \in B(f_i)], &
       \text{recall} &= \tfrac1n \textstyle\sum_i 1[\exists j: f_i \in B(g_j)], \\
       \text{density} &= \tfrac1{km} \textstyle\sum_j \sum_i 1[g_j \in B(f_i)], &
       \text{coverage} &= \tfrac1n \textstyle\sum_i 1[\exists j: g_j \in B(f_i)]

    Here f are real and g generated features. All are in [0, 1] but density, around 1 for equal distributions.
    """
    real, fake = flat(real_features.detach().cpu()), flat(fake_features.detach().cpu())
    if not 1 <= k < (fewest := min(len(real), len(fake))):
        raise ValueError(f"k={k} neighbors need more than {k} rows, and there are {fewest}")
    real, fake = (rows - real.mean(0) for rows in (real, fake))  # as for `nearest_neighbours`
    real_radii, fake_radii = (
        torch.from_numpy(NearestNeighbors(n_neighbors=k).fit(rows.numpy()).kneighbors()[0][:, -1])
        for rows in (real, fake)
    )
    # The balls are closed, as Kynkäänniemi et al. write them: exact copies count, even if the product loses digits.
    distances = torch.cdist(real, fake) - 1e-7 * real.norm(dim=1).max()
    balls = distances <= real_radii[:, None]  # of real features (rows), and which generated ones lie in them
    shares = balls.any(0), (distances <= fake_radii).any(1), balls.any(1)
    precision, recall, coverage = (share.double().mean().item() for share in shares)
    density = balls.sum().item() / (k * len(fake))
    return {"precision": precision, "recall": recall, "density": density, "coverage": coverage}


@checks.typed
def step_scores(frames: Float[Tensor, "t n d"]) -> dict[str, float]:
    r"""Whether interpolations along n lines, of at least two images or their features (T + 1, n, d), move steadily.

    With :math:`s_t = \|x_{t+1} - x_t\|_2` the steps of a line, its length is :math:`\sum_t s_t`.

    ``largest_step``: :math:`\max_t s_t / \sum_t s_t`, mean over lines: 1/T if all steps are equal, or all 0.
    ``detour``: length over the distance between the ends, mean over lines, at least 1 (1 for lines with equal ends).
    """
    steps = (frames[1:] - frames[:-1]).norm(dim=2)
    length, straight = steps.sum(0), (frames[-1] - frames[0]).norm(dim=1)
    largest = torch.where(length > 0, steps.amax(0) / length, 1 / len(steps))
    detour = torch.where(straight > 0, length / straight, 1.0)
    return {"largest_step": largest.mean().item(), "detour": detour.mean().item()}


@checks.typed
def line_scores(
    start: Real[Tensor, "n d *rest"], middle: Real[Tensor, "n d *rest"], end: Real[Tensor, "n d *rest"],
    real: Real[Tensor, "m d *rest"], held_out: Real[Tensor, "h d *rest"],
) -> dict[str, float]:  # fmt: skip
    r"""Whether interpolations lead from one image to a different one, through images.

    .. math:: \text{span} = \frac{E\|x_0 - x_1\|}{E\|r - h\|}, \qquad
              \text{validity} = \frac{E \min_j \|x_{1/2} - r_j\|}{E_h \min_j \|h - r_j\|}

    The images are the ends and middles of n lines; real images r and others h are paired one by one, so both need a
    random order. ``span`` is around 1 if the ends differ as two real images do, 0 if all images are one; ``validity``
    is 1 if an image in the middle is as near to real ones as an unseen real one is, and larger if it is no such image.
    """
    pairs = min(len(real), len(held_out))
    apart, real_apart = (
        (flat(a) - flat(b)).norm(dim=1).mean().item() for a, b in ((start, end), (real[:pairs], held_out[:pairs]))
    )
    near, real_near = (nearest_neighbours(rows, real)[0].mean().item() for rows in (middle, held_out))
    least = sys.float_info.min  # for real images that are all alike
    return {"span": apart / max(real_apart, least), "validity": near / max(real_near, least)}
