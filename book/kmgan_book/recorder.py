"""Features recorded during a training, and figures of them and of one moment: samples, features, losses so far."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from sklearn.decomposition import PCA
from torch import Tensor

from kmgan_book.figures import PALETTE, badge, canvas
from kmgan_lib.data import Images
from kmgan_lib.methods.base import Method
from kmgan_lib.training.run import Run

LOSSES = {"loss_d": "$L_D$", "loss_g": "$L_G$", "loss_center": "$L_{center}$"}
MARKS = "osv^DPX*<>"  # one shape per ten clusters, since twenty colors cannot all be distinguished


def to_webp(figure: Figure) -> bytes:
    """The figure as a small WebP image; it is closed, so that a notebook does not show it once more."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="webp", pil_kwargs={"quality": 80, "method": 4})
    plt.close(figure)
    return buffer.getvalue()


class Projection:
    """Projection of features (n, d) onto their first two principal components; two-dimensional features are kept."""

    def __init__(self, features: Tensor):
        dimensions = features.shape[1]
        self.plane = PCA(2, svd_solver="full").fit(features) if dimensions > 2 else None
        self.label = f"first 2 components of {dimensions} features" if self.plane else "features"

    def __call__(self, features: Tensor) -> Tensor:
        """Points (n, 2)."""
        return torch.from_numpy(self.plane.transform(features)) if self.plane else features


def scatter(ax: Axes, points: Tensor, labels: Tensor | None, centers: Tensor | None) -> None:
    """Points (n, 2), one color and shape per label, and centers (k, 2) as black crosses."""
    x, y = points.numpy().T
    groups = np.zeros(len(x), int) if labels is None else labels.numpy()
    colors = sns.color_palette(PALETTE)
    for group in np.unique(groups):
        mine = groups == group
        mark = MARKS[group // len(colors) % len(MARKS)]
        ax.scatter(x[mine], y[mine], s=8, color=colors[group % len(colors)], marker=mark, alpha=0.6, linewidths=0)
    if centers is not None:
        ax.scatter(*centers.numpy().T, s=60, color="black", marker="X", edgecolors="white", linewidths=0.8)
    ax.tick_params(labelsize=7)
    ax.locator_params(nbins=4)


@dataclass
class FeatureRecorder:
    """A callback of `kmgan_lib.train` that keeps D's features and the centers at every snapshot.

    The features are of at most `most` images, a fixed random choice; their labels, if any, only color the points.
    """

    images: Images
    most: int = 500
    features: dict[int, Tensor] = field(default_factory=dict)  # (n, d), by iteration
    centers: dict[int, Tensor] = field(default_factory=dict)  # real ones (k, d), for methods that have centers

    def __post_init__(self) -> None:
        order = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(0))[: self.most]
        self._tensor = self.images.tensor.cpu()[order]
        self.labels = None if self.images.labels is None else self.images.labels.cpu()[order]

    def __call__(self, iteration: int, method: Method) -> None:
        """Keep one moment."""
        self.features[iteration] = method.features(self._tensor, self.labels).cpu()
        bank = getattr(method, "bank", None)
        if bank is not None:
            self.centers[iteration] = bank.real.cpu().clone()


def moment(
    run: Run, kept: FeatureRecorder, iteration: int, project: Projection, limits: list[list[float]],
    samples: Path | None,
) -> Figure:  # fmt: skip
    """One moment of a training: the sheet of samples, if any, features with centers, and the losses so far.

    ``limits`` are those of both feature axes, the same at every moment, so that movement can be seen.
    """
    if samples is None:
        figure, ((left, ax),) = canvas(1, 2, 6.4, 3.3)
    else:  # the losses below the other two: three beside each other cannot be read on a phone
        figure, ((first, left), (ax, spare)) = canvas(2, 2, 6.4, 5.6, height_ratios=[1.4, 1])
        spare.remove()
        ax.set_subplotspec(ax.get_gridspec()[1, :])
        with Image.open(samples) as file:
            first.imshow(np.asarray(file.convert("RGB")), interpolation="nearest")
        first.set_title("samples, always the same $z$")
        first.set_axis_off()
    centers = kept.centers.get(iteration)
    scatter(left, project(kept.features[iteration]), kept.labels, None if centers is None else project(centers))
    left.set(title="$D$'s features of real data", xlim=limits[0], ylim=limits[1])
    left.set_xlabel(project.label, fontsize=8)
    for index, (column, name) in enumerate(LOSSES.items()):
        rows = [(row["iteration"], row[column]) for row in run.history if column in row]
        if rows:
            steps, values = np.asarray(rows).T
            done = steps <= iteration
            ax.plot(steps, values, color=f"C{index}", linewidth=0.8, alpha=0.25)
            ax.plot(steps[done], values[done], color=f"C{index}", linewidth=1.4, label=name)
    ax.set_yscale("symlog", linthresh=0.1)
    ax.set_title("losses so far")
    ax.axvline(iteration, color="0.3", linewidth=0.8)
    ax.legend(frameon=False, fontsize=8)
    ax.set_xlabel("iteration", fontsize=8)
    ax.tick_params(labelsize=7)
    return badge(figure, run.label)
