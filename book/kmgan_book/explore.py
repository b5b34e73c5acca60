"""Interaction: figures that follow sliders in a kernel, and elsewhere images with a slider in plain HTML."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from typing import Any

import numpy as np
import seaborn as sns
import torch
from matplotlib.figure import Figure

from kmgan_book import STATIC, figures, recorder
from kmgan_book.recorder import FeatureRecorder, Projection, to_webp
from kmgan_book.report import Html, data_url
from kmgan_lib.centers import assign, kmeans_plus_plus, lloyd
from kmgan_lib.errors import UsageError
from kmgan_lib.generator import Generator
from kmgan_lib.metrics import class_frequency, clustering_scores
from kmgan_lib.metrics.evaluation import SAMPLE_SEED, Evaluation
from kmgan_lib.sheets import sheet
from kmgan_lib.training.run import Run

WIDGET = "application/vnd.jupyter.widget-view+json"
ROUNDS = 30  # of Lloyd's algorithm, enough on features of some thousand images
CLUSTERED = 1_500  # real images
COUNTS = (20, 50, 100, 200, 500, 1_000, 2_000)  # of generated images whose class shares are shown
PRINTED = 10_000.0  # d_round of the experiments on MNIST, Section 4.2

# Each figure has all it needs, so that it works in a page, in Jupyter and in an exported notebook alike. The script
# starts every figure not yet started; the slider's keys, touch and screen reader names are the browser's.
_STYLE, _SCRIPT = ((STATIC / name).read_text(encoding="utf8") for name in ("frames.css", "frames.js"))


def frames_html(
    images: list[bytes], labels: list[str], alt: str, *, poster: int | None = None, chart: bool = False
) -> str:
    """A figure, as HTML with its own style and script, that shows one of several WebP images, chosen by a slider.

    Without JavaScript, and in print before the slider moves, image number `poster` shows; without one the last, and
    the frames play once when they become visible. A `chart` has dark lines on white, which a dark page inverts.
    """
    last = len(images) - 1
    first = last if poster is None else poster
    frames = "\n".join(
        f'<img src="{data_url(image)}" alt="{escape(f"{alt}: {label}")}"'
        f' data-label="{escape(label)}"{"" if index == first else " hidden"}>'
        for index, (image, label) in enumerate(zip(images, labels, strict=True))
    )
    kind, autoplay = " chart" if chart else "", " data-autoplay" if poster is None else ""
    return (
        f'<style>\n{_STYLE}</style>\n<figure class="kmgan-frames{kind}"{autoplay}>\n{frames}\n<figcaption>'
        f'<button type="button" hidden>Play</button>'
        f'<input type="range" min="0" max="{last}" value="{first}" aria-label="{escape(alt)}" hidden>'
        f"<output>{escape(labels[first])}</output></figcaption>\n</figure>\n<script>{{\n{_SCRIPT}}}</script>"
    )


@dataclass
class Explorer:
    """A function that draws a figure, with sliders for its arguments.

    In Jupyter it is displayed as an ipywidget. Everywhere else (a page, an executed notebook, nbviewer, papermill, or
    without ipywidgets) it is displayed as images drawn beforehand, with a slider in plain HTML. The image with the
    first value of every control shows first.
    """

    draw: Callable[..., Figure]  # takes a keyword argument for each control, and well under a second
    controls: Mapping[str, tuple[str, Sequence[Any], Any]]  # argument to its label, values and the first of these
    frames: Mapping[str, Mapping[str, Any]]  # label to arguments, in an order that a slider can have
    alt: str  # what the figure shows, for readers who cannot see it
    chart: bool = True  # as in `frames_html`

    @functools.cached_property
    def widget(self) -> Any:
        """The ipywidget: its children are one slider per control, and the image."""
        import ipywidgets

        sliders = {
            name: ipywidgets.SelectionSlider(
                options=[(f"{value:,}", value) for value in values], value=start, description=label,
                continuous_update=False, layout={"width": "30rem", "max_width": "100%"},
            )
            for name, (label, values, start) in self.controls.items()
        }  # fmt: skip
        picture = ipywidgets.HTML()

        def show(_: object = None) -> None:
            chosen = {name: slider.value for name, slider in sliders.items()}
            shown = escape(", ".join(f"{name} {value}" for name, value in chosen.items()))
            picture.value = f'<img src="{data_url(to_webp(self.draw(**chosen)))}" alt="{escape(self.alt)}: {shown}">'

        for slider in sliders.values():
            slider.observe(show, "value")
        show()
        return ipywidgets.VBox([*sliders.values(), picture])

    @functools.cached_property
    def html(self) -> str:
        """The images that show without a kernel."""
        drawn = [to_webp(self.draw(**arguments)) for arguments in self.frames.values()]
        start = {name: start for name, (_, _, start) in self.controls.items()}
        poster = list(self.frames.values()).index(start)
        return frames_html(drawn, list(self.frames), self.alt, poster=poster, chart=self.chart)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": self.alt, "text/html": self.html}
        if find_spec("ipywidgets") is not None:
            bundle[WIDGET] = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return bundle


def training_frames(run: Run, kept: FeatureRecorder) -> Html:
    """A slider through a training: the samples of the same noise, D's features with the centers, the losses so far.

    `kept` is the callback that the run was trained with. Features of more than two dimensions are projected onto the
    first two principal components of the final ones. A run on points has no samples.
    """
    sheets = {int(path.stem): path for path in (run.directory / "samples").glob("*.png")}
    iterations = sorted(sheets.keys() & kept.features.keys() if sheets else kept.features)
    project = Projection(kept.features[iterations[-1]])
    points = torch.cat([project(kept.features[iteration]) for iteration in iterations])
    low, high = (torch.quantile(points, share, dim=0) for share in (0.005, 0.995))
    margin = 0.1 * (high - low)
    limits = torch.stack([low - margin, high + margin], 1).tolist()
    images = [to_webp(recorder.moment(run, kept, each, project, limits, sheets.get(each))) for each in iterations]
    labels = [f"iteration {iteration:,}" for iteration in iterations]
    return Html(frames_html(images, labels, f"{run.preset.name}, samples, features and losses during the training"))


def explore_clusters(run: Run) -> Explorer:
    """K-Means on the features of a run's discriminator: choose k, see the clusters and their centers."""
    evaluation = Evaluation(run, None)
    images = evaluation.seen
    labels = None if images.labels is None else images.labels[:CLUSTERED].cpu()
    features = evaluation.method.features(images.tensor[:CLUSTERED], labels).cpu()
    project = Projection(features)
    points = project(features)

    def draw(k: int) -> Figure:
        centers = lloyd(features, kmeans_plus_plus(features, k, torch.Generator().manual_seed(0)), ROUNDS)
        found = assign(features, centers)
        title = f"K-Means with k = {k}"
        if labels is not None:
            title += f": NMI with the classes {clustering_scores(labels, found)['nmi']:.2f}"
        figure, ax = figures.panel(5.4, 4.4)
        recorder.scatter(ax, points, found, project(centers))
        ax.set(title=title, xlabel=project.label)
        sns.despine(figure)
        return figures.badge(figure, run.label)

    frames = {f"k = {k}": {"k": k} for k in (2, 3, 5, 8, 10, 15, 20)}
    return Explorer(
        draw, {"k": ("k", range(1, 21), 10)}, frames, "Clusters of the discriminator's features with their centers"
    )


