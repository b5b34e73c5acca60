"""The measures of a run, one function each: what is compared with what, how many, and by which extractor."""

import statistics
import time
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from kmgan_lib.centers import CenterBank, assign
from kmgan_lib.config import OWN
from kmgan_lib.data.images import resized, to_bytes, to_unit
from kmgan_lib.methods import KMGAN
from kmgan_lib.metrics import clustering, neighbours, scores
from kmgan_lib.metrics.classifier import judged
from kmgan_lib.metrics.subject import REFERENCE, SAMPLE_SEED, Subject, chosen, measure

CLUSTERED = 10_000
RAW_SIDE = 32  # K-Means on pixels sees larger pictures at this side
COVERED = 5_000
LINES, STEPS = 256, 15  # Fig. 8 has ten pictures a line
LOOKED_AT, HELD_OUT = 64, 1_000
REPEATS = 50  # of an iteration's K-Means part
# Where the paper says on how many images it counted (Section 4.3).
FREQUENCY_SAMPLES = {"fashion": 5_000}
OWN_FEATURES = {"name": "the run's D"}
PIXELS = {"name": "pixels"}


@measure("classifier_score", "Eq. (8) with a classifier of the data set", "classes", quick=True)
def classifier_score(subject: Subject) -> dict[str, Any]:
    """Eq. (8) with the judge's probabilities."""
    kinds = {kind: subject.probabilities(kind) for kind in ("fake", "last", "untrained", "reference")}
    found = {kind: scores.inception_score(probabilities) for kind, probabilities in kinds.items()}
    return {
        "value": found["fake"][0], "std": found["fake"][1], "splits": 10, "samples": len(kinds["fake"]),
        "last_weights_value": found["last"][0], "untrained_value": found["untrained"][0],
        "untrained_samples": len(kinds["untrained"]), "real_value": found["reference"][0],
        "real_std": found["reference"][1], "real_samples": len(kinds["reference"]), "reference": subject.reference,
        "extractor": subject.judge.describe(),
    }  # fmt: skip


@measure("classifier_frechet", "Fréchet distance in the classifier's features", "classes", quick=True)
def classifier_frechet(subject: Subject) -> dict[str, Any]:
    """Fréchet distance to real images in the judge's features: of samples, and of others that tell what it is worth."""
    reference = subject.features("reference")
    kinds = {kind: subject.features(kind) for kind in ("fake", "last", "untrained", "train")}
    found = {kind: scores.frechet_distance(features, reference) for kind, features in kinds.items()}
    return {
        "value": found["fake"], "samples": len(kinds["fake"]), "reference_samples": len(reference),
        "reference": subject.reference, "last_weights_value": found["last"], "untrained_value": found["untrained"],
        "untrained_samples": len(kinds["untrained"]), "real_value": found["train"], "real_samples": len(kinds["train"]),
        "features": reference.shape[1], "extractor": subject.judge.describe(),
    }  # fmt: skip


@measure("class_frequency", "share of each class by the classifier", "classes", quick=True)
def frequency(subject: Subject) -> dict[str, Any]:
    """Share of each class by the judge's verdicts, and corrected for its confusions of real test images."""
    labels = subject.probabilities("fake").argmax(1)[: FREQUENCY_SAMPLES.get(subject.run.preset.dataset)]
    classes = len(subject.judge.classes)
    result = scores.class_frequency(labels, classes)
    truth = subject.images("test").labels
    assert truth is not None
    confusion = scores.confusion_matrix(truth, subject.probabilities("test").argmax(1), classes)
    corrected = scores.corrected_frequency(labels, confusion)
    return {
        "value": min(result["frequency"]), **result, **corrected, "corrected_least": min(corrected["corrected"]),
        "corrected_most": max(corrected["corrected"]), "samples": len(labels), "extractor": subject.judge.describe(),
    }  # fmt: skip


@measure("within_class", "variance of pixels within classes, over that of real images", "classes", quick=True)
def within_class(subject: Subject) -> dict[str, Any]:
    """Variance of pixels within the classes that the judge sees, over that of real images."""
    labels, real_labels = (subject.probabilities(kind).argmax(1) for kind in ("fake", "reference"))
    real = subject.rows("reference")
    found = clustering.within_class_scores(subject.samples, labels, real, real_labels)
    extractor = {**subject.judge.describe(), "name": f"pixels; {subject.judge.name}"}
    return {
        "value": found["within"], **found, "samples": len(labels), "reference_samples": len(real),
        "reference": subject.reference, "extractor": extractor,
    }  # fmt: skip


