"""Files of runs, records, the book and data sets, and presets: read, or refused in one line that says where."""

import copy
import functools
import gzip
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import strategies as st
from PIL import Image

from book.tools import profiles
from book.tools.profiles import Profile
from kmgan_book import claims, records, tables
from kmgan_book.records import Record
from kmgan_lib import files
from kmgan_lib.config import choices
from kmgan_lib.data import readers
from kmgan_lib.data.images import SUFFIXES, Images, folder
from kmgan_lib.errors import UsageError
from kmgan_lib.generator import Generator, load_generator
from kmgan_lib.presets import PRESETS, Preset, from_dict, resolve
from kmgan_lib.training.run import CHECKPOINT, KEYS, Run, load_checkpoint

from ..conftest import MadeUp
from ..kit.conftest import put_in
from ..test_data import idx_bytes
from .conftest import JUNK, NUMBERS, Watch, cases, damaged, refused

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
    found = refused(lambda: records.all_records(results=results))
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


ROOT = Path(__file__).resolve().parents[2]
LEDGER = yaml.safe_load((ROOT / "book" / "claims.yml").read_text(encoding="utf8"))
PROFILES = yaml.safe_load((ROOT / "book" / "profiles.yml").read_text(encoding="utf8"))


def places(node: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to every part of a nested structure."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [at, *(place for key, value in inner for place in places(value, (*at, key)))]


def changed(root: Any, place: tuple[Any, ...], junk: Any) -> Any:
    """A copy in which one part is replaced, or with ... as junk removed."""
    if not place:
        return junk
    root = copy.deepcopy(root)
    put_in(root, place, junk)
    return root


MEASURES = st.sampled_from(["clustering.nmi", "history.center_step", "nothing.here", "x", ".", "a.", ".b", "history."])


@pytest.fixture(scope="module")
def results(made_up: MadeUp, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few records, so that conditions have something to find."""
    folder = tmp_path_factory.mktemp("ledger") / "results"
    for preset in ("mnist/kmgan", "mnist/kmgan-nocenter"):
        for seed in range(3):
            made_up(folder, preset, seed=seed, score=None if seed == 2 else 8.0 + seed)
    return folder


@cases(20, st.sampled_from(sorted(LEDGER)), st.data())
def test_a_claim_of_the_ledger_in_which_one_thing_is_changed(
    results: Path, tmp_path: Path, name: str, data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from(places(LEDGER[name])))
    junk = data.draw(JUNK | MEASURES | st.sampled_from([["mnist/kmgan"], {"mnist/kmgan": [0, 2]}, 1e308, -1, ...]))
    entry = changed(LEDGER[name], place, junk)
    path = tmp_path / "claims.yml"
    path.write_text(json.dumps({name: entry}, default=str), encoding="utf8")
    found = refused(lambda: claims.verdicts(path, results=results), path.name)
    if not isinstance(found, UsageError):
        assert all(verdict.word in claims.VERDICTS for verdict in found)
        tables.ledger(found)
        for profile in claims.PROFILES:
            claims.missing_runs(profile, path, results=results)


TYPES = {"profile": "str", "iterations": "int", "seeds": "list[int]", "dataset": "str", "group": "str"}
KNOWN = dict.fromkeys(PROFILES["smoke"]["chapters"], TYPES)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book whose chapters are known without reading notebooks."""
    monkeypatch.setattr(profiles, "chapters", lambda _: {name: tmp_path / f"{name}.ipynb" for name in KNOWN})
    monkeypatch.setattr(profiles, "parameters", lambda path: KNOWN[path.stem])
    (tmp_path / "book").mkdir()
    return tmp_path


@cases(25, st.sampled_from(places(PROFILES)), JUNK | st.just(...))
def test_profiles_in_which_one_thing_is_changed(book: Path, place: tuple[Any, ...], junk: Any) -> None:
    text = json.dumps(changed(PROFILES, place, junk), default=str)
    (book / "book" / "profiles.yml").write_text(text, encoding="utf8")
    found = refused(lambda: profiles.load(book, "smoke"))
    if isinstance(found, Profile):
        assert found.workers >= 1
        assert set(found.chapters) == set(KNOWN)


PIXELS = (np.arange(3 * 28 * 28) % 10).astype(np.uint8).reshape(3, 28, 28)


@cases(30, damaged(idx_bytes(PIXELS), header=16), st.sampled_from(["images-idx3-ubyte", "images-idx3-ubyte.gz"]))
def test_an_idx_file(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    found = refused(lambda: readers._idx(path, (28, 28)), path)
    assert isinstance(found, UsageError) or found.size <= len(content)


def encoded(size: tuple[int, int], kind: str, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 10, 90)).convert(mode).save(buffer, kind)
    return buffer.getvalue()


INDEX = b"shard,position,partition,source_image\na.jpg,0,train,1.jpg\na.jpg,1,train,2.jpg\nb.jpg,0,test,3.jpg\n"
ATLAS = encoded((25 * 64, 64), "JPEG")


@cases(20, damaged(ATLAS, header=200) | st.just(ATLAS), damaged(INDEX, header=len(INDEX)) | st.just(INDEX))
def test_atlases_of_celeba(tmp_path: Path, content: bytes, index: bytes) -> None:
    (tmp_path / "index.csv").write_bytes(index)
    (tmp_path / "a.jpg").write_bytes(content)
    (tmp_path / "b.jpg").write_bytes(ATLAS)
    refused(lambda: readers.read_face_atlases(tmp_path, "all"), tmp_path)


def test_lists_of_celeba_name_files_of_their_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "img_align_celeba").mkdir()
    (tmp_path / "secret.jpg").write_bytes(encoded((178, 218), "JPEG"))
    for name in ("/etc/hostname", "../secret.jpg", "..", "a\\b.jpg"):
        (tmp_path / "list_eval_partition.txt").write_text(f"{name} 0\n")
        with pytest.raises(UsageError, match="is not a file of this folder"):
            readers.read_photographs(tmp_path, "train")
        (tmp_path / "index.csv").write_text(f"shard,partition\n{name},train\n")
        with pytest.raises(UsageError, match="is not the index"):
            readers.read_face_atlases(tmp_path, "train")


OWN = [encoded((9, 5), kind) for kind in ("PNG", "TIFF", "JPEG", "WEBP", "BMP", "PPM", "JPEG2000", "TGA")]
OWN += [encoded((9, 5), kind, mode) for kind, mode in (("PNG", "I;16"), ("PNG", "LA"), ("TIFF", "F"), ("GIF", "P"))]


@cases(60, st.sampled_from(OWN).flatmap(lambda whole: damaged(whole, header=60)), st.sampled_from(sorted(SUFFIXES)))
def test_a_folder_of_pictures(tmp_path: Path, content: bytes, suffix: str) -> None:
    place = tmp_path / "mine"
    place.mkdir(exist_ok=True)
    for old in place.iterdir():
        old.unlink()
    (place / f"x{suffix}").write_bytes(content)
    found = refused(lambda: folder(str(place), image_size=8), place)
    if isinstance(found, Images):
        assert found.tensor.shape[1:] == (3, 8, 8)


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(evil) (w) file closefile\n%%EOF\n"


def test_postscript_by_another_name_starts_no_other_program(tmp_path: Path, watch: Watch) -> None:
    (tmp_path / "x.png").write_bytes(POSTSCRIPT)
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.format == "EPS"  # what Pillow would do with it
    watch.seen.clear()
    with pytest.raises(UsageError, match="none of the 1 images can be read"):
        folder(str(tmp_path))
    assert [event for event, _ in watch.seen if event == "subprocess.Popen"] == []
