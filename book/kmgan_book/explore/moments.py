"""Images with a slider through a training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kmgan_book.explore import drawing
from kmgan_book.explore.explorer import frames_html
from kmgan_book.report import Html
from kmgan_lib.data import Images
from kmgan_lib.errors import UsageError
from kmgan_lib.methods.base import Method
from kmgan_lib.training.run import Run


@dataclass
class Moments:
    """A callback of `kmgan_lib.train` that keeps D's features and the centers at every snapshot.

    Those of at most `most` images, a fixed random choice, whose labels, where there are any, only color the points.
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


def _moments(run: Run, kept: Moments | None) -> Iterator[tuple[int, bytes]]:
    sheets = {int(path.stem): path for path in (run.directory / "samples").glob("*.png")}
    available = [set(iterations) for iterations in (sheets, kept.features if kept else {}) if iterations]
    if not available:
        raise UsageError(f"{run.directory} has no samples to move through: train with snapshots, or keep Moments")
    iterations = sorted(set.intersection(*available))
    project, limits = None, None
    if kept:
        project = drawing.Projection(kept.features[iterations[-1]])
        places = torch.cat([project(kept.features[iteration]) for iteration in iterations])
        low, high = (torch.quantile(places, share, dim=0) for share in (0.005, 0.995))
        margin = 0.1 * (high - low)
        ends = torch.stack([low - margin, high + margin], 1).tolist()
        limits = tuple(ends[0]), tuple(ends[1])
    for iteration in iterations:
        picture, points, axis = None, None, ""
        if sheets:
            with Image.open(sheets[iteration]) as file:
                picture = np.asarray(file.convert("RGB"))
        if kept and project:
            centers = kept.centers.get(iteration)
            points = (project(kept.features[iteration]), kept.labels, None if centers is None else project(centers))
            axis = project.label
        shown = {"picture": picture, "points": points, "axis": axis, "limits": limits}
        yield iteration, drawing.encoded(drawing.moment(iteration, run.history, run.label, **shown))


def training_frames(run: Run, kept: Moments | None = None) -> Html:
    """A slider through a training: the samples of the same noise, D's features with the centers, the losses so far.

    `kept` is the callback that the run was trained with; without it, features are not shown. Those of more than two
    dimensions are projected on the two main components of those at the end. A `UsageError` says that a run has kept
    neither samples nor features.
    """
    moments = dict(_moments(run, kept))
    shown = "samples, features and losses" if kept else "samples and losses"
    labels = [f"iteration {iteration:,}" for iteration in moments]
    alt = f"{run.preset.name}, {shown} during the training"
    return Html(frames_html(list(moments.values()), labels, alt))