@measure("coverage", "precision, recall, density and coverage in the classifier's features", "classes", quick=True)
def coverage(subject: Subject) -> dict[str, Any]:
    """Precision, recall, density and coverage in the judge's features, with equally many real images."""
    fake, train, known = (subject.features(kind) for kind in ("fake", "train", "reference"))
    n = min(COVERED, len(fake), len(known), len(train))
    reference = chosen(known, n)
    found = neighbours.coverage_scores(reference, fake[:n])
    real = neighbours.coverage_scores(reference, train[:n])
    return {
        "value": found["coverage"], **found, **{f"real_{name}": value for name, value in real.items()}, "k": 5,
        "samples": n, "reference_samples": n, "reference": subject.reference, "extractor": subject.judge.describe(),
    }  # fmt: skip


@measure("clustering", "agreement of D's clusters with the classes", "untold classes", quick=True)
def agreement(subject: Subject) -> dict[str, Any]:
    """K-Means on D's features of real images, against their classes; beside it K-Means on the data themselves."""
    images = subject.images("all")
    assert images.labels is not None
    # Ten starts of K-Means on ten thousand images take longer than training under `smoke`, where stand-ins are used.
    most = CLUSTERED // 5 if subject.standin == "always" else CLUSTERED
    tensor, labels = images.tensor[-most:], images.labels[-most:]
    classes = int(images.labels.max()) + 1
    features = subject.method.features(tensor)
    clusters = clustering.kmeans_labels(features, classes, seed=0)
    found = clustering.clustering_scores(labels, clusters)
    pixels = resized(tensor, RAW_SIDE) if tensor.ndim == 4 and tensor.shape[-1] > RAW_SIDE else tensor
    raw = clustering.clustering_scores(labels, clustering.kmeans_labels(to_unit(pixels).flatten(1), classes, seed=0))
    return {
        "value": found["nmi"], **found, **{f"raw_{name}": value for name, value in raw.items()},
        "k": classes, "samples": len(labels), "extractor": OWN_FEATURES,
    }  # fmt: skip


@measure("centers", "have K-Means' centers become one (Section 3.3)", "centers", quick=True)
def centers(subject: Subject) -> dict[str, Any]:
    """Whether the method's own centers have become one; the generated centers beside the real ones."""
    bank = cast(KMGAN, subject.method).bank
    tensor = chosen(subject.seen.tensor, CLUSTERED)
    found = clustering.center_scores(bank.real, subject.method.features(tensor))
    generated = clustering.distinct_points(bank.fake.detach().cpu().double(), 0.1 * found["spread"])
    return {
        "value": found["distinct"], **found, "generated_distinct": generated, "k": len(bank.real),
        "samples": len(tensor), "extractor": OWN_FEATURES,
    }  # fmt: skip


@measure("memorisation", "nearest training images of 64 samples", "images")
def memorisation(subject: Subject) -> dict[str, Any]:
    """The 64 images that `kmgan sample` shows, and their nearest training images."""
    dataset, seen = subject.run.preset.dataset, subject.seen.tensor
    samples = to_bytes(subject.generator.sample(LOOKED_AT, seed=0))
    known, unknown, unseen = _apart(subject, len(seen))
    result: dict[str, Any] = neighbours.memorisation_scores(samples, seen, unknown, known)
    extractor = PIXELS
    if judged(dataset):
        features = [subject.judge.features(rows) for rows in (samples, seen, unknown, known)]
        result["features"] = neighbours.memorisation_scores(*features)
        extractor = {**subject.judge.describe(), "name": f"pixels; {subject.judge.name}"}
    return {
        "value": result["ratio"], **result, "samples": len(samples), "training_samples": len(seen),
        "held_out_samples": len(unknown), "unseen": unseen, "extractor": extractor,
    }  # fmt: skip


