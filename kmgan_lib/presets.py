"""Presets, put together from groups, registered methods and profiles, with single fields replaced."""

import functools
import os
from collections.abc import Iterator, Mapping
from typing import Any

from kmgan_lib.config import FIXED, OWN, PROFILES, SIZE_FIELDS, Preset
from kmgan_lib.errors import UsageError, did_you_mean, shorten, unknown
from kmgan_lib.methods import METHODS, Method, method

# What the presets of each group have in common; a group's name is the first part of its presets' names. The paper
# leaves Adam's alpha open: outside 28x28, where 0.0005 was found to learn faster, it is DCGAN's.
GROUPS: dict[str, dict[str, Any]] = {
    "synthetic": {
        "dataset": "synthetic", "network": "synthetic", "head": "sigmoid", "feature_dim": 2, "image_size": 1,
        "learning_rate": 2e-4,
    },
    # Short runs on few and small images: a larger step shows digits within seconds.
    "digits": {"dataset": "digits", "learning_rate": 1e-3},
    "mnist": {"dataset": "mnist"},
    "fashion": {"dataset": "fashion"},
    "cifar10": {"dataset": "cifar10", "network": "cifar10", "channels": 3, "image_size": 64, "learning_rate": 2e-4},
    "cifar10-32": {"dataset": "cifar10", "network": "cifar10", "channels": 3, "image_size": 32, "learning_rate": 2e-4},
    "celeba": {
        "dataset": "celeba", "network": "celeba", "head": "sigmoid", "channels": 3, "image_size": 64,
        "learning_rate": 2e-4,
    },
}  # fmt: skip

# Step sizes that `benchmarks/tuning.py` chose for each group from one grid; all others keep their method's own.
_PLUS = ("kmgan_plus", "kmgan_plus-random", "kmgan_plus-true", "kmgan_plus-center")
_FAST = (
    "dcgan", "dcgan-unconditional", "wgan", "wgan_gp", "mix_wgan", "mbgan", "mlgan-clip", "ali", "improved_gan",
    "sngan", *_PLUS,
)  # fmt: skip
RATES: dict[str, dict[str, float]] = {
    "mnist": {**dict.fromkeys(_FAST, 1e-3), "mlgan": 5e-4},
    "cifar10-32": {
        **dict.fromkeys(("ali", "dcgan", "mix_wgan", "sngan", "wgan"), 1e-3),
        **dict.fromkeys(("improved_gan", "wgan_gp", *_PLUS), 5e-4),
        **dict.fromkeys(("kmgan", "kmgan-noclip"), 1e-4),
    },
}  # fmt: skip
RATES["fashion"], RATES["cifar10"] = RATES["mnist"], RATES["cifar10-32"]  # tuned only on MNIST, and at 32x32

# Values of `SIZE_FIELDS`, in this order, by network and profile.
SIZES: dict[tuple[str, str], tuple[float, int, str, int, int, int]] = {
    ("synthetic", "smoke"): (1.0, 300, "float32", 5, 300, 1_000),
    ("synthetic", "quick"): (1.0, 3_000, "float32", 5, 1_000, 10_000),
    ("synthetic", "long"): (1.0, 3_900, "float32", 5, 1_000, 10_000),
    ("synthetic", "paper"): (1.0, 3_900, "float32", 5, 1_000, 10_000),  # 25 epochs of 10,000 points
    ("mnist", "smoke"): (1 / 8, 150, "float32", 3, 150, 500),
    ("mnist", "quick"): (1 / 8, 10_000, "float32", 5, 1_000, 10_000),
    ("mnist", "long"): (1 / 4, 27_325, "float32", 5, 1_000, 10_000),
    ("mnist", "paper"): (1.0, 27_325, "float32", 5, 1_000, 50_000),  # 25 epochs of 70,000 images
    ("cifar10", "smoke"): (1 / 8, 20, "float32", 2, 20, 200),
    ("cifar10", "quick"): (1 / 8, 3_000, "float32", 5, 500, 5_000),
    ("cifar10", "long"): (1 / 4, 23_425, "float32", 5, 500, 10_000),
    ("cifar10", "paper"): (1.0, 23_425, "float32", 5, 1_000, 50_000),  # 25 epochs of 60,000 images
    ("celeba", "smoke"): (1 / 8, 20, "float32", 2, 20, 200),
    ("celeba", "quick"): (1 / 8, 3_000, "float32", 5, 500, 5_000),
    ("celeba", "long"): (1 / 8, 25_000, "float32", 5, 500, 5_000),  # 34 epochs: an estimated 75 minutes on one core
    ("celeba", "paper"): (1.0, 79_125, "float32", 5, 1_000, 50_000),  # 25 epochs of 202,599 images
}


