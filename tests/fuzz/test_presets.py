"""Every field of every preset, given anything: a preset that a run can have, or one line that names the field."""

import json
from typing import Any

from hypothesis import strategies as st

from kmgan_lib.presets import PRESETS, Preset, from_dict, resolve

from .conftest import JUNK, NUMBERS, cases, refused

NAMES = st.sampled_from(sorted(PRESETS))
FIELDS = sorted({key for preset in PRESETS.values() for key in preset.fields()})
CHOICES = sorted({word for p in PRESETS.values() for f in p.fields().values() for word in f.metadata["choices"]})
VALUES = JUNK | NUMBERS | NUMBERS.map(lambda n: str(n)[:50]) | st.sampled_from(CHOICES)


def sound(preset: Preset) -> None:
    """What every preset can do."""
    assert len(preset.hash) == 12
    text = json.dumps(preset.as_dict(), allow_nan=False)
    assert from_dict(json.loads(text)) == preset
    assert from_dict(json.loads(text)).hash == preset.hash


@cases(600, st.sampled_from(FIELDS), NAMES, VALUES)
def test_a_field_given_anything(field: str, name: str, value: Any) -> None:
    found = refused(lambda: resolve(name, **{field: value}), field)
    if isinstance(found, Preset):
        sound(found)


@cases(
    60,
    NAMES,
    st.dictionaries(st.sampled_from(FIELDS), VALUES, min_size=1, max_size=3),
    st.sets(st.sampled_from(FIELDS)),
)
def test_a_preset_from_a_file(name: str, changes: dict[str, Any], missing: set[str]) -> None:
    fields = {**PRESETS[name].as_dict(), **changes}
    for key in missing if len(missing) < 3 else ():
        fields.pop(key, None)
    found = refused(lambda: from_dict(fields))
    if isinstance(found, Preset):
        assert len(found.hash) == 12
        json.dumps(found.as_dict(), allow_nan=False)
