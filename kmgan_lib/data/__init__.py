"""Images with their provenance: from a data root, the platform's package, a download, a stand-in, or a folder."""

import functools
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from kmgan_lib.data import readers, toys
from kmgan_lib.data.images import Images, folder, given
from kmgan_lib.errors import UsageError
from kmgan_lib.files import cache_root, expanded, first_line

__all__ = ["DATASETS", "Dataset", "Images", "fetch", "find", "load"]

log = logging.getLogger(__name__)
DIGITS = tuple("0123456789")
GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LARGEST = 1024  # pixels on a side; the largest network generates 64


class Layout(NamedTuple):
    """One way in which the files of a data set lie below a data root."""

    folder: str  # below the root
    files: tuple[str, ...]  # patterns of what it holds
    # Folder and split to images, labels or None, and a remark for the provenance.
    read: Callable[[Path, str], tuple[Tensor, Tensor | None, str]]


@dataclass(frozen=True)
class Dataset:
    """A named data set: how its files may be laid out below a root, and what may stand in for it."""

    name: str
    classes: tuple[str, ...] = ()
    layouts: tuple[Layout, ...] = ()  # the first is torchvision's, where a download goes; none: part of the library
    torchvision: str = ""  # its class that downloads it; empty where there is no dependable download
    package: str = ""  # folder of a platform's package, in the first layout
    standin: Callable[[str], Images] | None = None  # of a split
    standin_text: str = ""


_CIFAR = (
    Layout("cifar-10-batches-py", readers.BATCHES, readers.read_batches),
    Layout("cifar10", readers.CIFAR_FILES, readers.read_cifar_atlases),
)
_CELEBA = (
    Layout("celeba", readers.PHOTOGRAPHS, readers.read_photographs),
    Layout("celeba64", readers.FACE_ATLASES, readers.read_face_atlases),
)


def _of_idx_files(name: str, classes: tuple[str, ...], torchvision: str, package: str = "") -> Dataset:
    layout = Layout(f"{torchvision}/raw", readers.IDX_FILES, readers.read_idx)
    standin = functools.partial(toys.embedded, name, classes)
    return Dataset(name, classes, (layout,), torchvision, package, standin, "10,000 real test images")


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("synthetic", classes=("A", "B", "C", "D")),
        Dataset("digits", DIGITS),
        _of_idx_files("mnist", DIGITS, "MNIST"),
        _of_idx_files("fashion", GARMENTS, "FashionMNIST", "/usr/share/datasets/fashion-mnist"),
        Dataset("cifar10", CIFAR10, _CIFAR, "CIFAR10", "", toys.shapes, "drawn coloured shapes"),
        Dataset("celeba", (), _CELEBA, "", "", toys.faces, "drawn faces"),
    )
}


def _known(name: str) -> Dataset:
    if name not in DATASETS:
        raise UsageError(f"unknown data set {name} (one of {', '.join(DATASETS)}, folder:PATH)")
    return DATASETS[name]


def _located(dataset: Dataset, root: str | Path | None) -> tuple[str, Path, Layout] | None:
    given = root or os.environ.get("KMGAN_DATA")
    places = [("data root", expanded(given) / layout.folder, layout) for layout in dataset.layouts if given]
    if dataset.package:
        places.append(("package", Path(dataset.package), dataset.layouts[0]))
    if dataset.torchvision:
        places.append(("download", cache_root() / "data" / dataset.layouts[0].folder, dataset.layouts[0]))
    return next((found for found in places if all(any(found[1].glob(name)) for name in found[2].files)), None)


def find(name: str, *, root: str | Path | None = None) -> tuple[str, Path] | None:
    """Where `load` finds the files of a data set: a word for the kind of place, and the folder; None if nowhere."""
    located = _located(_known(name), root)
    return located and located[:2]