def _apart(subject: Subject, most: int) -> tuple[Tensor, Tensor, bool]:
    """At most so many real images, others that are not among them, and whether these others were not trained on.

    Those are test images if the run has ``split=train``. Where it was trained on all that there are, two parts of them
    still give the scale of distances between different real images.
    """
    preset, seen = subject.run.preset, subject.seen.tensor
    if preset.split == "train" and not preset.dataset.startswith(OWN):
        return chosen(seen, most), chosen(subject.images("test").tensor, HELD_OUT), True
    mixed = chosen(seen, most + HELD_OUT)
    count = min(HELD_OUT, len(mixed) // 10 + 1)
    return mixed[count:], mixed[:count], False


@measure("interpolation", "steps, ends and middle of an interpolation (Section 4.5), in pixels", "images", quick=True)
def interpolation(subject: Subject) -> dict[str, Any]:
    """Whether images change steadily on the straight lines of Section 4.5, from one image to another, in pixels."""
    generator = subject.generator
    start, end = generator.noise(2 * LINES, SAMPLE_SEED).split(LINES)
    labels = generator.labels(LINES) if generator.classes else None
    beta = torch.linspace(1, 0, STEPS + 1, device=start.device)
    frames = torch.stack([generator.images(b * start + (1 - b) * end, labels).cpu() for b in beta])
    middle = generator.images((start + end) / 2, labels).cpu()
    real, others, unseen = _apart(subject, REFERENCE)
    held_out = others[:LINES]
    steps = neighbours.step_scores(frames.flatten(2).double())
    found = steps | neighbours.line_scores(frames[0], middle, frames[-1], real, held_out)
    return {
        "value": found["largest_step"], **found, "steps": STEPS, "steady_step": 1 / STEPS, "samples": LINES,
        "real_samples": len(real), "held_out_samples": len(held_out), "unseen": unseen, "extractor": PIXELS,
    }  # fmt: skip


@measure("inception_score", "Inception Score, Eq. (8)", "images")
def inception_score(subject: Subject) -> dict[str, Any]:
    """Eq. (8) with Inception's probabilities."""
    measured = subject.inception("2048")
    kept = {key: measured[key] for key in ("layer", "samples", "splits", "extractor")}
    return {"value": measured["inception_score"], "std": measured["inception_score_std"], **kept}


@measure("fid768", "FID's formula on 768 features, not comparable with FID", "images", layer="768")
@measure("fid", "Fréchet Inception Distance", "images")
def fid(subject: Subject, layer: str = "2048") -> dict[str, Any]:
    """Fréchet distance in Inception's features; it shares the passes through the network with `inception_score`."""
    measured = subject.inception(layer)
    # The full network has levels of its own in the literature; the features of its middle have none.
    levels = subject.inception_levels(layer) if layer == "768" else {}
    kept = {key: measured[key] for key in ("layer", "samples", "reference_samples", "reference", "extractor")}
    return {"value": measured["fid"], **levels, **kept}


def kmeans_seconds(rows: Sequence[Tensor], k: int, repeats: int = REPEATS) -> list[float]:
    """Median time of assigning and updating on batches (b, d) of different width, taken in turn: load hits all alike.

    The K-Means part of an iteration: labels of a real and of a generated batch by the k real centers, then the update
    of both kinds of centers. Seconds, one number a batch.
    """
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


@measure("kmeans_cost", "time of K-Means on pixels over that on features", "centers of images")
@torch.no_grad()
def kmeans_cost(subject: Subject) -> dict[str, Any]:
    """Time of one iteration's K-Means part on this device: on D's features, and on pixels as reduced KM-GAN has it."""
    method, preset = subject.method, subject.run.preset
    images = chosen(subject.seen.tensor, preset.batch)
    batch, features = to_unit(images).to(method.device), method.features(images)
    seconds = kmeans_seconds([features, batch.flatten(1)], preset.k)
    return {
        "value": seconds[1] / seconds[0], "ratio": seconds[1] / seconds[0], "feature_milliseconds": 1000 * seconds[0],
        "pixel_milliseconds": 1000 * seconds[1], "feature_dim": features.shape[1], "pixels": batch[0].numel(),
        "k": preset.k, "batch": preset.batch, "samples": REPEATS, "extractor": {"name": str(method.device)},
    }  # fmt: skip
