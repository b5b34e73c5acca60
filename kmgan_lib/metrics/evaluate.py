"""Measures of a finished run: a registry, each result one JSON line with sample count, time and extractor."""

from __future__ import annotations

import difflib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from kmgan_lib import files, methods
from kmgan_lib.caller import put_aside
from kmgan_lib.config import Preset
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import measures
from kmgan_lib.metrics.classifier import judged
from kmgan_lib.metrics.inception import Unavailable
from kmgan_lib.metrics.subject import Subject
from kmgan_lib.training import lock
from kmgan_lib.training.run import Run

log = logging.getLogger(__name__)


def _is_judged(preset: Preset) -> bool:
    return judged(preset.dataset)


def _makes_pictures(preset: Preset) -> bool:
    return preset.network != "synthetic"


def _finds_classes(preset: Preset) -> bool:
    # A conditional D is told the class: clustering its features would measure the label it was given.
    return (judged(preset.dataset) or preset.dataset == "synthetic") and not preset.conditional


def _has_centers(preset: Preset) -> bool:
    return issubclass(methods.of(preset), methods.KMGAN)


def _clusters_pictures(preset: Preset) -> bool:
    return _has_centers(preset) and _makes_pictures(preset)


def _is_synthetic(preset: Preset) -> bool:
    return preset.dataset == "synthetic"


_NEEDS: Mapping[Callable[[Preset], bool], str] = {
    _is_judged: "a data set with classes", _makes_pictures: "images",
    _finds_classes: "known classes, and a D that is not told them: it would only give them back",
    _has_centers: "a method with K-Means", _clusters_pictures: "a method with K-Means, and images",
    _is_synthetic: "the synthetic points",
}  # fmt: skip


def _shares(result: Mapping[str, Any]) -> str:
    shares, corrected = (" ".join(f"{100 * s:.1f}" for s in result[key]) for key in ("frequency", "corrected"))
    return f"{shares} %; corrected {corrected} %"


class _NoValue:
    """A dash in the place of a number that there is not, such as a ratio to a distance of 0."""

    def __format__(self, format_spec: str) -> str:
        return "–"


@dataclass(frozen=True)
class Measure:
    """A measure of runs.

    Attributes
    ----------
    compute : callable
        `Subject` to a result with at least ``value``, ``samples`` and ``extractor``.
    text : str
        What it is.
    applies : callable
        Whether it makes sense for a preset.
    show : str or callable
        The result in a table: a format string over its keys, or a function of it.
    quick : bool
        Whether it is measured after every training.
    """

    compute: Callable[[Subject], dict[str, Any]]
    text: str
    applies: Callable[[Preset], bool]
    show: str | Callable[[Mapping[str, Any]], str]
    quick: bool = False

    def shown(self, result: Mapping[str, Any]) -> str:
        """The result in one line."""
        shown = {key: _NoValue() if value is None else value for key, value in result.items()}
        return self.show.format(**shown) if isinstance(self.show, str) else self.show(shown)


def _levels(result: Mapping[str, Any]) -> str:
    levels = {"real images": "real_value", "blurred": "blurred", "noisy": "noisy"}
    known = ", ".join(f"{name} {result[key]:.4f}" for name, key in levels.items() if key in result)
    return f"{result['value']:.4f}" + (f" ({known})" if known else "")


def _inception(name: str, layer: str, text: str, show: str | Callable[[Mapping[str, Any]], str]) -> Measure:
    return Measure(partial(measures.inception_measure, name=name, layer=layer), text, _makes_pictures, show)


