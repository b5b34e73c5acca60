"""What the K-Means part of an iteration costs, on features or on pixels (Section 4.2.1)."""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kmgan_lib.centers import CenterBank, assign
from kmgan_lib.data.images import to_unit
from kmgan_lib.metrics.registry import CENTERS_OF_IMAGES, measure
from kmgan_lib.metrics.subject import Subject, chosen

REPEATS = 50


def kmeans_seconds(rows: Sequence[Tensor], k: int, repeats: int = REPEATS) -> list[float]:
    """Median time of assigning and updating on batches (b, d) of different width, taken in turn: load hits all alike.

    The K-Means part of an iteration: labels of a real and of a generated batch by the k real centers, then the update
    of both kinds of centers. Seconds, one number a batch.
    """
    banks = [CenterBank(k, batch.shape[1], device=batch.device) for batch in rows]
    for batch, bank in zip(rows, banks, strict=True):
        bank.real.copy_(batch[torch.arange(k, device=batch.device) % len(batch)])
    wait = torch.cuda.synchronize if rows[0].is_cuda else lambda: None
    taken: list[list[float]] = [[] for _ in rows]
    for _ in range(repeats + 1):
        for batch, bank, times in zip(rows, banks, taken, strict=True):
            wait()
            begun = time.perf_counter()
            bank.update(batch, batch, assign(batch, bank.real), assign(batch, bank.real))
            wait()
            times.append(time.perf_counter() - begun)
    return [statistics.median(times[1:]) for times in taken]  # the first one warms up


@measure(
    "kmeans_cost", "time of K-Means on pixels over that on features", CENTERS_OF_IMAGES,
    "{ratio:.2f} ({pixel_milliseconds:.3f} ms for {pixels}, {feature_milliseconds:.3f} ms for {feature_dim})",
)  # fmt: skip
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
