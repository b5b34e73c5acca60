"""Presets, and files of runs and records from anywhere: read, or refused in one line that names field or file."""

import functools
import io
import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st

from kmgan_book import records, tables
from kmgan_book.records import Record
from kmgan_lib import files
from kmgan_lib.config import choices
from kmgan_lib.errors import UsageError
from kmgan_lib.generator import Generator, load_generator
from kmgan_lib.presets import PRESETS, Preset, from_dict, resolve
from kmgan_lib.training.run import CHECKPOINT, KEYS, Run, load_checkpoint

from ..conftest import MadeUp
from .conftest import JUNK, NUMBERS, cases, damaged, refused

STATE = {**dict.fromkeys(KEYS, 1), "method": {"weights": torch.arange(6.0), "name": "x"}}


def saved(state: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer, **options)
    return buffer.getvalue()


CHECKPOINTS = [saved(STATE), saved(STATE, _use_new_zipfile_serialization=False)]
ANY = st.sampled_from(CHECKPOINTS).flatmap(lambda whole: damaged(whole, header=700)) | JUNK.map(saved)


@cases(70, ANY)
def test_a_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CHECKPOINT).write_bytes(content)
    found = refused(lambda: load_checkpoint(tmp_path, "cpu"), tmp_path / CHECKPOINT)
    assert isinstance(found, UsageError) or set(found) == KEYS


@pytest.fixture(scope="module")
def weights(pictures: Run) -> bytes:
    return (pictures.directory / files.GENERATOR).read_bytes()


FIELDS = sorted({key for preset in PRESETS.values() for key in preset.fields()})


def saying(weights: bytes, changes: dict[str, Any]) -> bytes:
    """The generator's file with another preset in its header."""
    size = struct.unpack("<Q", weights[:8])[0]
    header = json.loads(weights[8 : 8 + size])
    preset = {**json.loads(header["__metadata__"]["preset"]), **changes}
    header["__metadata__"]["preset"] = json.dumps(preset, default=str)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + weights[8 + size :]


@cases(80, st.data())
def test_a_generator(tmp_path: Path, weights: bytes, data: st.DataObject) -> None:
    path = tmp_path / files.GENERATOR
    presets = st.dictionaries(st.sampled_from(FIELDS), JUNK, min_size=1, max_size=2)
    path.write_bytes(data.draw(damaged(weights, header=1500) | presets.map(lambda said: saying(weights, said))))
    found = refused(lambda: load_generator(path), path)
    if isinstance(found, Generator):
        assert found.sample(2).shape[0] == 2


def test_a_generator_whose_preset_is_huge_takes_no_room(tmp_path: Path, weights: bytes) -> None:
    path = tmp_path / files.GENERATOR
    for field in ("width", "z_dim", "image_size", "conv_first", "feature_dim"):
        for value in (1024, 10**12):
            path.write_bytes(saying(weights, {field: value}))
            refused(functools.partial(load_generator, path), path)


ODD = [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, b'{"a": NaN}', b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}"]
TEXTS = JUNK.map(lambda junk: json.dumps(junk, default=str).encode()) | st.binary(max_size=60) | st.sampled_from(ODD)


@cases(30, TEXTS)
def test_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / files.CONFIG
    path.write_bytes(content)
    found = refused(lambda: files.read_json(path), path)
    assert isinstance(found, (dict, UsageError))


@pytest.fixture(scope="module")
def record(made_up: MadeUp, tmp_path_factory: pytest.TempPathFactory) -> Record:
    return made_up(tmp_path_factory.mktemp("records"))


@cases(25, st.dictionaries(st.sampled_from([*records.REQUIRED, "diverged_at"]), JUNK, min_size=1, max_size=3))
def test_a_record_is_shown_or_named(record: Record, changes: dict[str, Any]) -> None:
    (record.directory / "result.json").write_text(json.dumps({**record.result, **changes}, default=str))
    results = record.directory.parents[2]
    refused(lambda: records.check(results=results))
    refused(lambda: tables.recorded("*", "quick", results=results))
    found = refused(lambda: records.everything(results=results))
    if not isinstance(found, UsageError):
        refused(lambda: records.badge(found))


NAMES = st.sampled_from(sorted(PRESETS))
CHOICES = sorted({word for p in PRESETS.values() for f in p.fields().values() for word in choices(f)})
VALUES = JUNK | NUMBERS | NUMBERS.map(lambda n: str(n)[:50]) | st.sampled_from(CHOICES)


@cases(600, st.sampled_from(FIELDS), NAMES, VALUES)
def test_a_field_given_anything(field: str, name: str, value: Any) -> None:
    found = refused(lambda: resolve(name, **{field: value}), field)
    if isinstance(found, Preset):
        text = json.dumps(found.as_dict(), allow_nan=False)
        assert from_dict(json.loads(text)) == found
        assert from_dict(json.loads(text)).hash == found.hash
