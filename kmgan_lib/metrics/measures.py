"""The measures of a run, one function each: what is compared with what, and how many."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from kmgan_lib.centers import CenterBank, assign
from kmgan_lib.config import OWN
from kmgan_lib.data.images import resized, to_bytes, to_unit
from kmgan_lib.methods import KMGAN
from kmgan_lib.metrics import neighbours, scores
from kmgan_lib.metrics.classifier import has_classes
from kmgan_lib.metrics.evaluation import REFERENCE, SAMPLE_SEED, Evaluation, chosen, measure
from kmgan_lib.metrics.inception import LEVELS, SPLITS

CLUSTERED, COVERED = 10_000, 5_000
RAW_SIDE = 32  # K-Means on pixels sees larger images at this side
LINES, STEPS = 256, 15  # Fig. 8 has ten images a line
LOOKED_AT, HELD_OUT = 64, 1_000
REPEATS = 50  # of an iteration's K-Means part
# Where the paper says on how many images it counted (Section 4.3).
FREQUENCY_SAMPLES = {"fashion": 5_000}


def _levels(rows: Callable[[str], Tensor], score: Callable[[Tensor], float], real: str) -> dict[str, Any]:
    """A score of samples, and the scores to compare it with: of the last weights, untrained, and of real images."""
    kinds = {kind: rows(kind) for kind in ("fake", "last", "untrained", real)}
    found = {kind: score(features) for kind, features in kinds.items()}
    return {
        "value": found["fake"], "samples": len(kinds["fake"]), "last_weights_value": found["last"],
        "untrained_value": found["untrained"], "untrained_samples": len(kinds["untrained"]),
        "real_value": found[real], "real_samples": len(kinds[real]),
    }  # fmt: skip


@measure("classes", "classifier", quick=True)
def classifier_score(evaluation: Evaluation) -> dict[str, Any]:
    """Eq. (8) with a classifier of the data set."""
    levels = _levels(evaluation.probabilities, lambda p: scores.inception_score(p)[0], "reference")
    std, real_std = (scores.inception_score(evaluation.probabilities(kind))[1] for kind in ("fake", "reference"))
    return {**levels, "std": std, "real_std": real_std, "splits": 10, "reference": evaluation.reference}


@measure("classes", "classifier", quick=True)
def classifier_frechet(evaluation: Evaluation) -> dict[str, Any]:
    """Fréchet distance to real images in the classifier's features."""
    known = evaluation.features("reference")
    levels = _levels(evaluation.features, lambda f: scores.frechet_distance(f, known), "train")
    return {**levels, "reference": evaluation.reference, "reference_samples": len(known), "features": known.shape[1]}


@measure("classes", "classifier", quick=True)
def class_frequency(evaluation: Evaluation) -> dict[str, Any]:
    """Share of each class by the classifier, and corrected for its confusions on real test images."""
    labels = evaluation.probabilities("fake").argmax(1)[: FREQUENCY_SAMPLES.get(evaluation.run.preset.dataset)]
    classes, test = len(evaluation.classifier.classes), evaluation.images("test")
    confusion = confusion_matrix(test.labels, evaluation.probabilities("test").argmax(1), labels=range(classes))
    result = scores.class_frequency(labels, classes) | scores.corrected_frequency(labels, torch.from_numpy(confusion))
    corrected = result["corrected"]
    bounds = {"corrected_least": min(corrected), "corrected_most": max(corrected)}
    return {"value": min(result["frequency"]), **result, **bounds, "samples": len(labels)}


@measure("classes", "pixels, classifier", value="within", quick=True)
def within_class(evaluation: Evaluation) -> dict[str, Any]:
    """Variance of pixels within the classes that the classifier predicts, over that of real images."""
    labels, real_labels = (evaluation.probabilities(kind).argmax(1) for kind in ("fake", "reference"))
    found = scores.within_class_scores(evaluation.samples, labels, evaluation.rows("reference"), real_labels)
    samples = {"samples": len(labels), "reference_samples": len(real_labels)}
    return {**found, **samples, "reference": evaluation.reference}


