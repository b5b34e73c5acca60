"""One frozen dataclass a preset, every field with its source in the paper; what is said of it before any method.

A preset names the algorithm; a profile (``smoke``, ``quick``, ``long``, ``paper``) changes size and length only. What
all methods share stands in `Preset`; what one method alone has stands in its own `Options`, in the method's file.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kmgan_lib.fields import field

PROFILES, PRECISIONS = ("smoke", "quick", "long", "paper"), ("float32", "bf16")
# Fields that a profile sets. They are no part of the algorithm, and not of a preset's hash.
SIZE_FIELDS = ("width", "iterations", "precision", "snapshots", "checkpoint_every", "eval_samples")
WIDEST = 65_536  # no layer is as wide: a mistyped number is told apart from a machine that is too small
FIXED = ("name", "dataset", "network", "method")  # said by the preset's name, not by overrides


@dataclass(frozen=True)
class Options:
    """What one method alone has: derive a frozen dataclass whose fields are made by `kmgan_lib.fields.field`."""


@dataclass(frozen=True)
class Preset:
    """One experiment: data, networks, optimisation, the method's options and, from the profile, size and length.

    Every field carries its source in its metadata (`kmgan_lib.fields.field`); ``kmgan list PRESET`` prints them.
    Options read like fields: ``preset.k`` is ``preset.options.k``.
    """

    name: str = field("", "ours", "dataset/method[-variant]")
    dataset: str = field("mnist", "Table 1", "synthetic, digits, mnist, fashion, cifar10, celeba or folder:PATH")
    method: str = field("kmgan", "Algorithm 1", "training method")
    split: str = field("all", "Table 1", "images to train on; 70,000 is train and test together", ("train", "all"))
    # Networks
    network: str = field(
        "mnist", "Tables 2, 3, 5; Section 4.2", "network family", ("synthetic", "mnist", "cifar10", "celeba")
    )
    head: str = field(
        "bn-relu", "Table 3; readings, row 12", "what D's features are", ("penultimate", "bn-relu", "sigmoid")
    )
    feature_dim: int = field(100, "Table 3", "number d of features (penultimate: its own)", above=0, below=WIDEST)
    conv_first: int = field(
        64, "readings, row 13", "channels of the MNIST D's first layer (DCGAN, labels: 1 + 10)", above=0, below=WIDEST
    )
    conv_second: int = field(
        128, "readings, row 13", "channels of the MNIST D's second (DCGAN, labels: 64 + 10)", above=0, below=WIDEST
    )
    tail: str = field(
        "table", "Tables 2, 3, 5; DCGAN's own D", "fully connected layers of D: with batch normalisation as printed, "
        "without it, or none, so that the features are the last convolution's maps",
        ("table", "plain", "linear"), later=True,
    )  # fmt: skip
    norm: str = field(
        "batch", "readings, row 28; Miyato et al., 2018", "normalisation in D: of batches as printed, none, or of "
        "weights by their spectral norm", ("batch", "none", "spectral"), later=True,
    )  # fmt: skip
    initial_scale: str = field(
        "printed", "ours", "initial weights: N(0, 0.02) at every width, or as large as keeps the outputs' spread that "
        "0.02 gives at full width", ("printed", "fan-in"), later=True,
    )  # fmt: skip
    channels: int = field(1, "Table 1", "colour channels, 1 or 3", above=0)
    image_size: int = field(28, "Table 1", "side of the pictures in pixels", above=0, below=1025)
    conditional: bool = field(False, "Section 4.2; readings, row 39", "feed real labels to G and D (DCGAN only)")
    z_dim: int = field(100, "Tables 2, 3, 5", "length of the noise vector z", above=0, below=WIDEST)
    z_distribution: str = field("uniform", "readings, row 18", "U(-1, 1) or N(0, 1)", ("uniform", "normal"))
    # Optimisation
    batch: int = field(64, "readings, row 21", "batch size b; batch normalisation needs at least 2 images", least=2)
    learning_rate: float = field(
        5e-4, "ours", "the optimiser's rate, which the paper leaves open (DCGAN's code: 0.0002)", above=0
    )
    beta1: float = field(0.5, "readings, row 17", "Adam's beta1, a decay rate", least=0, below=1)
    beta2: float = field(0.999, "readings, row 17", "Adam's beta2, a decay rate", least=0, below=1)
    average: float = field(
        0.999, "ours", "decay of the average of G's weights that samples are drawn from; 0 draws from the last weights",
        least=0, below=1,
    )  # fmt: skip
    # Size and length: the profile's
    width: float = field(1.0, "profile", "factor on every hidden width; 1 is the paper's", above=0, below=100)
    iterations: int = field(27_325, "profile; readings, row 21", "number T of iterations, in total", above=0)
    precision: str = field("float32", "profile", "of the networks", PRECISIONS)
    snapshots: int = field(5, "profile", "sample grids kept along the way, the last included", above=0)
    checkpoint_every: int = field(1000, "profile", "iterations between two checkpoints", above=0)
    eval_samples: int = field(
        10_000, "profile", "generated images that the measures see; the classifier score has ten splits", least=10
    )
    options: Options = dataclasses.field(default=Options(), metadata={"source": "", "text": "", "choices": ()})

    def __getattr__(self, key: str) -> Any:
        if key == "options" or key.startswith("__"):
            raise AttributeError(key)
        return getattr(self.options, key)

    def fields(self) -> dict[str, dataclasses.Field[Any]]:
        """All fields by name, the method's options last."""
        return FIELDS | {f.name: f for f in dataclasses.fields(self.options)}

    def as_dict(self) -> dict[str, Any]:
        """All fields and options side by side, ready for JSON."""
        return {key: getattr(self, key) for key in self.fields()}

    def replace(self, **changes: Any) -> "Preset":
        """A copy with single fields or options replaced."""
        mine = {k: v for k, v in changes.items() if k in FIELDS}
        options = {k: v for k, v in changes.items() if k not in FIELDS}
        return dataclasses.replace(self, options=dataclasses.replace(self.options, **options), **mine)

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that identify the algorithm, made from every field but the sizes and the name.

        A field younger than the first records counts only where it is not at its default.
        """
        return hash_of(self.as_dict(), self.fields())


FIELDS = {f.name: f for f in dataclasses.fields(Preset) if f.name != "options"}


def hash_of(values: Mapping[str, Any], known: Mapping[str, dataclasses.Field[Any]]) -> str:
    """The hash of a preset's values; ``known`` are its fields, as far as this version knows them."""
    young = {key for key, f in known.items() if f.metadata["later"] and values.get(key) == f.default}
    left = {key: value for key, value in values.items() if key not in (*SIZE_FIELDS, "name") and key not in young}
    return hashlib.sha256(json.dumps(left, sort_keys=True).encode()).hexdigest()[:12]
