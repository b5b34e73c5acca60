"""The judge: a small convolutional classifier of real images, trained once a data set and kept in the cache."""

from __future__ import annotations

import functools
import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from kmgan_lib import data
from kmgan_lib.checkpoint import write_atomically
from kmgan_lib.data import Images
from kmgan_lib.data.images import to_unit
from kmgan_lib.data.load import cache_root
from kmgan_lib.errors import UsageError

log = logging.getLogger(__name__)
VERSION = 1  # of the recipe below; a change makes old judges invalid
BATCH, EPOCHS, MIN_STEPS, PEAK_RATE = 128, 3, 240, 4e-3


def _network(channels: int, size: int, classes: int) -> nn.Sequential:
    """Two convolutions and a hidden layer: the paper's "three-layer convolutional classifier" (Section 4.3)."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 5, padding=2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * (size // 4) ** 2, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, classes),
    )  # fmt: skip


@dataclass(frozen=True)
class Judge:
    """A trained classifier of a data set's classes.

    Attributes
    ----------
    net : nn.Sequential
    dataset : str
    accuracy : float
        Share of real test images that it classifies right.
    classes : tuple of str
    kind : str
        ``real`` or ``stand-in``: what it was trained on.
    """

    net: nn.Sequential
    dataset: str
    accuracy: float
    classes: tuple[str, ...]
    kind: str

    def probabilities(self, images: Tensor) -> Tensor:
        """Class probabilities (n, c) of images (n, c, h, w), as float in [0, 1] or as uint8."""
        with torch.inference_mode():
            return torch.cat([self.net(to_unit(part)).softmax(1) for part in images.split(1000)])

    def describe(self) -> dict[str, Any]:
        """What a reported number says about its extractor."""
        accuracy = round(self.accuracy, 4)
        return {"name": f"{self.dataset} classifier v{VERSION}", "data": self.kind, "test_accuracy": accuracy}


def _fit(train: Images) -> nn.Sequential:
    n, classes = len(train), len(train.classes)
    epochs = max(EPOCHS, math.ceil(MIN_STEPS * BATCH / n))
    steps = epochs * (n // BATCH)
    assert train.labels is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = _network(train.tensor.shape[1], train.tensor.shape[2], classes)
        optimiser = torch.optim.AdamW(net.parameters(), PEAK_RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=steps)
        bar = tqdm(total=steps, desc="training the classifier", delay=2, disable=None)
        for _ in range(epochs):
            for chosen in torch.randperm(n)[: n // BATCH * BATCH].split(BATCH):
                optimiser.zero_grad()
                loss = F.cross_entropy(net(to_unit(train.tensor[chosen])), train.labels[chosen])
                loss.backward()
                optimiser.step()
                schedule.step()
                bar.update()
        bar.close()
    return net.eval()


def _load(path: Path, net: nn.Sequential) -> float | None:
    """Weights and accuracy from the cache; None if there is nothing usable."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            accuracy = float(json.loads(file.metadata()["judge"])["accuracy"])
            net.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        log.warning("%s cannot be used (%s): training the classifier again", path, error)
        return None
    return accuracy


@functools.cache
def judge(dataset: str, *, data_root: str | None = None, standin: str = "never") -> Judge:
    """The classifier of a data set, from the cache or trained now (3 epochs; under a minute for MNIST on two cores).

    Parameters
    ----------
    dataset : str
        A data set with classes: ``digits``, ``mnist``, ``fashion``.
    data_root : str, optional
        As in `kmgan_lib.data.load`.
    standin : {"auto", "always", "never"}
        As in `kmgan_lib.data.load`.

    Returns
    -------
    Judge

    Raises
    ------
    UsageError
        If the data set has no classes or cannot be found.
    """
    if dataset not in data.DATASETS or dataset == "synthetic":
        raise UsageError(f"{dataset} has no classes to judge by: class measures need digits, mnist or fashion")
    train = data.load(dataset, root=data_root, standin=standin)
    test = data.load(dataset, root=data_root, standin=standin, split="test")
    assert test.labels is not None
    digest = str(train.provenance["sha256"])[:12]
    path = cache_root() / "judges" / f"{dataset}-v{VERSION}-{digest}.safetensors"
    kind = str(train.provenance["kind"])
    net = _network(train.tensor.shape[1], train.tensor.shape[2], len(train.classes)).eval()
    accuracy = _load(path, net)
    if accuracy is None:
        from safetensors.torch import save_file

        net = _fit(train)
        fitted = Judge(net, dataset, 0.0, train.classes, kind)
        accuracy = (fitted.probabilities(test.tensor).argmax(1) == test.labels).double().mean().item()
        metadata = {"judge": json.dumps({"accuracy": accuracy, "data": train.provenance})}
        write_atomically(path, lambda p: save_file(net.state_dict(), p, metadata))
    return Judge(net.requires_grad_(False), dataset, accuracy, train.classes, kind)