@measure("classes", "classifier", value="coverage", quick=True)
def coverage(evaluation: Evaluation) -> dict[str, Any]:
    """Precision, recall, density and coverage in the classifier's features, with equally many real images."""
    fake, train, known = (evaluation.features(kind) for kind in ("fake", "train", "reference"))
    n = min(COVERED, len(fake), len(known), len(train))
    found, real = (neighbours.coverage_scores(chosen(known, n), rows[:n]) for rows in (fake, train))
    levels = {f"real_{name}": value for name, value in real.items()}
    return {**found, **levels, "k": 5, "samples": n, "reference_samples": n, "reference": evaluation.reference}


@measure("classes that D is not given", "D", value="nmi", quick=True)
def clustering(evaluation: Evaluation) -> dict[str, Any]:
    """Agreement of K-Means on D's features of real images, and of K-Means on the data, with their classes."""
    images = evaluation.images("all")
    assert images.labels is not None
    # Ten starts of K-Means on ten thousand images take longer than training under `smoke`, where stand-ins are used.
    most = CLUSTERED // 5 if evaluation.standin == "always" else CLUSTERED
    tensor, labels = images.tensor[-most:], images.labels[-most:]
    classes = int(images.labels.max()) + 1
    pixels = resized(tensor, RAW_SIDE) if tensor.ndim == 4 and tensor.shape[-1] > RAW_SIDE else tensor
    found, raw = (
        scores.clustering_scores(labels, scores.kmeans_labels(rows, classes))
        for rows in (evaluation.method.features(tensor), to_unit(pixels).flatten(1))
    )
    return {**found, **{f"raw_{name}": score for name, score in raw.items()}, "k": classes, "samples": len(labels)}


@measure("K-Means", "D", value="distinct", quick=True)
def centers(evaluation: Evaluation) -> dict[str, Any]:
    """Whether K-Means' centers, real and generated, have become one (Section 3.3)."""
    bank = cast(KMGAN, evaluation.method).bank
    tensor = chosen(evaluation.seen.tensor, CLUSTERED)
    found = scores.center_scores(bank.real, evaluation.method.features(tensor))
    generated = scores.distinct_points(bank.fake.detach().cpu().double(), 0.1 * found["spread"])
    return {**found, "generated_distinct": generated, "k": len(bank.real), "samples": len(tensor)}


@measure("images", "pixels, classifier if any", value="ratio")
def memorisation(evaluation: Evaluation) -> dict[str, Any]:
    """Nearest training images of the 64 samples that `kmgan sample` shows."""
    seen, samples = evaluation.seen.tensor, to_bytes(evaluation.generator.sample(LOOKED_AT, seed=0))
    known, unknown, unseen = _apart(evaluation, len(seen))
    result = neighbours.memorisation_scores(samples, seen, unknown, known)
    if has_classes(evaluation.run.preset.dataset):
        features = [evaluation.classifier.features(rows) for rows in (samples, seen, unknown, known)]
        result["features"] = neighbours.memorisation_scores(*features)
    counts = {"samples": len(samples), "training_samples": len(seen), "held_out_samples": len(unknown)}
    return {**result, **counts, "unseen": unseen}


