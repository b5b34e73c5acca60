import json

import pytest

from kmgan_lib.config import choices
from kmgan_lib.errors import UsageError
from kmgan_lib.presets import PRESETS, PROFILES, SIZE_FIELDS, from_dict, resolve


def test_names_are_group_method_and_variant() -> None:
    for name, preset in PRESETS.items():
        group, rest = name.split("/")
        assert group.removesuffix("-32") == preset.dataset
        # The paper's own name for the version with Eq. (7) is generalized KM-GAN.
        assert rest.split("-")[0] == ("generalized" if name.startswith("celeba/generalized") else preset.method)
    assert len({preset.hash for preset in PRESETS.values()}) == len(PRESETS)  # no two are the same


def test_a_profile_changes_size_and_length_and_never_the_algorithm() -> None:
    for name in PRESETS:
        smoke, *others = (resolve(name, profile) for profile in PROFILES)
        assert from_dict(json.loads(json.dumps(smoke.as_dict()))) == smoke
        for other in others:
            changed = {k for k, v in smoke.as_dict().items() if other.as_dict()[k] != v}
            assert changed <= set(SIZE_FIELDS), name
            assert other.hash == smoke.hash, name


def test_every_field_has_a_source_and_a_meaning_and_counts_for_the_hash_unless_it_is_a_size_or_the_name() -> None:
    for preset in {type(preset): preset for preset in PRESETS.values()}.values():
        for name, field in preset.fields().items():
            assert field.json_schema_extra["source"]
            assert field.description
            assert not choices(field) or field.default in choices(field)
            other = preset.model_copy(update={name: "something else"})
            assert (other.hash == preset.hash) == (name in (*SIZE_FIELDS, "name"))


def test_overrides_come_as_values_or_as_text() -> None:
    for key, given, expected in [
        ("k", "20", 20), ("k", 20, 20), ("iterations", 20.0, 20), ("clip", "0.01", 0.01), ("clip", "none", None),
        ("clip", None, None), ("clip", 1, 1.0), ("center_loss", "False", False), ("center_loss", True, True),
        ("learning_rate", "1e-3", 1e-3), ("d_round", "0", 0.0), ("reduction", "mean", "mean"),
    ]:  # fmt: skip
        value = getattr(resolve("mnist/kmgan", **{key: given}), key)
        assert value == expected
        assert type(value) is type(expected)


WRONG = [
    ("k", "many"), ("k", "2.5"), ("k", 2.5), ("k", True), ("k", "none"), ("k", ""), ("k", [3]),
    ("center_loss", "maybe"), ("center_loss", 1), ("clip", "tight"), ("learning_rate", "nan"),
    ("learning_rate", "inf"), ("d_round", "1e999"), ("reduction", 3), ("learning_rate", 1e39),
    # Of the right type, and of no run
    ("k", 0), ("batch", 1), ("beta1", 1.0), ("beta2", -0.1), ("average", 1.0), ("clip", 0), ("clip", -1),
    ("channels", 2), ("image_size", 30), ("iterations", 0), ("width", 0), ("snapshots", 0), ("d_round", -1),
    ("lambda_pair", -1), ("center_update", "eq3"), ("fake_labels", "both"), ("precision", "fp8"),
    ("conditional", True), ("eval_samples", 5),  # the classifier score has ten splits
    ("init_images", 1),  # batch normalisation has no statistics of one image
]  # fmt: skip


def test_a_value_that_no_run_can_have_is_named_and_an_unknown_key_is_refused() -> None:
    for key, value in WRONG:
        with pytest.raises(UsageError, match=f"{key}="):
            resolve("mnist/kmgan", **{key: value})
    for key in ("kk", "name", "dataset", "network", "learning-rate"):
        with pytest.raises(UsageError, match=f"unknown key {key}"):
            resolve("mnist/kmgan", "quick", **{key: 1})
