"""What is run: one frozen dataclass a preset, every field with its source in the paper, and the profiles' sizes.

A preset names the algorithm; a profile (``smoke``, ``quick``, ``paper``) changes size and length only.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import types
import typing
from dataclasses import dataclass
from typing import Any

from kmgan_lib import centers, losses
from kmgan_lib.errors import UsageError

PROFILES = ("smoke", "quick", "paper")
# Fields that a profile sets. They are no part of the algorithm, and not of a preset's hash.
SIZE_FIELDS = ("width", "iterations", "precision", "snapshots", "checkpoint_every", "eval_samples")


def _field(default: Any, source: str, text: str, choices: tuple[str, ...] = ()) -> Any:
    return dataclasses.field(default=default, metadata={"source": source, "text": text, "choices": choices})


@dataclass(frozen=True)
class Preset:
    """One experiment: data, networks, objective, optimisation and, from the profile, size and length.

    Every field carries its source (an equation, table, section or row of the readings; "ours" where the paper is
    silent and nothing decides) in its metadata; ``kmgan list PRESET`` prints them.
    """

    name: str = _field("", "ours", "dataset/method[-variant]")
    dataset: str = _field("mnist", "Table 1", "synthetic, digits, mnist, fashion, cifar10, celeba or folder:PATH")
    method: str = _field("kmgan", "Algorithm 1", "training method", ("kmgan", "dcgan"))
    split: str = _field("all", "Table 1", "images to train on; 70,000 is train and test together", ("train", "all"))
    # Networks
    network: str = _field("mnist", "Section 4.2", "network family", ("synthetic", "mnist"))
    head: str = _field("bn-relu", "readings, row 12", "what D's features are", ("penultimate", "bn-relu", "sigmoid"))
    feature_dim: int = _field(100, "Table 3", "number d of features (the penultimate head has its own)")
    conv_first: int = _field(64, "readings, row 13", "channels of D's first convolution (DCGAN with labels: 1 + 10)")
    conv_second: int = _field(128, "readings, row 13", "channels of D's second one (DCGAN with labels: 64 + 10)")
    channels: int = _field(1, "Table 1", "colour channels, 1 or 3")
    image_size: int = _field(28, "Table 1", "side of the pictures in pixels, a multiple of 4")
    conditional: bool = _field(False, "Section 4.2; readings, row 39", "feed real labels to G and D (DCGAN only)")
    z_dim: int = _field(100, "Tables 2, 3, 5", "length of the noise vector z")
    z_distribution: str = _field("uniform", "readings, row 18", "U(-1, 1) or N(0, 1)", ("uniform", "normal"))
    # KM-GAN
    k: int = _field(10, "Section 2.1", "number of centers")
    center_loss: bool = _field(True, "Eq. (4)", "train on the center loss; off for the ablation of Section 3.1")
    d_round: float = _field(0.0, "Eq. (4); readings, row 1", "threshold of the center loss")
    center_gate: str = _field(
        "floor", "readings, row 1", "what d_round bounds: the loss from below, or the first or last iteration",
        ("floor", "start_step", "stop_step"),
    )  # fmt: skip
    per_cluster: bool = _field(False, "readings, row 2", "distances of corresponding centers, not of their sums")
    center_update: str = _field("eq4", "readings, row 6", "how a batch moves the centers", centers.UPDATES)
    fresh: bool = _field(
        False, "readings, row 7", "recompute the features after the third step, with one more pass, for the update"
    )
    fake_labels: str = _field("real", "readings, row 4", "centers that label generated samples", ("real", "own"))
    reduction: str = _field("frobenius", "readings, row 9", "norm of Eqs. (5) and (6)", losses.REDUCTIONS)
    lambda_pair: float = _field(0.0, "Eq. (7)", "weight lambda of L_intra and L_inter")
    pair_reduction: str = _field("mean", "readings, row 33", "pair sums as printed, or means", losses.PAIR_REDUCTIONS)
    init_images: int = _field(10_000, "readings, row 23", "images whose features k-means++ sees")
    lloyd_iterations: int = _field(0, "readings, row 23", "rounds of Lloyd's algorithm after k-means++")
    recluster_every: int = _field(1000, "readings, row 6", "iterations between two runs of recluster")
    clip: float | None = _field(None, "Section 4.2.2", "bound on D's parameters, or none")
    clip_scope: str = _field("all", "readings, row 14", "which parameters are clipped", ("all", "weights"))
    # Optimisation
    batch: int = _field(64, "readings, row 21", "batch size b")
    learning_rate: float = _field(5e-4, "ours", "Adam's alpha, which the paper leaves open (DCGAN's code: 0.0002)")
    beta1: float = _field(0.5, "readings, row 17", "Adam's beta1")
    beta2: float = _field(0.999, "readings, row 17", "Adam's beta2")
    generator_updates: int = _field(1, "Algorithm 1; readings, row 20", "updates of G for one of D (DCGAN's code: 2)")
    average: float = _field(
        0.999, "ours", "decay of the average of G's weights that samples are drawn from; 0 draws from the last weights"
    )
    # Size and length: the profile's
    width: float = _field(1.0, "profile", "factor on every hidden width; 1 is the paper's")
    iterations: int = _field(27_325, "profile; readings, row 21", "number T of iterations, in total")
    precision: str = _field("float32", "profile", "networks in float32, or in bf16 under autocast", ("float32", "bf16"))
    snapshots: int = _field(5, "profile", "sample grids kept along the way, the last included")
    checkpoint_every: int = _field(1000, "profile", "iterations between two checkpoints")
    eval_samples: int = _field(10_000, "profile", "generated images that the measures see")

    def as_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return dataclasses.asdict(self)

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that identify the algorithm, made from every field but the sizes and the name."""
        fields = {k: v for k, v in self.as_dict().items() if k not in (*SIZE_FIELDS, "name")}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]


