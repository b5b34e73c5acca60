"""The classifier of a data set's real images: trained once per data set and kept in the cache, or pretrained."""

import copy
import functools
import hashlib
import json
import logging
import math
import os
from collections import OrderedDict
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock
from torchvision.transforms import Normalize

from kmgan_lib import data
from kmgan_lib.data import Images
from kmgan_lib.data.images import stands_in, to_unit
from kmgan_lib.errors import UsageError
from kmgan_lib.files import as_json, cache_root, expanded, first_line, keep, read_json
from kmgan_lib.progress import progress

log = logging.getLogger(__name__)
BATCH, MIN_STEPS, PEAK_RATE, CHUNK = 128, 240, 4e-3, 1000
# Version and epochs of the training; a change needs a new version, which makes a data set's old classifiers invalid.
# Fashion: the paper's classifier gets 97 % of the training and 91 % of the test images right (Section 4.3).
RECIPE, RECIPES = (1, 3), {"fashion": (2, 10)}
RESNET = "classifiers/cifar10-resnet56-4bfd9763.th"  # below a data root; the name ends with the SHA-256's start
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pixels that the ResNet was trained on


def _network(images: Images) -> nn.Sequential:
    """Two convolutions and a hidden layer: the paper's "three-layer convolutional classifier" (Section 4.3)."""
    channels, size = images.tensor.shape[1:3]
    return nn.Sequential(
        nn.Conv2d(channels, 16, 5, padding=2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(32 * (size // 4) ** 2, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, len(images.classes)),
    )  # fmt: skip


@dataclass(frozen=True)
class Classifier:
    """A trained classifier of a data set's classes."""

    net: nn.Sequential
    classes: tuple[str, ...]
    side: int  # of its input images, in pixels; others are resized to it
    kind: str  # what it was trained on, ``real`` or ``stand-in``
    name: str  # in reports
    accuracy: float = math.nan  # share of real test images that it classifies right
    train_accuracy: float | None = None  # where the paper states one to compare with

    @property
    def device(self) -> torch.device:
        """The device that the network is on."""
        return next(self.net.parameters()).device

    def to(self, device: torch.device) -> "Classifier":
        """The same classifier on a device; this one, which others may hold, stays where it is."""
        return self if device == self.device else replace(self, net=copy.deepcopy(self.net).to(device))

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Features (n, d) before the last layer, of images (n, c, h, w) as float in [0, 1] or as uint8.

        d is 128, or 64 for the ResNet. Images of another size are resized, bilinearly and with antialiasing.
        """
        features = []
        for part in images.split(CHUNK):
            x = to_unit(part.to(self.device))
            if x.shape[-1] != self.side:
                x = F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False, antialias=True)
            features.append(self.net[:-1](x).cpu())
        return torch.cat(features)

    @torch.no_grad()
    def classify(self, features: Tensor) -> Tensor:
        """Class probabilities (n, c) from `features`."""
        return torch.cat([self.net[-1](part.to(self.device)).softmax(1).cpu() for part in features.split(CHUNK)])

    def probabilities(self, images: Tensor) -> Tensor:
        """Class probabilities (n, c) of images (n, c, h, w), as float in [0, 1] or as uint8."""
        return self.classify(self.features(images))

    def right(self, images: Images) -> float:
        """The share of labeled images that it classifies right."""
        return (self.probabilities(images.tensor).argmax(1) == images.labels).double().mean().item()

    def describe(self) -> dict[str, Any]:
        """What a reported number says about its extractor."""
        described = {"name": self.name, "data": self.kind, "test_accuracy": round(self.accuracy, 4)}
        return described | ({} if self.train_accuracy is None else {"train_accuracy": round(self.train_accuracy, 4)})


def _fit(train: Images, epochs: int) -> nn.Sequential:
    n = len(train)
    epochs = max(epochs, math.ceil(MIN_STEPS * BATCH / n))
    steps = epochs * (n // BATCH)
    assert train.labels is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = _network(train)
        optimiser = torch.optim.AdamW(net.parameters(), PEAK_RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=steps)
        batches = (chosen for _ in range(epochs) for chosen in torch.randperm(n)[: n // BATCH * BATCH].split(BATCH))
        for chosen in progress(batches, "training the classifier", steps):
            optimiser.zero_grad()
            F.cross_entropy(net(to_unit(train.tensor[chosen])), train.labels[chosen]).backward()
            optimiser.step()
            schedule.step()
    return net.eval()


def _load(path: Path, net: nn.Sequential) -> dict[str, Any] | None:
    """Weights and accuracies from the cache; None if there is nothing usable."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            measured = json.loads(file.metadata()["judge"])
            net.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        return {"accuracy": float(measured["accuracy"]), "train_accuracy": measured.get("train_accuracy")}
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        log.warning("%s cannot be used (%s): training the classifier again", path, error)
        return None


def _trained(train: Images, test: Images, dataset: str) -> Classifier:
    """The classifier from the cache, or trained now."""
    from safetensors.torch import save_file

    kind, small = str(train.provenance["kind"]), stands_in(train.provenance)
    version, epochs = RECIPE if small else RECIPES.get(dataset, RECIPE)
    name = f"{dataset} classifier v{version}" + (" (of test images)" if small and kind == "real" else "")
    path = cache_root() / "judges" / f"{dataset}-v{version}-{train.provenance['sha256'][:12]}.safetensors"
    classifier = Classifier(_network(train).eval(), train.classes, train.tensor.shape[-1], kind, name)
    measured = _load(path, classifier.net)
    if measured is None:
        classifier = replace(classifier, net=_fit(train, epochs))
        training = classifier.right(train) if dataset in RECIPES else None
        measured = {"accuracy": classifier.right(test), "train_accuracy": training}
        metadata = {"judge": json.dumps(measured | {"data": train.provenance})}
        keep(path, lambda p: save_file(classifier.net.state_dict(), p, metadata))
    return replace(classifier, **measured)


def _block(inputs: int, outputs: int) -> nn.Module:
    """Two convolutions; a shortcut to more channels has no parameters: every second pixel, zeros for new channels."""
    if inputs == outputs:
        return BasicBlock(inputs, outputs)
    added = (outputs - inputs) // 2
    shortcut = nn.Sequential(nn.MaxPool2d(1, stride=2), nn.ConstantPad3d((0, 0, 0, 0, added, added), 0.0))
    return BasicBlock(inputs, outputs, 2, shortcut)


def resnet(depth: int = 56, classes: int = 10) -> nn.Sequential:
    """ResNet of 6n + 2 layers for CIFAR-10 (He et al., 2016): images (b, 3, 32, 32) in [0, 1] to logits (b, classes).

    The features before its last layer are (b, 64). Parts are named as in the published weights.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        normalise=Normalize(MEAN, DEVIATION), conv1=nn.Conv2d(3, 16, 3, padding=1, bias=False),
        bn1=nn.BatchNorm2d(16), relu=nn.ReLU(),
    )  # fmt: skip
    for i, (inputs, outputs) in enumerate(pairwise((16, 16, 32, 64)), start=1):
        parts[f"layer{i}"] = nn.Sequential(*(_block(outputs if j else inputs, outputs) for j in range(depth // 6)))
    parts |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "linear": nn.Linear(64, classes)}
    return nn.Sequential(parts)


def load_resnet56(path: Path) -> nn.Sequential:
    """The network that Y. Idelbayev trained (akamaster/pytorch_resnet_cifar10, BSD), read without running code.

    Raises `UsageError` if the file is not the published one, since reported numbers name it.
    """
    expected = path.stem.rsplit("-", 1)[-1]
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    net = resnet(56)
    try:
        if not found.startswith(expected):
            raise ValueError(f"SHA-256 {found[:8]}... instead of {expected}...")
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        net.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    except Exception as error:  # torch.load raises many kinds of error for a broken file
        reason = first_line(error)
        raise UsageError(f"{path} is not the ResNet-56 it should be ({reason}): get it again, or remove it") from None
    return net.eval().requires_grad_(False)


def _pretrained(test: Images, dataset: str, data_root: str | None) -> Classifier | None:
    """The published network, if it is in the data root and the data are those it was made for."""
    root = data_root or os.environ.get("KMGAN_DATA")
    if root is None or dataset != "cifar10" or stands_in(test.provenance):
        return None
    if not (path := expanded(root) / RESNET).is_file():
        return None
    name = f"{dataset} ResNet-56 ({path.name})"
    classifier = Classifier(load_resnet56(path), test.classes, test.tensor.shape[-1], "real", name)
    # Its accuracy is measured on these test images, maybe not the whole test set; ten thousand take a minute.
    kept = cache_root() / "judges" / f"{path.stem}-{test.provenance['sha256'][:12]}.json"
    try:
        accuracy = float(read_json(kept)["accuracy"])
    except (KeyError, TypeError, ValueError):  # nothing there yet, or nothing usable
        accuracy = classifier.right(test)
        keep(kept, lambda p: p.write_text(as_json({"accuracy": accuracy}), encoding="utf-8"))
    return replace(classifier, accuracy=accuracy)


@functools.cache
def load_classifier(dataset: str, *, data_root: str | None = None, standin: str = "never") -> Classifier:
    """The classifier of a data set with classes: pretrained in the data root, from the cache, or trained now.

    For CIFAR-10 it is the data root's ResNet-56, if any. Raises `UsageError` for data without classes, or not found.
    """
    if not has_classes(dataset):
        known = ", ".join(name for name in data.DATASETS if has_classes(name))
        raise UsageError(f"{dataset} has no classes to judge by: class measures need one of {known}")
    test = data.load(dataset, root=data_root, standin=standin, split="test")
    found = _pretrained(test, dataset, data_root)
    return found or _trained(data.load(dataset, root=data_root, standin=standin), test, dataset)


def has_classes(dataset: str) -> bool:
    """Whether a data set has images with classes, and thus a classifier."""
    return dataset in data.DATASETS and dataset != "synthetic" and len(data.DATASETS[dataset].classes) > 0
