"""What the measures look at, each part made once: a run, its data, its judge; and the registry of measures."""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from kmgan_lib import data, methods
from kmgan_lib.config import Preset
from kmgan_lib.data import Images
from kmgan_lib.data.images import described, stands_in
from kmgan_lib.generator import Generator, load_generator
from kmgan_lib.methods import KMGAN, Method
from kmgan_lib.metrics import inception as inception_
from kmgan_lib.metrics.classifier import Judge, judge, judged
from kmgan_lib.training.run import Run, pick_device, restore

log = logging.getLogger(__name__)
REFERENCE = 10_000  # real images that generated ones are compared with
UNTRAINED = 2_000  # samples of G at initialisation: their distance is so large that more would not change it
SAMPLE_SEED = 2**31 - 1  # apart from the seeds that readers choose


@dataclass
class Subject:
    """What the measures look at; each part is made when a measure first asks for it."""

    run: Run
    data_root: str | None
    inception_weights: Path | None = None
    _loaded: dict[str, Images] = field(default_factory=dict)
    _features: dict[str, Tensor] = field(default_factory=dict)
    _inception: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def standin(self) -> str:
        """Whether the run was trained on a stand-in; then it is judged by the stand-in too."""
        return "always" if stands_in(self.run.result["data"]) else "never"

    @functools.cached_property
    def device(self) -> torch.device:
        """Where networks run: where this process trained the run, else the GPU if there is one."""
        return self.run.method.device if self.run.method else pick_device("auto")

    @functools.cached_property
    def judge(self) -> Judge:
        """The classifier of the run's data set."""
        known = judge(self.run.preset.dataset, data_root=self.data_root, standin=self.standin)
        return known.to(self.device)

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
        if split not in self._loaded:
            preset, place = self.run.preset, self.run.result.get("folder")
            self._loaded[split] = data.load(
                f"folder:{place}" if place else preset.dataset, root=self.data_root, standin=self.standin, split=split,
                image_size=preset.image_size, channels=preset.channels,
            )  # fmt: skip
        return self._loaded[split]

    @functools.cached_property
    def seen(self) -> Images:
        """What the run was trained on; a warning if it is not what it was."""
        images = self.images(self.run.preset.split)
        then, now = self.run.result["data"], images.provenance
        if then.get("sha256") != now["sha256"]:
            known = described(then), described(now)
            log.warning("the run was trained on %s, and is measured against %s, which differ", *known)
        return images

    @functools.cached_property
    def samples(self) -> Tensor:
        """``eval_samples`` generated images (n, c, h, w) in [0, 1]."""
        return self.generator.sample(self.run.preset.eval_samples, seed=SAMPLE_SEED).cpu()

    @functools.cached_property
    def reference(self) -> str:
        """``test``, or ``train`` where there are too few test images: other ones than those of ``train`` features."""
        few = len(self.images("test")) < REFERENCE // 2 and len(self.images("train")) >= 2 * REFERENCE
        return "train" if few else "test"

    def rows(self, kind: str) -> Tensor:
        """Images (n, c, h, w) of one kind.

        ``fake``: the samples. ``last``: of the last weights of G, not of their average. ``untrained``: of G as it was
        before training, the level of no skill. ``test``: all real test images. ``reference``: the real images to
        compare with; see `reference`. ``train``: as many real training images as there are samples, or all.
        """
        preset = self.run.preset
        if kind in ("last", "untrained"):
            fresh = kind == "untrained"
            method = methods.create(preset, device=self.device, seed=self.run.seed) if fresh else self.method
            count = min(UNTRAINED, preset.eval_samples) if fresh else preset.eval_samples
            return Generator(method.frozen_generator(averaged=False), preset).sample(count, seed=SAMPLE_SEED)
        if kind == "fake":
            return self.samples
        if kind == "train":
            return chosen(self.images("train").tensor, min(REFERENCE, len(self.samples)))
        if kind == "test" or self.reference == "test":
            return self.images("test").tensor
        return chosen(self.images("train").tensor, 2 * REFERENCE)[REFERENCE:]

    def features(self, kind: str) -> Tensor:
        """The judge's features (n, d) of the images of a kind; see `rows`."""
        kind = self.reference if kind == "reference" and self.reference == "test" else kind
        if kind not in self._features:
            self._features[kind] = self.judge.features(self.rows(kind))
        return self._features[kind]

    def probabilities(self, kind: str) -> Tensor:
        """The judge's opinion (n, c) of the images of a kind."""
        return self.judge.classify(self.features(kind))

    def inception(self, layer: str) -> dict[str, Any]:
        """All Inception measures at a layer of features against as many images that the run was trained on."""
        if layer not in self._inception:
            real = chosen(self.seen.tensor, len(self.samples))
            self._inception[layer] = {
                **self._compared(self.samples, real, layer), "layer": layer, "samples": len(self.samples),
                "reference_samples": len(real), "reference": self.run.preset.split,
            }  # fmt: skip
        return self._inception[layer]

    def inception_levels(self, layer: str) -> dict[str, Any]:
        """FID of other real images, and of these blurred and noisy, from the images that `inception` compares with.

        Their features are kept in the cache: they are computed once a data set, not once a run. Nothing where the run
        has too few images for others to be left.
        """
        n = len(self.samples)
        real, others = chosen(self.seen.tensor, n), chosen(self.seen.tensor, 2 * n)[n:]
        if len(others) < inception_.SPLITS:
            return {}
        levels = {"real_value": others, "blurred": inception_.blurred(others), "noisy": inception_.noisy(others)}
        found = {name: self._compared(images, real, layer, name)["fid"] for name, images in levels.items()}
        return {**found, "real_samples": len(others)}

    def _compared(self, images: Tensor, real: Tensor, layer: str, level: str | None = None) -> dict[str, Any]:
        weights = inception_.find_weights(self.inception_weights, data_root=self.data_root, full=layer == "2048")
        name = f"{self.seen.provenance['sha256'][:12]}-{len(real)}-{weights.sha256[:12]}"
        measured = inception_.inception_measures(
            images, real, layer=layer, weights=weights.path, extractor=inception_.EXTRACTOR, real_name=name,
            fake_name=level and f"{name}-{level}", device=self.device,
        )  # fmt: skip
        return {**measured, "extractor": weights.describe()}


