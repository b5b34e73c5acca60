"""Measures of a finished run: their inputs, their registry, and their results, one JSON line each."""

import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kmgan_lib import data, files, methods
from kmgan_lib.config import Preset
from kmgan_lib.data import Images
from kmgan_lib.data.images import described, stands_in
from kmgan_lib.errors import UsageError, unknown
from kmgan_lib.generator import Generator, load_generator
from kmgan_lib.methods import KMGAN, Method
from kmgan_lib.metrics import inception
from kmgan_lib.metrics.classifier import Classifier, has_classes, load_classifier
from kmgan_lib.metrics.inception import Unavailable, Weights
from kmgan_lib.training.run import Run, pick_device, restore

log = logging.getLogger(__name__)
REFERENCE = 10_000  # real images that generated ones are compared with
UNTRAINED = 2_000  # samples of G at initialization, whose distance is so large that more would not change it
SAMPLE_SEED = 2**31 - 1  # apart from the seeds that readers choose


@dataclass
class Evaluation:
    """The inputs of the measures, each made when a measure first asks for it."""

    run: Run
    data_root: str | None
    inception_weights: Path | None = None
    _made: dict[tuple[str, str], Any] = field(default_factory=dict)

    def _once(self, part: str, kind: str, make: Callable[[], Any]) -> Any:
        if (part, kind) not in self._made:
            self._made[part, kind] = make()
        return self._made[part, kind]

    @property
    def standin(self) -> str:
        """``always`` if the run was trained on a stand-in, which then judges it too, else ``never``."""
        return "always" if stands_in(self.run.result["data"]) else "never"

    @functools.cached_property
    def device(self) -> torch.device:
        """The device of the networks: that of the run, if this process trained it, else the GPU if there is one."""
        return self.run.method.device if self.run.method else pick_device("auto")

    @functools.cached_property
    def classifier(self) -> Classifier:
        """The classifier of the run's data set."""
        return load_classifier(self.run.preset.dataset, data_root=self.data_root, standin=self.standin).to(self.device)

    @functools.cached_property
    def method(self) -> Method:
        """The trained method, from memory or from the checkpoint."""
        return self.run.method or restore(self.run, device=str(self.device))

    @functools.cached_property
    def generator(self) -> Generator:
        """The trained generator, from memory or from its file."""
        return self.run.generator if self.run.method else load_generator(self.run.directory, device=self.device)

    def images(self, split: str) -> Images:
        """Real data of the run's data set: ``train``, ``test`` or ``all``."""
        if self.run.images is not None:
            return self.run.images
        preset, folder = self.run.preset, self.run.result.get("folder")
        name = f"folder:{folder}" if folder else preset.dataset
        options = {"image_size": preset.image_size, "channels": preset.channels, "standin": self.standin}
        return self._once("images", split, lambda: data.load(name, root=self.data_root, split=split, **options))

    @functools.cached_property
    def seen(self) -> Images:
        """The data the run was trained on; a warning if they have changed since."""
        images = self.images(self.run.preset.split)
        then, now = self.run.result["data"], images.provenance
        if then.get("sha256") != now["sha256"]:
            text = "the run was trained on %s, and is measured against other data, %s"
            log.warning(text, described(then), described(now))
        return images

    @functools.cached_property
    def samples(self) -> Tensor:
        """``eval_samples`` generated images (n, c, h, w) in [0, 1]."""
        return self.generator.sample(self.run.preset.eval_samples, seed=SAMPLE_SEED).cpu()

    @functools.cached_property
    def reference(self) -> str:
        """``test``, or ``train`` if test images are too few: then other images than those of the kind ``train``."""
        few = len(self.images("test")) < REFERENCE // 2 and len(self.images("train")) >= 2 * REFERENCE
        return "train" if few else "test"

    def rows(self, kind: str) -> Tensor:
        """Images (n, c, h, w) of one kind.

        ``fake``: samples; ``last``: samples by G's last weights; ``untrained``: by G untrained. ``test``: all real
        test images; ``reference``: those to compare with; ``train``: real training images, as many as samples or all.
        """
        preset = self.run.preset
        if kind in ("last", "untrained"):
            fresh = kind == "untrained"
            method = methods.create(preset, device=self.device, seed=self.run.seed) if fresh else self.method
            count = min(UNTRAINED, preset.eval_samples) if fresh else preset.eval_samples
            return Generator(method.eval_generator(averaged=False), preset).sample(count, seed=SAMPLE_SEED)
        if kind == "fake":
            return self.samples
        if kind == "train":
            return chosen(self.images("train").tensor, min(REFERENCE, len(self.samples)))
        if kind == "test" or self.reference == "test":
            return self.images("test").tensor
        return chosen(self.images("train").tensor, 2 * REFERENCE)[REFERENCE:]

    def features(self, kind: str) -> Tensor:
        """The classifier's features (n, d) of the images of a kind; see `rows`."""
        kind = "test" if kind == "reference" and self.reference == "test" else kind
        return self._once("features", kind, lambda: self.classifier.features(self.rows(kind)))

    def probabilities(self, kind: str) -> Tensor:
        """The classifier's probabilities (n, c) for the images of a kind."""
        return self.classifier.classify(self.features(kind))

    def weights(self, layer: str) -> Weights:
        """The weights of Inception, at least up to a layer of features."""
        return inception.find_weights(self.inception_weights, data_root=self.data_root, full=layer == "2048")

    def inception(self, layer: str, level: str = "") -> dict[str, Any]:
        """Inception measures of samples, or of real images at a level of `LEVELS`, against as many training images."""
        n = len(self.samples)
        mixed = chosen(self.seen.tensor, 2 * n)
        real, others = mixed[:n], mixed[n:]
        weights = self.weights(layer)
        name = f"{self.seen.provenance['sha256'][:12]}-{len(real)}-{weights.sha256[:12]}"
        measured = self._once("inception", layer + level, lambda: inception.inception_measures(
            inception.LEVELS[level](others) if level else self.samples, real, layer=layer, weights=weights.path,
            extractor=inception.EXTRACTOR, real_name=name, fake_name=f"{name}-{level}" if level else None,
            device=self.device,
        ))  # fmt: skip
        described = {"layer": layer, "reference_samples": len(real), "reference": self.run.preset.split}
        return {**measured, **described, "samples": n, "others": len(others)}