def explore_interpolation(generator: Generator, provenance: str) -> Explorer:
    """Images between two noise vectors (Fig. 8): choose the seeds of both."""

    def draw(first: int, last: int) -> Figure:
        picture = sheet(generator.interpolate(first, last, 10), columns=10)
        figure, ax = figures.panel(6.8, 6.8 * picture.shape[0] / picture.shape[1] + 0.7)
        ax.imshow(picture, interpolation="nearest")
        ax.set_title(f"from the noise of seed {first} to that of seed {last}")
        ax.set_axis_off()
        return figures.badge(figure, provenance)

    controls = {name: (f"{name} seed", range(50), start) for start, name in enumerate(("first", "last"))}
    frames = {f"{a} to {b}": {"first": a, "last": b} for a, b in ((0, 1), (2, 3), (4, 5), (6, 7))}
    return Explorer(draw, controls, frames, "A strip of images between two noise vectors", chart=False)


def explore_classes(run: Run) -> Explorer:
    """Shares of the classes among generated images: choose how many, see the 95% intervals shrink.

    Raises `UsageError` for a data set without classes.
    """
    classifier = Evaluation(run, None).classifier
    found = classifier.probabilities(run.generator.sample(COUNTS[-1], seed=SAMPLE_SEED).cpu()).argmax(1)

    def draw(n: int) -> Figure:
        shares = class_frequency(found[:n], len(classifier.classes))
        return figures.class_shares({f"{n:,} images": shares}, classifier.classes, run.label)

    frames = {f"{n:,} images": {"n": n} for n in COUNTS}
    return Explorer(draw, {"n": ("images", COUNTS, COUNTS[-1])}, frames, "Share of each class by a classifier")


def explore_gate(history: Sequence[Mapping[str, float]], provenance: str) -> Explorer:
    """The threshold of Eq. (4): choose d_round, see which center steps of a finished run it would have let through.

    A step is taken where the center loss is above d_round. The run stays as it was: with other steps taken, its loss
    would have developed differently. If a row of the history is a mean over several iterations, so is its loss here.
    Raises `UsageError` for a history without a center loss.
    """
    rows = [(row["iteration"], row["loss_center"]) for row in history if "loss_center" in row]
    if not rows:
        raise UsageError("this history has no center loss: d_round is KM-GAN's")
    steps, losses = np.asarray(rows).T
    spread = np.quantile(losses, np.linspace(0, 1, 21))
    values = sorted({0.0, PRINTED, *(float(f"{value:.2g}") for value in (*spread, 1.1 * spread[-1]))})

    def draw(d_round: float) -> Figure:
        taken = losses > d_round
        title = f"d_round = {d_round:,.4g}: {100 * taken.mean():.0f}% of the center steps are taken"
        figure, ax = figures.panel(6.4, 3.4)
        first, second, *_ = sns.color_palette(figures.PALETTE)
        ax.plot(steps, losses, color="0.6", linewidth=0.8)
        ax.scatter(steps[taken], losses[taken], s=10, color=first, label="step taken", zorder=3)
        ax.scatter(steps[~taken], losses[~taken], s=12, color=second, marker="x", label="step skipped", zorder=3)
        ax.axhline(d_round, color="0.2", linestyle="--", linewidth=1)
        ax.set_yscale("symlog", linthresh=max(float(np.abs(losses).min()), 1e-6))
        ax.set(title=title, xlabel="iteration", ylabel=recorder.LOSSES["loss_center"])
        ax.legend(frameon=False, fontsize=8)
        sns.despine(figure)
        return figures.badge(figure, provenance)

    start = values[len(values) // 2]
    shown = sorted({*values[:: max(1, len(values) // 5)], start, values[-1]})
    frames = {f"d_round = {value:,.4g}": {"d_round": value} for value in shown}
    return Explorer(draw, {"d_round": ("d_round", values, start)}, frames, "The center loss and the threshold")