@functools.lru_cache(1)
def _presets(kinds: frozenset[type[Method]]) -> dict[str, Preset]:
    made: dict[str, Preset] = {}
    for group, common in GROUPS.items():
        for kind in sorted(kinds, key=lambda kind: (kind.name != "kmgan", kind.name)):
            base = kind.Options(method=kind.name, **common)
            for name, changes in kind.variants(base).items() if kind.on_points or base.network != "synthetic" else ():
                rate = RATES.get(group, {}).get(name, base.learning_rate)
                made[f"{group}/{name}"] = base.replace(**{"name": f"{group}/{name}", "learning_rate": rate, **changes})
    return made


class _Presets(Mapping[str, Preset]):
    def __getitem__(self, name: str) -> Preset:
        return _presets(frozenset(METHODS.values()))[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_presets(frozenset(METHODS.values())))

    def __len__(self) -> int:
        return len(_presets(frozenset(METHODS.values())))


PRESETS: Mapping[str, Preset] = _Presets()
"""All presets by name, put together from the groups and the registered methods on first access."""


def _checked(preset: Preset) -> Preset:
    if preset.channels not in (1, 3):
        raise UsageError(f"channels={preset.channels} must be 1 (gray) or 3 (RGB)")
    if preset.network == "mnist" and preset.image_size % 4:
        raise UsageError(f"image_size={preset.image_size} must be a multiple of 4, since D halves it twice")
    if preset.network in ("cifar10", "celeba") and preset.image_size not in (32, 64):
        raise UsageError(f"image_size={preset.image_size} must be 64, or 32 with one stage fewer")
    method(preset.method).check(preset)
    return preset


def resolve(name: str, profile: str = "quick", /, **overrides: Any) -> Preset:
    """The preset of this name at the size of a profile, with single fields replaced.

    A name is ``dataset/method[-variant]``, or ``folder:PATH`` for your own images, 32x32 RGB and trained by KM-GAN
    unless ``image_size``, ``channels`` and ``method`` say otherwise. Values are Python objects, or text. Raises
    `UsageError` for an unknown name, profile or field, or a value that no run can have.
    """
    if name.startswith(OWN):
        kind = method(str(overrides.pop("method", "kmgan")))
        base = kind.Options(name=name, dataset=name, method=kind.name, channels=3, image_size=32)
        preset = base.replace(**kind.variants(base).get(kind.name, {}))
    elif name in PRESETS:
        preset = PRESETS[name]
    else:
        near = did_you_mean(f"{name}/kmgan" if name in GROUPS else name, PRESETS)
        near = f"; did you mean folder:{shorten(name)}?" if os.path.exists(name) else near
        raise UsageError(f"unknown preset {shorten(name)}{near} (`kmgan list` shows all)")
    if profile not in PROFILES:
        raise unknown("profile", profile, PROFILES)
    known = [key for key in preset.fields() if key not in FIXED]
    if wrong := [key for key in overrides if key not in known]:
        raise unknown("key", wrong[0], known, f"`kmgan list {preset.name}` shows all")
    sizes: dict[str, Any] = dict(zip(SIZE_FIELDS, SIZES[preset.network, profile], strict=True))
    sizes["iterations"] = max(1, round(sizes["iterations"] * method(preset.method).short.get(profile, 1)))
    return _checked(preset.replace(**sizes | overrides))


def from_dict(fields: Mapping[str, Any], where: object = "a preset") -> Preset:
    """The preset from its `Preset.as_dict`; if it is invalid, a `UsageError` names ``where`` it was found."""
    if not isinstance(fields, Mapping) or str(fields.get("method")) not in METHODS:
        raise UsageError(f"{where}: written by another version of kmgan, or its method's file is not imported")
    kind = method(fields["method"]).Options
    missing = {name for name, f in kind.fields().items() if name not in fields and not f.json_schema_extra["later"]}
    if odd := ", ".join(sorted(missing | set(fields) - set(kind.fields()))):
        raise UsageError(f"{where}: written by another version of kmgan (fields that differ: {shorten(odd)})")
    try:
        return _checked(kind(**fields))
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
