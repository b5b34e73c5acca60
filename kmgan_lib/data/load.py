"""Where data sets are found: a given root, the platform's package, a checksummed download, or a stand-in."""

import functools
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from kmgan_lib.data import readers, standins
from kmgan_lib.data.folder import folder
from kmgan_lib.data.images import Images, given
from kmgan_lib.data.toys import digits, synthetic
from kmgan_lib.errors import UsageError
from kmgan_lib.files import cache_root, expanded, first_line

log = logging.getLogger(__name__)
DIGITS = tuple("0123456789")
GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TEST_IMAGES = "10,000 real test images"
SPLITS = ("train", "test", "all")


class Layout(NamedTuple):
    """One way in which the files of a data set lie below a data root."""

    folder: str  # below the root
    files: tuple[str, ...]  # patterns of what it holds
    # Folder and split to images, labels or None, and a remark for the provenance.
    read: Callable[[Path, str], tuple[Tensor, Tensor | None, str]]


@dataclass(frozen=True)
class Dataset:
    """A named data set: how its files may lie below a root, and what may stand in for it."""

    name: str
    layouts: tuple[Layout, ...] = ()  # the first is torchvision's, where a download goes; none comes with the library
    package: str = ""  # folder of a platform's package, in the first layout
    torchvision: str = ""  # its class that downloads it; empty where there is no dependable download
    classes: tuple[str, ...] = ()
    standin: Callable[[str], Images] | None = None  # of a split
    standin_text: str = ""


DATASETS = {
    d.name: d
    for d in [
        Dataset("synthetic", classes=("A", "B", "C", "D")),
        Dataset("digits", classes=DIGITS),
        Dataset(
            "mnist", (Layout("MNIST/raw", readers.IDX_FILES, readers.read_idx),), "", "MNIST", DIGITS,
            functools.partial(standins.embedded, "mnist", DIGITS), TEST_IMAGES,
        ),
        Dataset(
            "fashion", (Layout("FashionMNIST/raw", readers.IDX_FILES, readers.read_idx),),
            "/usr/share/datasets/fashion-mnist", "FashionMNIST", GARMENTS,
            functools.partial(standins.embedded, "fashion", GARMENTS), TEST_IMAGES,
        ),
        Dataset(
            "cifar10",
            (
                Layout("cifar-10-batches-py", readers.BATCHES, readers.read_batches),
                Layout("cifar10", readers.CIFAR_FILES, readers.read_cifar_atlases),
            ),
            "", "CIFAR10", CIFAR10, standins.shapes, "drawn coloured shapes",
        ),
        Dataset(
            "celeba",
            (
                Layout("celeba", readers.PHOTOGRAPHS, readers.read_photographs),
                Layout("celeba64", readers.FACE_ATLASES, readers.read_face_atlases),
            ),
            standin=standins.faces, standin_text="drawn faces",
        ),
    ]
}  # fmt: skip


def _located(dataset: Dataset, root: str | Path | None) -> tuple[str, Path, Layout] | None:
    given = root or os.environ.get("KMGAN_DATA")
    places = [("data root", expanded(given) / way.folder, way) for way in dataset.layouts if given]
    if dataset.package:
        places.append(("package", Path(dataset.package), dataset.layouts[0]))
    if dataset.torchvision:
        places.append(("download", cache_root() / "data" / dataset.layouts[0].folder, dataset.layouts[0]))
    return next((found for found in places if all(any(found[1].glob(name)) for name in found[2].files)), None)


def find(name: str, *, root: str | Path | None = None) -> tuple[str, Path] | None:
    """Where the files of a data set are, as `load` looks for them: a word for the place, and its folder, or None."""
    located = _located(_known(name), root)
    return located and located[:2]


def _known(name: str) -> Dataset:
    if name not in DATASETS:
        raise UsageError(f"unknown data set {name} (one of {', '.join(DATASETS)}, folder:PATH)")
    return DATASETS[name]