def _apart(evaluation: Evaluation, most: int) -> tuple[Tensor, Tensor, bool]:
    """At most so many real images, others not among them, and whether the run was not trained on these others."""
    preset, seen = evaluation.run.preset, evaluation.seen.tensor
    if preset.split == "train" and not preset.dataset.startswith(OWN):
        return chosen(seen, most), chosen(evaluation.images("test").tensor, HELD_OUT), True
    mixed = chosen(seen, most + HELD_OUT)
    count = min(HELD_OUT, len(mixed) // 10 + 1)
    return mixed[count:], mixed[:count], False


@measure("images", "pixels", value="largest_step", quick=True)
def interpolation(evaluation: Evaluation) -> dict[str, Any]:
    """Steps, ends and middle of interpolations between images (Section 4.5), in pixels."""
    generator = evaluation.generator
    start, end = generator.noise(2 * LINES, SAMPLE_SEED).split(LINES)
    labels = generator.labels(LINES) if generator.classes else None
    beta = torch.linspace(1, 0, STEPS + 1, device=start.device)
    frames = torch.stack([generator.images(b * start + (1 - b) * end, labels).cpu() for b in beta])
    middle = generator.images((start + end) / 2, labels).cpu()
    real, others, unseen = _apart(evaluation, REFERENCE)
    held_out = others[:LINES]
    steps = neighbours.step_scores(frames.flatten(2).double())
    lines = neighbours.line_scores(frames[0], middle, frames[-1], real, held_out)
    counts = {"samples": LINES, "real_samples": len(real), "held_out_samples": len(held_out)}
    return {**steps, **lines, **counts, "steps": STEPS, "steady_step": 1 / STEPS, "unseen": unseen}


@measure("images", "Inception")
def inception_score(evaluation: Evaluation) -> dict[str, Any]:
    """Inception Score, Eq. (8)."""
    measured = evaluation.inception("2048")
    kept = {key: measured[key] for key in ("layer", "samples", "splits")}
    return {"value": measured["inception_score"], "std": measured["inception_score_std"], **kept}


def _fid(measured: dict[str, Any]) -> dict[str, Any]:
    kept = {key: measured[key] for key in ("layer", "samples", "reference_samples", "reference")}
    return {"value": measured["fid"], **kept}


@measure("images", "Inception")
def fid(evaluation: Evaluation) -> dict[str, Any]:
    """Fréchet Inception Distance."""
    return _fid(evaluation.inception("2048"))


@measure("images", "Inception to 768")
def fid768(evaluation: Evaluation) -> dict[str, Any]:
    """FID's formula on 768 features, not comparable with FID."""
    measured = evaluation.inception("768")
    if measured["others"] < SPLITS:
        return _fid(measured)
    # The literature has levels to compare with for the full network, but none for its middle features.
    levels = {level: evaluation.inception("768", level)["fid"] for level in LEVELS}
    return {**_fid(measured), **levels, "real_samples": measured["others"]}


def kmeans_seconds(rows: Sequence[Tensor], k: int, repeats: int = REPEATS) -> list[float]:
    """Median seconds of an iteration's K-Means part, on batches (b, d) of different width, taken in turn."""
    banks = [CenterBank(k, batch.shape[1], device=batch.device) for batch in rows]
    for batch, bank in zip(rows, banks, strict=True):
        bank.real.copy_(batch[torch.arange(k, device=batch.device) % len(batch)])
    wait = (lambda: torch.cuda.synchronize(rows[0].device)) if rows[0].is_cuda else lambda: None
    taken: list[list[float]] = [[] for _ in rows]
    for _ in range(repeats + 1):
        for batch, bank, times in zip(rows, banks, taken, strict=True):
            wait()
            begun = time.perf_counter()
            bank.update(batch, batch, assign(batch, bank.real), assign(batch, bank.real))
            wait()
            times.append(time.perf_counter() - begun)
    return [statistics.median(times[1:]) for times in taken]  # the first one warms up


@measure("K-Means and images", "clock", value="ratio")
@torch.no_grad()
def kmeans_cost(evaluation: Evaluation) -> dict[str, Any]:
    """Time of one iteration's K-Means on pixels over that on features."""
    method, preset = evaluation.method, evaluation.run.preset
    images = chosen(evaluation.seen.tensor, preset.batch)
    batch, features = to_unit(images).to(method.device), method.features(images)
    of_features, of_pixels = kmeans_seconds([features, batch.flatten(1)], preset.k)
    times = {"feature_milliseconds": 1000 * of_features, "pixel_milliseconds": 1000 * of_pixels}
    sizes = {"feature_dim": features.shape[1], "pixels": batch[0].numel(), "k": preset.k, "batch": preset.batch}
    return {"ratio": of_pixels / of_features, **times, **sizes, "samples": REPEATS}