FIELDS = {f.name: f for f in dataclasses.fields(Preset)}
_TYPES = typing.get_type_hints(Preset)


def _variants(dataset: str, **common: Any) -> list[Preset]:
    """The presets that every set of 28x28 pictures has."""

    def kmgan(variant: str, **fields: Any) -> Preset:
        return Preset(name=f"{dataset}/kmgan{variant}", dataset=dataset, **{**common, **fields})

    # DCGAN keeps the settings of its own code (carpedm20/DCGAN-tensorflow).
    dcgan: dict[str, Any] = {
        **common, "dataset": dataset, "method": "dcgan", "head": "penultimate", "conv_first": 11, "conv_second": 74,
        "generator_updates": 2, "learning_rate": 2e-4,
    }  # fmt: skip
    return [
        kmgan(""),
        kmgan("-clip", clip=1.0),
        kmgan("-clip001", clip=0.01),
        kmgan("-clip001w", clip=0.01, clip_scope="weights"),
        kmgan("-nocenter", center_loss=False),
        kmgan("-k1", k=1),
        kmgan("-lr2e4", learning_rate=2e-4),
        kmgan("-lr2e4-nocenter", learning_rate=2e-4, center_loss=False),
        kmgan("-printed", d_round=10_000.0),
        kmgan("-percluster", per_cluster=True),
        kmgan("-generalized", lambda_pair=5.0),
        Preset(name=f"{dataset}/dcgan", conditional=True, **dcgan),
        Preset(name=f"{dataset}/dcgan-unconditional", **dcgan),
    ]


_SYNTHETIC: dict[str, Any] = {
    "dataset": "synthetic", "network": "synthetic", "head": "sigmoid", "feature_dim": 2, "k": 4, "channels": 1,
    "image_size": 1, "learning_rate": 2e-4,
}  # fmt: skip

PRESETS: dict[str, Preset] = {
    p.name: p
    for p in [
        Preset(name="synthetic/kmgan", **_SYNTHETIC),
        Preset(name="synthetic/kmgan-nocenter", center_loss=False, **_SYNTHETIC),
        Preset(name="synthetic/dcgan", method="dcgan", **_SYNTHETIC),
        # Short runs on few and small pictures: a larger step shows digits within seconds.
        *_variants("digits", learning_rate=1e-3),
        *_variants("mnist"),
        *_variants("fashion"),
    ]
}

# width, iterations, precision, snapshots, checkpoint_every, eval_samples
_SIZES: dict[tuple[str, str], tuple[float, int, str, int, int, int]] = {
    ("synthetic", "smoke"): (1.0, 300, "float32", 5, 300, 1_000),
    ("synthetic", "quick"): (1.0, 3_000, "float32", 5, 1_000, 10_000),
    ("synthetic", "paper"): (1.0, 3_900, "float32", 5, 1_000, 10_000),  # 25 epochs of 10,000 points
    ("mnist", "smoke"): (1 / 8, 150, "float32", 3, 150, 500),
    ("mnist", "quick"): (1 / 8, 10_000, "float32", 5, 1_000, 10_000),
    ("mnist", "paper"): (1.0, 27_325, "float32", 5, 1_000, 50_000),  # 25 epochs of 70,000 images
}