def chosen(rows: Tensor, count: int) -> Tensor:
    """A fixed random choice of ``count`` rows without replacement, or all of them in random order if fewer."""
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:count]]


# Which presets a measure makes sense for.
NEEDS: dict[str, Callable[[Preset], bool]] = {
    "images": lambda p: p.network != "synthetic",
    "classes": lambda p: has_classes(p.dataset),
    "K-Means": lambda p: issubclass(methods.method(p.method), KMGAN),
    "K-Means and images": lambda p: NEEDS["K-Means"](p) and NEEDS["images"](p),
    # Clustering the features of a conditional D would measure the labels that it was given.
    "classes that D is not given": lambda p: (has_classes(p.dataset) or p.dataset == "synthetic") and not p.conditional,
}
# What a measure computes its numbers from, as results name it.
EXTRACTORS: dict[str, Callable[[Evaluation], dict[str, Any]]] = {
    "pixels": lambda _: {"name": "pixels"},
    "D": lambda _: {"name": "the run's D"},
    "classifier": lambda s: s.classifier.describe(),
    "pixels, classifier": lambda s: {**s.classifier.describe(), "name": f"pixels; {s.classifier.name}"},
    "pixels, classifier if any": lambda s: EXTRACTORS["pixels" + ", classifier" * has_classes(s.run.preset.dataset)](s),
    "Inception": lambda s: s.weights("2048").describe(),
    "Inception to 768": lambda s: s.weights("768").describe(),
    "clock": lambda s: {"name": str(s.method.device)},
}
Compute = Callable[[Evaluation], dict[str, Any]]


@dataclass(frozen=True)
class Measure:
    """A measure of runs: ``compute`` returns ``value``, ``samples``, ``extractor`` and whatever else it reports."""

    compute: Compute
    text: str
    needs: str
    applies: Callable[[Preset], bool]  # whether it makes sense for runs of a preset
    quick: bool  # measured after every training


METRICS: dict[str, Measure] = {}


def measure(needs: str, extractor: str, *, value: str = "value", quick: bool = False) -> Callable[[Compute], Compute]:
    """Register a function that measures an `Evaluation` in `METRICS` under its name; ``value`` is its main key."""

    def register(compute: Compute) -> Compute:
        @functools.wraps(compute)
        def completed(evaluation: Evaluation) -> dict[str, Any]:
            found = compute(evaluation)
            return {"value": found[value], **found, "extractor": EXTRACTORS[extractor](evaluation)}

        text = (compute.__doc__ or "").partition("\n")[0].rstrip(".")
        METRICS[compute.__name__] = Measure(completed, text, needs, NEEDS[needs], quick)
        return completed

    return register


def evaluate(
    run: Run, *, data_root: str | None = None, only: Sequence[str] | None = None, everything: bool = False,
    inception_weights: Path | None = None,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Measure a finished run and add the results to its ``result.json`` and, a line each, to ``metrics.jsonl``.

    ``only`` names measures; the default is the quick ones, with ``everything`` all that are available. Raises
    `UsageError` if a name is unknown or makes no sense for this run, or another process is using its directory.
    """
    possible = [name for name, measure in METRICS.items() if measure.applies(run.preset)]
    for name in only or ():
        if name not in METRICS:
            raise unknown("measure", name, METRICS)
        if name not in possible:
            why = f"{run.preset.name} (it needs {METRICS[name].needs})"
            raise UsageError(f"{name} makes no sense for {why}: choose from {', '.join(possible)}")
    evaluation, results = Evaluation(run, data_root, inception_weights), dict[str, dict[str, Any]]()
    path = run.directory / files.RESULT
    with files.held(run.directory):
        for name in only or [name for name in possible if everything or METRICS[name].quick]:
            begun = time.perf_counter()
            try:
                with torch.random.fork_rng(devices=[]):
                    result = METRICS[name].compute(evaluation)
            except Unavailable as error:
                if not everything:
                    raise
                log.warning("%s is left out: %s", name, error)
                continue
            results[name] = {**files.finite(result), "seconds": round(time.perf_counter() - begun, 2)}
            # Kept at once: a measure that fails later loses nothing. Another process may have measured since.
            known = files.read_json(path) if path.exists() else run.result
            run.result["metrics"] = {**known.get("metrics", {}), name: results[name]}
            files.write_json(path, run.result)
            lines = "".join(files.as_json({"metric": n, **r}, None) for n, r in run.result["metrics"].items())
            jsonl = run.directory / "metrics.jsonl"
            files.write_atomically(jsonl, lambda p, t=lines: p.write_text(t, encoding="utf-8"))
    return results
