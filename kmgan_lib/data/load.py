"""Where data sets are found: a given root, the platform's package, a checksummed download, or a stand-in."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kmgan_lib.checkpoint import first_line
from kmgan_lib.data.digits import digits
from kmgan_lib.data.folder import folder
from kmgan_lib.data.idx import read_idx
from kmgan_lib.data.images import Images, joined
from kmgan_lib.data.synthetic import synthetic
from kmgan_lib.errors import UsageError

log = logging.getLogger(__name__)
STANDIN_MODES = ("auto", "always", "never")
_GARMENTS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


@dataclass(frozen=True)
class Dataset:
    """A named data set: where its files lie below a root, and what may stand in for it."""

    name: str
    folder: str = ""  # below a data root, torchvision's layout
    package: str = ""  # folder of a platform's package
    classes: tuple[str, ...] = ()
    standin: Callable[[str], Images] | None = None


DATASETS = {
    d.name: d
    for d in [
        Dataset("synthetic", classes=("A", "B", "C", "D")),
        Dataset("digits", classes=tuple("0123456789")),
        Dataset("mnist", "MNIST/raw", classes=tuple("0123456789"), standin=lambda s: digits(s, standin_for="mnist")),
        Dataset("fashion", "FashionMNIST/raw", "/usr/share/datasets/fashion-mnist", classes=_GARMENTS),
    ]
}
_FILES = {"train": "train", "test": "t10k"}


def cache_root() -> Path:
    """Folder of downloads and trained classifiers: ``$KMGAN_CACHE``, else ``kmgan`` in the user's cache folder."""
    base = os.environ.get("KMGAN_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "kmgan"


def _idx_files(place: Path) -> dict[str, Path] | None:
    found = {}
    for split, prefix in _FILES.items():
        for kind in ("images-idx3", "labels-idx1"):
            candidates = [place / f"{prefix}-{kind}-ubyte{suffix}" for suffix in ("", ".gz")]
            path = next((c for c in candidates if c.is_file()), None)
            if path is None:
                return None
            found[f"{split}-{kind[:6]}"] = path
    return found


def find(name: str, *, root: str | Path | None = None) -> tuple[str, Path] | None:
    """Where the files of a data set are: a word for the place, and its folder; or None.

    Parameters
    ----------
    name : str
        ``mnist`` or ``fashion``.
    root : path, optional
        Looked at first; by default ``$KMGAN_DATA``.
    """
    dataset = DATASETS[name]
    given = root or os.environ.get("KMGAN_DATA")
    places = [("data root", Path(given).expanduser() / dataset.folder)] if given else []
    if dataset.package:
        places.append(("package", Path(dataset.package)))
    places.append(("download", cache_root() / "data" / dataset.folder))
    return next(((word, place) for word, place in places if _idx_files(place)), None)


def fetch(name: str) -> Path:
    """Download a data set with torchvision, which checks its checksum, into the cache.

    Raises
    ------
    UsageError
        If the download fails; nothing half-written is kept.
    """
    import shutil
    import tempfile

    from torchvision import datasets

    kinds = {"mnist": datasets.MNIST, "fashion": datasets.FashionMNIST}
    target = cache_root() / "data" / DATASETS[name].folder
    target.parent.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent.parent) as partial:
        try:
            kinds[name](partial, download=True)
        except (RuntimeError, OSError) as error:
            raise UsageError(f"{name} could not be downloaded ({first_line(error)}). {_ways(name)}") from None
        target.parent.mkdir(exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(Path(partial) / DATASETS[name].folder, target)
    return target


def _ways(name: str) -> str:
    standin = "use the digits presets" if name == "mnist" else "use a digits preset"
    return (
        f"Three ways to get it: (1) --data-root or KMGAN_DATA names a folder that holds {DATASETS[name].folder}; "
        f"(2) `kmgan data fetch {name}` downloads it; (3) {standin}, whose real 8x8 digits come with the library"
    )


def _from_idx(dataset: Dataset, split: str, word: str, place: Path) -> Images:
    files = _idx_files(place)
    assert files is not None
    tensor, _ = read_idx(files[f"{split}-images"])
    labels, _ = read_idx(files[f"{split}-labels"])
    if tensor.ndim != 3 or labels.shape != tensor.shape[:1]:
        raise UsageError(
            f"{place}: the {split} images {tuple(tensor.shape)} and labels {tuple(labels.shape)} do not belong "
            "together: get the data again"
        )
    return Images.create(
        tensor.unsqueeze(1), labels.long(), classes=dataset.classes, name=dataset.name, kind="real", split=split,
        source=f"{word}, {dataset.folder}",
    )  # fmt: skip


def load(
    name: str,
    *,
    root: str | Path | None = None,
    download: bool = True,
    standin: str = "auto",
    split: str = "train",
    image_size: int = 32,
    channels: int = 3,
) -> Images:
    """Load a data set by name.

    Parameters
    ----------
    name : str
        ``synthetic``, ``digits``, ``mnist``, ``fashion``, or ``folder:PATH``.
    root : path, optional
        Data root, searched first; by default ``$KMGAN_DATA``. Where a root is given and lacks the data, nothing is
        downloaded: that would hide the mistake.
    download : bool
        Download what is found nowhere.
    standin : {"auto", "always", "never"}
        Whether a stand-in may take the data's place: if nothing else is found (with a warning), always, or never.
    split : {"train", "test", "all"}
        ``all`` is both, train first. ``synthetic`` and folders have no splits.
    image_size, channels : int
        For ``folder:PATH`` only.

    Returns
    -------
    Images

    Raises
    ------
    UsageError
        If the name is unknown or the data cannot be had; the message says the ways to get it.
    """
    if standin not in STANDIN_MODES:
        raise UsageError(f"standin={standin} must be one of {', '.join(STANDIN_MODES)}")
    if split not in ("train", "test", "all"):
        raise UsageError(f"split={split} must be one of train, test, all")
    if name.startswith("folder:"):
        return folder(name.removeprefix("folder:"), image_size=image_size, channels=channels)
    if name == "synthetic":
        return synthetic()
    if name not in DATASETS:
        raise UsageError(f"unknown data set {name} (one of {', '.join(DATASETS)}, folder:PATH)")
    if split == "all":
        options = {"root": root, "download": download, "standin": standin}
        return joined([load(name, split=part, **options) for part in ("train", "test")])
    if name == "digits":
        return digits(split)
    dataset = DATASETS[name]
    if standin == "always":
        if dataset.standin is None:
            raise UsageError(f"{name} has no stand-in. {_ways(name)}")
        return dataset.standin(split)
    place = find(name, root=root)
    if place is None:
        given = root or os.environ.get("KMGAN_DATA")
        try:
            if given or not download:
                where = f"under {given}" if given else "on this machine"
                raise UsageError(f"no {name} {where}. {_ways(name)}")
            place = ("download", fetch(name))
        except UsageError as error:
            if standin == "never" or dataset.standin is None:
                raise
            log.warning("%s: using the stand-in (%s)", name, error)
            return dataset.standin(split)
    return _from_idx(dataset, split, *place)