METRICS: dict[str, Measure] = {
    "classifier_score": Measure(
        measures.classifier_score, "Eq. (8) with a classifier of the data set", _is_judged,
        "{value:.3f} ± {std:.3f} (last weights {last_weights_value:.3f}, untrained {untrained_value:.3f}, "
        "real images {real_value:.3f})",
        quick=True,
    ),
    "classifier_frechet": Measure(
        measures.classifier_frechet, "Fréchet distance in the classifier's features", _is_judged,
        "{value:.3f} (last weights {last_weights_value:.3f}, untrained {untrained_value:.3f}, "
        "real images {real_value:.3f})",
        quick=True,
    ),
    "class_frequency": Measure(
        measures.frequency, "share of each class by the classifier", _is_judged, _shares, quick=True
    ),
    "within_class": Measure(
        measures.within_class, "variance of pixels within classes, over that of real images", _is_judged,
        "{within:.3f} times that of real images, at least {smallest:.3f}, in {present} classes", quick=True,
    ),
    "coverage": Measure(
        measures.coverage, "precision, recall, density and coverage in the classifier's features", _is_judged,
        "precision {precision:.3f}, recall {recall:.3f}, density {density:.3f}, coverage {coverage:.3f} "
        "(real images {real_precision:.3f}, {real_recall:.3f}, {real_density:.3f}, {real_coverage:.3f})",
        quick=True,
    ),
    "clustering": Measure(
        measures.clustering, "agreement of D's clusters with the classes", _finds_classes,
        lambda r: f"NMI {r['nmi']:.3f} (of pixels {r['raw_nmi']:.3f}), ARI {r['ari']:.3f}, "
        f"accuracy {r['accuracy']:.3f}, silhouette {r['silhouette']:.3f}",
        quick=True,
    ),
    "centers": Measure(
        measures.centers, "have K-Means' centers become one (Section 3.3)", _has_centers,
        "{distinct} of {k} distinct, {used} used; distance {distance:.2f}, at least {smallest_distance:.2f}, "
        "of the features' spread; entropy {entropy:.2f}",
        quick=True,
    ),
    "modes": Measure(
        measures.modes, "hidden classes that generated points belong to", _is_synthetic,
        lambda r: f"{r['modes']} of {len(r['share'])} ({' '.join(f'{100 * s:.1f}' for s in r['share'])} %), "
        f"{100 * r['near_data']:.1f} % near the data",
    ),
    "memorisation": Measure(
        measures.memorisation, "nearest training images of 64 samples", _makes_pictures,
        lambda r: f"distance {r['ratio']:.2f}, at least {r['smallest']:.2f}, times that of "
        + ("unseen real images" if r["unseen"] else "other real images, trained on too"),
    ),
    "path_length": Measure(
        measures.path_length, "perceptual path length in the classifier's features", _is_judged,
        "{value:.4g} ± {standard_error:.2g}, {detour:.1f} times the straight line",
    ),
    "interpolation": Measure(
        measures.interpolation, "steps, ends and middle of an interpolation (Section 4.5), in pixels", _makes_pictures,
        "largest step {largest_step:.3f} of the way (steady: {steady_step:.3f}), {detour:.2f} times the straight line; "
        "ends {span:.2f} times as far apart as real images, middle {validity:.2f} times as far from them as others",
        quick=True,
    ),
    "kmeans_cost": Measure(
        measures.kmeans_cost, "time of K-Means on pixels over that on features", _clusters_pictures,
        "{ratio:.2f} ({pixel_milliseconds:.3f} ms for {pixels}, {feature_milliseconds:.3f} ms for {feature_dim})",
    ),
    "inception_score": _inception("inception_score", "2048", "Inception Score, Eq. (8)", "{value:.3f} ± {std:.3f}"),
    "fid": _inception("fid", "2048", "Fréchet Inception Distance", "{value:.3f}"),
    "kid": _inception("kid", "2048", "Kernel Inception Distance", "{value:.5f} ± {std:.5f}"),
    "fid768": _inception("fid", "768", "FID's formula on 768 features, not comparable with FID", _levels),
    "kid768": _inception("kid", "768", "KID's formula on 768 features", "{value:.5f} ± {std:.5f}"),
}  # fmt: skip


def applicable(run: Run) -> list[str]:
    """Names of the measures that make sense for a run."""
    return [name for name, measure in METRICS.items() if measure.applies(run.preset)]


def _chosen(run: Run, only: Sequence[str] | None, everything: bool) -> list[str]:
    possible = applicable(run)
    for name in only or ():
        if name not in METRICS:
            close = difflib.get_close_matches(name, METRICS, 1)
            meant = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"unknown measure {name}{meant} (one of {', '.join(METRICS)})")
        if name not in possible:
            needs = _NEEDS[METRICS[name].applies]
            raise UsageError(
                f"{name} makes no sense for {run.preset.name} (it needs {needs}): choose from {', '.join(possible)}"
            )
    return list(only) if only else [name for name in possible if everything or METRICS[name].quick]


@put_aside()
def evaluate(
    run: Run,
    *,
    data_root: str | None = None,
    only: Sequence[str] | None = None,
    everything: bool = False,
    inception_weights: Path | None = None,
) -> dict[str, dict[str, Any]]:
    """Measure a finished run and add the results to its ``result.json`` and, a line each, to ``metrics.jsonl``.

    Parameters
    ----------
    run : Run
    data_root : str, optional
        As in `kmgan_lib.data.load`.
    only : sequence of str, optional
        Names of measures; by default the quick ones that apply.
    everything : bool
        All that apply; those whose weights or packages are not on this machine are left out with a warning.
    inception_weights : Path, optional
        As in `kmgan_lib.metrics.inception.find_weights`.

    Returns
    -------
    dict
        By name: ``value``, ``samples``, ``seconds``, ``extractor`` and what else the measure reports.

    Raises
    ------
    UsageError
        If a name is unknown or makes no sense for this run, what a measure needs is not there, or another process
        trains or measures this run.
    """
    with lock.held(run.directory):
        return _evaluated(run, Subject(run, data_root, inception_weights), _chosen(run, only, everything), everything)


def _evaluated(run: Run, subject: Subject, names: Sequence[str], everything: bool) -> dict[str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = {}
    for name in names:
        begun = time.perf_counter()
        try:
            with torch.random.fork_rng(devices=[]):
                result = METRICS[name].compute(subject)
        except Unavailable as error:
            if not everything:
                raise
            log.warning("%s is left out: %s", name, error)
            continue
        results[name] = {**files.finite(result), "seconds": round(time.perf_counter() - begun, 2)}
        _keep(run, {name: results[name]})  # at once: a measure that fails later loses nothing
    return results


def _keep(run: Run, results: dict[str, dict[str, Any]]) -> None:
    path = run.directory / files.RESULT
    known = files.read_json(path) if path.exists() else run.result  # another process may have measured since
    run.result["metrics"] = {**known.get("metrics", {}), **results}
    files.write_json(path, run.result)
    lines = "".join(files.as_json({"metric": name, **r}, None) for name, r in run.result["metrics"].items())
    files.write_atomically(run.directory / "metrics.jsonl", lambda p: p.write_text(lines, encoding="utf-8"))