def fetch(name: str) -> Path:
    """Download a data set with torchvision, which checks its checksum, into the cache; nothing half-written is kept."""
    dataset = _known(name)
    if not dataset.torchvision:
        raise UsageError(f"{dataset.name} has no dependable download. {_ways(dataset)}")
    import shutil
    import tempfile

    from torchvision import datasets

    target = cache_root() / "data" / dataset.layouts[0].folder
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as partial:
            getattr(datasets, dataset.torchvision)(partial, download=True)
            shutil.rmtree(target, ignore_errors=True)
            shutil.move(Path(partial) / dataset.layouts[0].folder, target)
    except (RuntimeError, OSError, HTTPException) as error:
        raise UsageError(f"{dataset.name} could not be downloaded ({first_line(error)}). {_ways(dataset)}") from None
    return target


def _ways(dataset: Dataset) -> str:
    folders = " or ".join(way.folder for way in dataset.layouts)
    return (
        f"Ways to get it: --data-root or KMGAN_DATA names a folder that holds {folders}, as torchvision has it "
        f"({' and '.join(dataset.layouts[0].files)}); without one, what torchvision can download is downloaded; or use "
        f"--profile smoke, whose {dataset.standin_text} come with the library"
    )


def _from_files(dataset: Dataset, root: str | Path | None, download: bool, standin: str, split: str) -> Images:
    """A data set of files, or its stand-in, at its own size."""
    if standin == "always" and dataset.standin is not None:
        return dataset.standin(split)
    located, given_root = _located(dataset, root), root or os.environ.get("KMGAN_DATA")
    try:
        if located is None and (given_root or not download):
            where = f"under {given_root}" if given_root else "on this machine"
            raise UsageError(f"no {dataset.name} {where}. {_ways(dataset)}")
        word, place, layout = located or ("download", fetch(dataset.name), dataset.layouts[0])
    except UsageError as error:
        if standin == "never" or dataset.standin is None:
            raise
        log.warning("%s: using %s instead (%s)", dataset.name, dataset.standin_text, error)
        return dataset.standin(split)
    tensor, labels, remark = layout.read(place, split)
    return Images.create(
        tensor, labels, classes=dataset.classes, name=dataset.name, kind="real", split=split,
        source=f"{word}, {layout.folder}" + (f" ({remark})" if remark else ""),
    )  # fmt: skip


def load(
    name: str | Tensor | np.ndarray, *, labels: Any = None, root: str | Path | None = None, download: bool = True,
    standin: str = "auto", split: str = "train", image_size: int | None = None, channels: int = 3,
) -> Images:  # fmt: skip
    """Load a data set by name, or take one that is in memory.

    Parameters
    ----------
    name, labels
        ``synthetic``, ``digits``, ``mnist``, ``fashion``, ``cifar10``, ``celeba``, or ``folder:PATH``; or images in
        memory, with their labels, if there are any (`kmgan_lib.data.images.given`).
    root, download
        Data root, searched first, by default ``$KMGAN_DATA``. If it lacks the data, nothing is downloaded.
    standin : {"auto", "always", "never"}
        Whether a stand-in may take the data's place: if nothing else is found (with a warning), always, or never.
        For ``mnist`` and ``fashion`` it is their 10,000 test images, which come with the library, every fifth of them
        held out as ``test``; for ``cifar10`` and ``celeba`` it is drawn.
    split : {"train", "test", "all"}
        ``all`` is both, train first; of ``celeba`` it has the valid partition too. ``synthetic``, folders and images in
        memory have no splits.
    image_size, channels
        Side in pixels, by default their own, and for a folder 32 (`kmgan_lib.data.images.resized`); channels are 1 for
        grey, 3 for RGB, of folders only.

    Returns
    -------
    Images
        A `UsageError` says the ways to get data that cannot be had.
    """
    for key, word, known in (("standin", standin, ("auto", "always", "never")), ("split", split, SPLITS)):
        if word not in known:
            raise UsageError(f"{key}={word} must be one of {', '.join(known)}")
    if not isinstance(name, str):
        images = given(name, labels)
    elif name.startswith("folder:"):
        return folder(name.removeprefix("folder:"), image_size=image_size or 32, channels=channels)
    elif name.startswith("images:"):
        raise UsageError(f"{name} was handed over in Python and is not kept: hand it over again, as images=...")
    elif name == "synthetic":
        return synthetic()
    else:
        dataset = _known(name)
        images = digits(split) if name == "digits" else _from_files(dataset, root, download, standin, split)
    return images if image_size is None else images.at(image_size)
