"""Presets as frozen pydantic models, every field with its bounds and its source in the paper.

A preset defines the algorithm, a profile size and length. A method with fields of its own derives from `Preset`.
"""

import contextlib
import hashlib
import json
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from kmgan_lib.errors import UsageError, did_you_mean, shorten

PROFILES = ("smoke", "quick", "long", "paper")
# Fields that a profile sets. They are part neither of the algorithm nor of a preset's hash.
SIZE_FIELDS = ("width", "iterations", "precision", "snapshots", "checkpoint_every", "eval_samples")
WIDEST = 65_536  # wider than any layer: a mistyped number is reported as such, not as too small a machine
MAX_COUNT = 1_000_000_000  # more than any count, and more of anything than a machine has room for
FIXED = ("name", "dataset", "network", "method")  # given by the preset's name, not by overrides
OWN = ("folder:", "images:")  # prefixes of the names of the user's own data
_WORDS = {"true": True, "false": False, "none": None}


def field(default: Any, source: str, text: str, *, later: bool = False, **bounds: Any) -> Any:
    """A field of a preset, with its default and what readers and checks need to know about it.

    ``source`` is an equation, table, section, row of the readings or other code, ``text`` the meaning; bounds are
    pydantic's. Records may be older than a ``later`` field: at its default it does not change a preset's hash.
    """
    if type(default) is int:
        bounds.setdefault("lt", MAX_COUNT)
    return Field(default, description=text, json_schema_extra={"source": source, "later": later}, **bounds)


def choices(known: Any) -> list[str]:
    """The words that a `Literal` field allows; an empty list for other fields."""
    return [word for word in typing.get_args(known.annotation) if isinstance(word, str)]


class Preset(BaseModel):
    """One experiment: data, networks, optimization, the method's own fields and, from the profile, size and length.

    Values are Python objects, or text as after ``--set key=``; a `UsageError` says what a wrong one must be.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    name: str = field("", "ours", "dataset/method[-variant]")
    dataset: str = field("mnist", "Table 1", "synthetic, digits, mnist, fashion, cifar10, celeba or folder:PATH")
    method: str = field("kmgan", "Algorithm 1", "training method")
    split: Literal["train", "all"] = field("all", "Table 1", "images to train on; 70,000 are train and test together")
    # Networks
    network: Literal["synthetic", "mnist", "cifar10", "celeba"] = field("mnist", "Tables 2, 3, 5; Section 4.2", "kind")
    head: Literal["penultimate", "bn-relu", "sigmoid"] = field("bn-relu", "Table 3; readings, row 12", "D's features")
    feature_dim: int = field(100, "Table 3", "number d of features (penultimate: the layer's)", gt=0, lt=WIDEST)
    conv_first: int = field(64, "readings, row 13", "channels of MNIST's D, first (DCGAN: 1 + 10)", gt=0, lt=WIDEST)
    conv_second: int = field(128, "readings, row 13", "channels of its second layer (DCGAN: 64 + 10)", gt=0, lt=WIDEST)
    tail: Literal["table", "plain", "linear"] = field(
        "table", "Tables 2, 3, 5; DCGAN's D", "D's FC layers: as printed, without batch norm, or none", later=True
    )
    norm: Literal["batch", "none", "spectral"] = field(
        "batch", "Tables 2, 3, 5; Miyato et al., 2018", "normalization in D: of batches, none, of weights", later=True
    )
    initial_scale: Literal["printed", "fan-in"] = field(
        "printed", "ours", "initial weights: N(0, 0.02), or widened so that outputs are those of full width", later=True
    )
    channels: int = field(1, "Table 1", "color channels, 1 or 3", gt=0)
    image_size: int = field(28, "Table 1", "side of the images in pixels", gt=0, lt=1025)
    conditional: bool = field(False, "Section 4.2; readings, row 39", "feed real labels to G and D (DCGAN only)")
    z_dim: int = field(100, "Tables 2, 3, 5", "length of the noise vector z", gt=0, lt=WIDEST)
    z_distribution: Literal["uniform", "normal"] = field("uniform", "readings, row 18", "U(-1, 1) or N(0, 1)")
    # Optimization
    batch: int = field(64, "readings, row 21", "batch size b; batch normalization needs at least 2 images", ge=2)
    learning_rate: float = field(5e-4, "ours", "step size, open in the paper (DCGAN's code: 0.0002)", gt=0, lt=1e38)
    beta1: float = field(0.5, "readings, row 17", "Adam's beta1, a decay rate", ge=0, lt=1)
    beta2: float = field(0.999, "readings, row 17", "Adam's beta2, a decay rate", ge=0, lt=1)
    average: float = field(
        0.999, "ours", "decay of the average of G's weights, used for samples; 0: use the last weights", ge=0, lt=1
    )
    # Size and length: the profile's
    width: float = field(1.0, "profile", "factor on every hidden width; 1 is the paper's", gt=0, lt=100)
    iterations: int = field(27_325, "profile; readings, row 21", "number T of iterations, in total", gt=0)
    precision: Literal["float32", "bf16"] = field("float32", "profile", "precision of the networks")
    snapshots: int = field(5, "profile", "sample grids kept along the way, the last included", gt=0)
    checkpoint_every: int = field(1000, "profile", "iterations between two checkpoints", gt=0)
    eval_samples: int = field(10_000, "profile", "generated images that the measures see, in ten splits", ge=10)

    if TYPE_CHECKING:  # a method's own fields

        def __getattr__(self, key: str) -> Any: ...

    def __init__(self, **values: Any):
        try:
            super().__init__(**values)
        except ValidationError as error:
            wrong = error.errors()[0]
            key, must = str(wrong["loc"][0]), wrong["msg"].replace("Input should", "must")
            known = self.fields().get(key)
            about = f"{did_you_mean(shorten(values[key]), choices(known))} ({known.description})" if known else ""
            raise UsageError(f"{key}={shorten(values[key])} {must}{about}") from None

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        """Convert text to numbers and booleans, and whole floats to integers, where the field holds these."""
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, str) and kind in (bool, int, float, float | None):
            with contextlib.suppress(ValueError):
                said = value.lower()
                return _WORDS[said] if said in _WORDS else (int if kind is int else float)(value)
        if kind is int and isinstance(value, (float, np.integer)) and float(value).is_integer():
            return int(value)
        return value

    @classmethod
    def fields(cls) -> dict[str, Any]:
        """All fields by name as pydantic describes them, the method's own last."""
        return dict(cls.model_fields)

    def as_dict(self) -> dict[str, Any]:
        """All values by name, ready for JSON."""
        return dict(self)

    def replace(self, **changes: Any) -> Self:
        """A copy with single fields replaced."""
        return type(self)(**self.as_dict() | changes)

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that identify the algorithm, made from every field but the sizes and the name."""
        return self.hash_of(self.as_dict())

    @classmethod
    def hash_of(cls, values: Mapping[str, Any]) -> str:
        """The `hash` of values that any version of this class has written."""
        new = {key for key, f in cls.fields().items() if f.json_schema_extra["later"] and values.get(key) == f.default}
        counted = {key: value for key, value in values.items() if key not in {*SIZE_FIELDS, "name", *new}}
        return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:12]