def _nearest(word: str, known: typing.Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def _convert(key: str, value: Any) -> Any:
    """Value of a field from Python or from the text behind ``--set key=``."""
    kind, optional = _TYPES[key], False
    if isinstance(kind, types.UnionType):
        kind, optional = typing.get_args(kind)[0], True
    if optional and (value is None or (isinstance(value, str) and value.lower() == "none")):
        return None
    word = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}[kind]
    wrong = UsageError(f"{key}={value}: {key} must be {word} ({FIELDS[key].metadata['text']})")
    if kind is bool:
        text = str(value).lower()
        if text not in ("true", "false"):
            raise wrong
        return text == "true"
    if isinstance(value, bool) or (not isinstance(value, str) and kind is str):
        raise wrong
    try:
        number = kind(value)
    except (TypeError, ValueError):
        raise wrong from None
    if kind is int and isinstance(value, float) and value != number:
        raise wrong
    return number


def _check(preset: Preset) -> None:
    """Reject values that no run can have, naming the field and what it must be."""
    for name, field in FIELDS.items():
        choices, value = field.metadata["choices"], getattr(preset, name)
        if choices and value not in choices:
            raise UsageError(f"{name}={value} is unknown{_nearest(str(value), choices)} (one of {', '.join(choices)})")
        if isinstance(value, float) and not abs(value) < float("inf"):
            raise UsageError(f"{name}={value} is not a finite number")
    positive = (
        "k", "feature_dim", "conv_first", "conv_second", "z_dim", "init_images", "recluster_every", "learning_rate",
        "generator_updates", "width", "iterations", "snapshots", "checkpoint_every", "eval_samples", "image_size",
    )  # fmt: skip
    for name in positive:
        if getattr(preset, name) <= 0:
            raise UsageError(f"{name}={getattr(preset, name)} must be greater than 0")
    for name in ("d_round", "lambda_pair", "lloyd_iterations"):
        if getattr(preset, name) < 0:
            raise UsageError(f"{name}={getattr(preset, name)} must not be negative")
    if preset.init_images < 2:
        raise UsageError(f"init_images={preset.init_images} is too small: batch normalisation needs at least 2 images")
    if preset.eval_samples < 10:
        raise UsageError(f"eval_samples={preset.eval_samples} is too small: the score needs at least one a split, 10")
    if preset.batch < 2:
        raise UsageError(f"batch={preset.batch} is too small: batch normalisation needs at least 2 images")
    for name in ("beta1", "beta2", "average"):
        if not 0 <= getattr(preset, name) < 1:
            raise UsageError(f"{name}={getattr(preset, name)} must be a decay rate in [0, 1)")
    if preset.clip is not None and preset.clip <= 0:
        raise UsageError(f"clip={preset.clip} must be greater than 0, or none for no clipping")
    if preset.channels not in (1, 3):
        raise UsageError(f"channels={preset.channels} must be 1 (grey) or 3 (RGB)")
    if preset.network == "mnist" and preset.image_size % 4:
        raise UsageError(f"image_size={preset.image_size} must be a multiple of 4, since D halves it twice")
    if preset.conditional and preset.network == "synthetic":
        raise UsageError("conditional=true needs a network for pictures: Table 2's takes no labels")
    if preset.conditional and preset.method != "dcgan":
        raise UsageError("conditional=true needs method dcgan: KM-GAN uses no labels")


def check_key(key: str, preset: str) -> None:
    """Refuse a key that is no field of a preset, or one that would make it another experiment."""
    if key not in FIELDS or key in ("name", "dataset", "network"):
        raise UsageError(f"unknown key {key}{_nearest(key, FIELDS)} (`kmgan list {preset}` shows all)")


def resolve(name: str, profile: str = "quick", /, **overrides: Any) -> Preset:
    """The preset of this name at the size of a profile, with single fields replaced.

    Parameters
    ----------
    name : str
        ``dataset/method[-variant]``, or ``folder:PATH`` for regular KM-GAN on your own pictures (32x32 RGB unless
        ``image_size`` and ``channels`` say otherwise).
    profile : {"smoke", "quick", "paper"}
        Size and length.
    **overrides
        Fields of `Preset`, as Python values or as text.

    Returns
    -------
    Preset

    Raises
    ------
    UsageError
        On an unknown name, profile or field, or a value that no run can have.
    """
    if name.startswith("folder:"):
        preset = Preset(name=name, dataset=name, channels=3, image_size=32)
    elif name in PRESETS:
        preset = PRESETS[name]
    else:
        raise UsageError(f"unknown preset {name}{_nearest(name, PRESETS)} (`kmgan list` shows all)")
    if profile not in PROFILES:
        raise UsageError(f"unknown profile {profile}{_nearest(profile, PROFILES)} (one of {', '.join(PROFILES)})")
    fields: dict[str, Any] = dict(zip(SIZE_FIELDS, _SIZES[preset.network, profile], strict=True))
    for key, value in overrides.items():
        check_key(key, name)
        fields[key] = _convert(key, value)
    preset = dataclasses.replace(preset, **fields)
    _check(preset)
    return preset
