"""Measures of a finished run: a registry, each result one JSON line with sample count, time and extractor."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kmgan_lib import checkpoint, data
from kmgan_lib.data import Images
from kmgan_lib.generator import Generator
from kmgan_lib.methods import Method
from kmgan_lib.metrics.classifier import Judge, judge
from kmgan_lib.metrics.clustering import clustering_scores, kmeans_labels
from kmgan_lib.metrics.frequency import class_frequency
from kmgan_lib.metrics.scores import inception_score
from kmgan_lib.run import Run, restore

SAMPLE_SEED = 2**31 - 1  # apart from the seeds that readers choose
CLUSTERED = 10_000


@dataclass
class Subject:
    """What the measures look at; each part is made when a measure first asks for it."""

    run: Run
    data_root: str | None

    @property
    def standin(self) -> str:
        """Whether the run was trained on a stand-in; then it is judged by the stand-in too."""
        return "always" if self.run.result["data"]["kind"] == "stand-in" else "never"

    @functools.cached_property
    def judge(self) -> Judge:
        """The classifier of the run's data set."""
        return judge(self.run.preset.dataset, data_root=self.data_root, standin=self.standin)

    @functools.cached_property
    def method(self) -> Method:
        """The trained method, from memory or from the checkpoint."""
        return self.run.method or restore(self.run)

    @functools.cached_property
    def fake_probabilities(self) -> Tensor:
        """The judge's opinion (n, c) of ``eval_samples`` generated images."""
        return self._probabilities(self.run.generator)

    @functools.cached_property
    def last_weights_probabilities(self) -> Tensor:
        """The same for the last weights of G instead of their average."""
        return self._probabilities(Generator(self.method.frozen_generator(averaged=False), self.run.preset))

    def _probabilities(self, generator: Generator) -> Tensor:
        return self.judge.probabilities(generator.sample(self.run.preset.eval_samples, seed=SAMPLE_SEED).cpu())

    def images(self, split: str) -> Images:
        """Real data of the run's data set."""
        return data.load(self.run.preset.dataset, root=self.data_root, standin=self.standin, split=split)


def _classifier_score(subject: Subject) -> dict[str, Any]:
    probabilities = subject.fake_probabilities
    real = subject.judge.probabilities(subject.images("test").tensor)
    mean, std = inception_score(probabilities)
    real_mean, real_std = inception_score(real)
    last = inception_score(subject.last_weights_probabilities)[0]
    return {
        "value": mean, "std": std, "splits": 10, "samples": len(probabilities), "last_weights_value": last,
        "real_value": real_mean, "real_std": real_std, "real_samples": len(real), "extractor": subject.judge.describe(),
    }  # fmt: skip


def _class_frequency(subject: Subject) -> dict[str, Any]:
    labels = subject.fake_probabilities.argmax(1)
    result = class_frequency(labels, len(subject.judge.classes))
    extractor = subject.judge.describe()
    return {"value": min(result["frequency"]), **result, "samples": len(labels), "extractor": extractor}


def _clustering(subject: Subject) -> dict[str, Any]:
    images = subject.images("all")
    assert images.labels is not None
    tensor, labels = images.tensor[-CLUSTERED:], images.labels[-CLUSTERED:]
    classes = int(images.labels.max()) + 1
    scores = clustering_scores(labels, kmeans_labels(subject.method.features(tensor), classes, seed=0))
    extractor = {"name": "the run's D"}
    return {"value": scores["nmi"], **scores, "k": classes, "samples": len(labels), "extractor": extractor}


METRICS: dict[str, Callable[[Subject], dict[str, Any]]] = {
    "classifier_score": _classifier_score,
    "class_frequency": _class_frequency,
    "clustering": _clustering,
}


def applicable(run: Run) -> list[str]:
    """Names of the measures that make sense for a run."""
    if run.preset.dataset.startswith("folder:"):
        return []
    if run.preset.network == "synthetic":
        return ["clustering"]
    # A conditional D is told the class: clustering its features would measure the label it was given.
    return [name for name in METRICS if name != "clustering" or not run.preset.conditional]


def evaluate(run: Run, *, data_root: str | None = None, only: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """Measure a finished run and add the results to its ``result.json`` and, a line each, to ``metrics.jsonl``.

    Parameters
    ----------
    run : Run
    data_root : str, optional
        As in `kmgan_lib.data.load`.
    only : list of str, optional
        Names of measures; by default all that apply.

    Returns
    -------
    dict
        By name: ``value``, ``samples``, ``seconds``, ``extractor`` and what else the measure reports.
    """
    subject = Subject(run, data_root)
    results: dict[str, dict[str, Any]] = {}
    for name in only or applicable(run):
        begun = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            result = METRICS[name](subject)
        results[name] = {**result, "seconds": round(time.perf_counter() - begun, 2)}
    run.result["metrics"] = {**run.result.get("metrics", {}), **results}
    checkpoint.write_json(run.directory / checkpoint.RESULT, run.result)
    lines = "".join(json.dumps({"metric": name, **r}) + "\n" for name, r in run.result["metrics"].items())
    checkpoint.write_atomically(run.directory / "metrics.jsonl", lambda p: p.write_text(lines))
    return results