def chosen(rows: Tensor, count: int) -> Tensor:
    """A fixed random choice of ``count`` rows without replacement, or all of them in random order if fewer."""
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:count]]


Compute = TypeVar("Compute", bound=Callable[..., dict[str, Any]])


@dataclass(frozen=True)
class Measure:
    """A measure of runs."""

    compute: Callable[[Subject], dict[str, Any]]  # at least ``value``, ``samples`` and ``extractor``
    text: str
    applies: Callable[[Preset], bool]
    needs: str  # of a preset
    quick: bool = False  # measured after every training


METRICS: dict[str, Measure] = {}
NEEDS: dict[str, tuple[Callable[[Preset], bool], str]] = {
    "images": (lambda p: p.network != "synthetic", "images"),
    "classes": (lambda p: judged(p.dataset), "a data set with classes"),
    "centers": (lambda p: issubclass(methods.method(p.method), KMGAN), "a method with K-Means"),
    "centers of images": (
        lambda p: issubclass(methods.method(p.method), KMGAN) and p.network != "synthetic",
        "a method with K-Means, and images",
    ),
    # A conditional D is told the class: clustering its features would measure the label it was given.
    "untold classes": (
        lambda p: (judged(p.dataset) or p.dataset == "synthetic") and not p.conditional,
        "known classes, and a D that is not told them: it would only give them back",
    ),
}


def measure(name: str, text: str, need: str, *, quick: bool = False, **arguments: str) -> Callable[[Compute], Compute]:
    """Decorate a function that computes a measure: `METRICS` has it under this name, with these further arguments."""

    def register(compute: Compute) -> Compute:
        METRICS[name] = Measure(functools.partial(compute, **arguments), text, *NEEDS[need], quick)
        return compute

    return register
