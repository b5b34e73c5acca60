"""The four widgets of the book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from kmgan_book import figures
from kmgan_book.explore import drawing
from kmgan_book.explore.explorer import Control, Explorer
from kmgan_lib.centers import assign, kmeans_plus_plus, lloyd
from kmgan_lib.errors import UsageError
from kmgan_lib.generator import Generator
from kmgan_lib.metrics import class_frequency, clustering_scores
from kmgan_lib.metrics.subject import SAMPLE_SEED, Subject
from kmgan_lib.training.run import Run

ROUNDS = 30  # of Lloyd's algorithm, enough on features of some thousand images
PRINTED = 10_000.0  # d_round of the experiments on MNIST, Section 4.2


def explore_clusters(run: Run, *, most: int = 1_500, data_root: str | None = None) -> Explorer:
    """K-Means on the features of a run's discriminator: choose k, see the clusters and their centers.

    `most` real images are clustered; `data_root` as in `kmgan_lib.data.load`.
    """
    subject = Subject(run, data_root)
    images = subject.seen
    labels = None if images.labels is None else images.labels[:most].cpu()
    features = subject.method.features(images.tensor[:most], labels).cpu()
    project = drawing.Projection(features)
    points = project(features)

    def draw(k: int) -> Figure:
        centers = lloyd(features, kmeans_plus_plus(features, k, torch.Generator().manual_seed(0)), ROUNDS)
        found = assign(features, centers)
        title = f"K-Means with k = {k}"
        if labels is not None:
            title += f": NMI with the classes {clustering_scores(labels, found)['nmi']:.2f}"
        return drawing.clusters(points, found, project(centers), run.label, title=title, axis=project.label)

    control = Control("k", "k", range(1, 21), 10)
    frames = {f"k = {k}": {"k": k} for k in (2, 3, 5, 8, 10, 15, 20)}
    return Explorer(draw, [control], frames, "Clusters of the discriminator's features with their centers")


def explore_interpolation(generator: Generator, made_by: str, *, seeds: int = 50, steps: int = 10) -> Explorer:
    """Images between two noise vectors: choose the seeds of both."""

    def draw(first: int, last: int) -> Figure:
        images = generator.interpolate(first, last, steps)
        return figures.strips([images], made_by, title=f"from the noise of seed {first} to that of seed {last}")

    controls = [Control(name, f"{name} seed", range(seeds), start) for start, name in enumerate(("first", "last"))]
    frames = {f"{a} to {b}": {"first": a, "last": b} for a, b in ((0, 1), (2, 3), (4, 5), (6, 7))}
    return Explorer(draw, controls, frames, "A strip of images between two noise vectors", chart=False)


def explore_classes(
    run: Run, *, counts: Sequence[int] = (20, 50, 100, 200, 500, 1_000, 2_000), data_root: str | None = None
) -> Explorer:
    """Shares of the classes among generated images: choose how many, see the 95% intervals shrink.

    `counts` are the numbers to choose from, ascending. A `UsageError` says that a data set has no classes.
    """
    judge = Subject(run, data_root).judge
    found = judge.probabilities(run.generator.sample(max(counts), seed=SAMPLE_SEED).cpu()).argmax(1)

    def draw(n: int) -> Figure:
        shares = class_frequency(found[:n], len(judge.classes))
        return figures.class_shares({f"{n:,} images": shares}, judge.classes, run.label)

    frames = {f"{n:,} images": {"n": n} for n in counts}
    return Explorer(draw, [Control("n", "images", counts, counts[-1])], frames, "Share of each class by a classifier")


def explore_gate(history: Sequence[Mapping[str, float]], made_by: str) -> Explorer:
    """The threshold of Eq. (4): choose d_round, see which center steps of a finished run it would have let through.

    A step is taken where the center loss is above d_round. The run stays as it was: with other steps taken, its loss
    would have gone another way. Where a row of the history is the mean of several iterations, so is its loss here.
    A `UsageError` says that a history has no center loss.
    """
    losses = np.asarray([row["loss_center"] for row in history if "loss_center" in row])
    if not len(losses):
        raise UsageError("this history has no center loss: d_round is KM-GAN's")
    spread = np.quantile(losses, np.linspace(0, 1, 21))
    values = sorted({0.0, PRINTED, *(float(f"{value:.2g}") for value in (*spread, 1.1 * spread[-1]))})

    def draw(d_round: float) -> Figure:
        taken = 100 * float((losses > d_round).mean())
        title = f"d_round = {d_round:,.4g}: {taken:.0f}% of the center steps are taken"
        return drawing.gate(history, d_round, made_by, title=title)

    start = values[len(values) // 2]
    shown = sorted({*values[:: max(1, len(values) // 5)], start, values[-1]})
    frames = {f"d_round = {value:,.4g}": {"d_round": value} for value in shown}
    return Explorer(draw, [Control("d_round", "d_round", values, start)], frames, "The center loss and the threshold")