def fetch(name: str) -> Path:
    """Download a data set into the cache with torchvision, which verifies its checksum; nothing partial is kept."""
    from torchvision import datasets

    dataset = _known(name)
    if not dataset.torchvision:
        raise UsageError(f"{name} has no reliable download. {_ways(dataset)}")
    target = cache_root() / "data" / dataset.layouts[0].folder
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as partial:
            getattr(datasets, dataset.torchvision)(partial, download=True)
            shutil.rmtree(target, ignore_errors=True)
            shutil.move(Path(partial) / dataset.layouts[0].folder, target)
    except (RuntimeError, OSError, HTTPException) as error:
        raise UsageError(f"{name} cannot be downloaded ({first_line(error).rstrip(':')}). {_ways(dataset)}") from None
    return target


def _ways(dataset: Dataset) -> str:
    folders = " or ".join(layout.folder for layout in dataset.layouts)
    fetched = "without one, torchvision downloads it; " if dataset.torchvision else ""
    return (
        f"Ways to get it: set --data-root or KMGAN_DATA to a folder that holds {folders}, as torchvision has it "
        f"({' and '.join(dataset.layouts[0].files)}); {fetched}or train with --profile smoke on {dataset.standin_text}"
    )


def _from_files(dataset: Dataset, root: str | Path | None, download: bool, standin: str, split: str) -> Images:
    """A data set of files, or its stand-in, at its own size."""
    if standin == "always" and dataset.standin is not None:
        return dataset.standin(split)
    located, given = _located(dataset, root), root or os.environ.get("KMGAN_DATA")
    try:
        if located is None and (given or not download):
            raise UsageError(f"no {dataset.name} {f'under {given}' if given else 'on this machine'}. {_ways(dataset)}")
        word, place, layout = located or ("download", fetch(dataset.name), dataset.layouts[0])
    except UsageError as error:
        if standin == "never" or dataset.standin is None:
            raise
        log.warning("%s: using %s instead (%s)", dataset.name, dataset.standin_text, error)
        return dataset.standin(split)
    tensor, labels, remark = layout.read(place, split)
    names = {"name": dataset.name, "kind": "real", "split": split, "source": f"{word}, {layout.folder}{remark}"}
    return Images.create(tensor, labels, classes=dataset.classes, **names)


def load(
    name: str | Tensor | np.ndarray, *, labels: Any = None, root: str | Path | None = None, download: bool = True,
    standin: str = "auto", split: str = "train", image_size: int | None = None, channels: int = 3,
) -> Images:  # fmt: skip
    """Load a data set by name, or take one that is in memory.

    Parameters
    ----------
    name, labels
        ``synthetic``, ``digits``, ``mnist``, ``fashion``, ``cifar10``, ``celeba``, or ``folder:PATH``; or images in
        memory, with their labels if there are any (`kmgan_lib.data.images.given`).
    root, download
        Data root, searched first, by default ``$KMGAN_DATA``; and, if there is none, whether to download.
    standin : {"auto", "always", "never"}
        Whether a stand-in may take the data's place: if nothing else is found (with a warning), always, or never.
    split : {"train", "test", "all"}
        ``all`` is train, then test, and for ``celeba`` also valid. Points, folders and arrays have no splits.
    image_size, channels
        Side in pixels (`kmgan_lib.data.images.resized`), by default the images' own, or 32 for a folder; and, only for
        folders, 1 channel (gray) or 3 (RGB).

    If the data cannot be found, a `UsageError` lists the ways to get them.
    """
    for key, word, known in (("standin", standin, ("auto", "always", "never")), ("split", split, readers.PARTS)):
        if word not in known:
            raise UsageError(f"{key}={word} must be one of {', '.join(known)}")
    if image_size is not None and not 1 <= image_size <= LARGEST:
        raise UsageError(f"image_size={image_size} must be between 1 and {LARGEST} pixels")
    if not isinstance(name, str):
        images = given(name, labels)
    elif name.startswith("folder:"):
        return folder(name.removeprefix("folder:"), image_size=image_size or 32, channels=channels)
    elif name.startswith("images:"):
        raise UsageError(f"{name} was passed in Python and is not kept: pass it again, as images=...")
    elif name == "synthetic":
        return toys.synthetic()
    else:
        dataset = _known(name)
        images = toys.digits(split) if name == "digits" else _from_files(dataset, root, download, standin, split)
    return images if image_size is None else images.at(image_size)
