"""Whether records are sound, and records that come in a file from anybody."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kmgan_book import archive, records
from kmgan_book.records import Record
from kmgan_lib.errors import UsageError

MadeUp = Callable[..., Record]
PLACE = "mnist/kmgan/quick-seed0"


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def results(made_up: MadeUp, tmp_path: Path) -> Path:
    """Three sound records: on pictures, diverged, and on points."""
    made_up(tmp_path / "results")
    made_up(tmp_path / "results", seed=1, score=None)
    made_up(tmp_path / "results", "synthetic/kmgan", profile="paper", clustering__nmi=0.5)
    return tmp_path / "results"


def test_the_records_of_the_book_are_sound() -> None:
    assert archive.check() == []


def test_sound_records_have_nothing_wrong(results: Path, tmp_path: Path) -> None:
    assert archive.check(results=results) == []
    assert archive.check(results=tmp_path / "nowhere") == []


def rewritten(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Return a function that changes the result of a record."""

    def damage(place: Path) -> None:
        result = json.loads((place / "result.json").read_text())
        change(result)
        (place / "result.json").write_text(json.dumps(result))

    return damage


def put(*keys: str, value: Any) -> Callable[[Path], None]:
    def change(result: dict[str, Any]) -> None:
        for key in keys[:-1]:
            result = result[key]
        result[keys[-1]] = value

    return rewritten(change)


def text(name: str, content: str) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        (place / name).write_text(content)

    return damage


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a field is missing": (rewritten(lambda r: r.pop("device")), f"{PLACE}: lacks device"),
    "another seed": (put("seed", value=7), f"{PLACE}: says that it is mnist/kmgan/quick-seed7"),
    "another place": (lambda p: p.rename(p.with_name("paper-seed0")), "mnist/kmgan/paper-seed0: says that it is"),
    "another hash": (put("preset_hash", value="0" * 12), f"{PLACE}: its preset is not the one of its hash"),
    "another algorithm": (put("preset", "k", value=11), "was trained with another k than the preset has now"),
    "a preset that is gone": (put("preset", "name", value="mnist/gone"), "there is no such preset"),
    "NaN": (put("metrics", "classifier_score", "value", value=float("nan")), "classifier_score is nan"),
    "infinity": (put("metrics", "classifier_score", "std", value=float("inf")), "classifier_score.std is inf"),
    "text as a value": (put("metrics", "classifier_score", "value", value="8.5"), "is '8.5', which is no number"),
    "a measure that is none": (put("metrics", "fid", value=5), "no sensible fid"),
    "a measure without samples": (put("metrics", "fid", value={"value": 5, "seconds": 1}), "fid lacks samples, extr"),
    "measures as a list": (put("metrics", value=[]), "no sensible metrics"),
    "a preset as text": (put("preset", value="mnist/kmgan"), "no sensible preset"),
    "no measures": (put("metrics", value={}), f"{PLACE}: has no measures"),
    "unfinished": (put("status", value="running"), f"{PLACE}: status running"),
    "diverged nowhere": (put("status", value="diverged"), "does not say where it diverged"),
    "data without a checksum": (put("data", value={"name": "mnist"}), "which data (sha256)"),
    "no history": (lambda p: (p / "history.csv").unlink(), f"{PLACE}: has no history.csv"),
    "an empty history": (text("history.csv", "iteration,seconds\n"), f"{PLACE}: has no history.csv"),
    "a garbled history": (text("history.csv", "iteration\nmany\n"), "history.csv cannot be read"),
    "no samples": (lambda p: (p / "samples.webp").unlink(), f"{PLACE}: has no samples.webp"),
    "no result": (lambda p: (p / "result.json").unlink(), "it has no result.json"),
    "no JSON": (text("result.json", "{"), "result.json cannot be read"),
    "a stray file": (text("notes.txt", "mine"), f"{PLACE}/notes.txt: no file of a record"),
    "a file elsewhere": (lambda p: (p.parent / "result.json").write_text("{}"), "mnist/kmgan/result.json: no file"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_what_is_wrong_with_a_record_is_named(results: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(results / PLACE)
    found = archive.check(results=results)
    assert any(message in line for line in found), found
    assert all("\n" not in line and "seed1" not in line and "synthetic" not in line for line in found)


def test_too_many_bytes_are_named(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 1_000)
    (line,) = archive.check(results=results)
    assert "MB of records are more than 0 MB" in line


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2), max_leaves=3,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([*records.REQUIRED, "diverged_at"]), JUNK)
def test_a_result_with_junk_in_it_never_breaks_the_check(results: Path, key: str, junk: Any) -> None:
    path = results / PLACE / "result.json"
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), key: junk}))
    try:
        assert all(PLACE in line for line in archive.check(results=results))
    finally:
        path.write_text(before)


# One file


def test_unpacking_what_was_packed_gives_the_same_files(results: Path, tmp_path: Path) -> None:
    assert archive.pack(tmp_path / "records.tar.gz", results=results) == 3
    new = archive.unpack(tmp_path / "records.tar.gz", results=tmp_path / "a" / "b")
    assert new == [PLACE, "mnist/kmgan/quick-seed1", "synthetic/kmgan/paper-seed0"]
    assert contents(tmp_path / "a" / "b") == contents(results)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "records.tar.gz", "results"]
    assert archive.unpack(tmp_path / "records.tar.gz", results=results) == []


def test_records_of_the_book_survive_the_way_through_a_file(tmp_path: Path) -> None:
    archive.pack(tmp_path / "records.tar.gz")
    archive.unpack(tmp_path / "records.tar.gz", results=tmp_path / "results")
    assert contents(tmp_path / "results") == contents(records.RESULTS)


def test_only_what_is_new_is_taken(results: Path, tmp_path: Path) -> None:
    archive.pack(tmp_path / "records.tar.gz", results=results)
    shutil.rmtree(results / "synthetic")
    assert archive.unpack(tmp_path / "records.tar.gz", results=results) == ["synthetic/kmgan/paper-seed0"]
    assert archive.check(results=results) == []


def test_an_archive_names_no_user(results: Path, tmp_path: Path) -> None:
    archive.pack(tmp_path / "records.tar.gz", results=results)
    with tarfile.open(tmp_path / "records.tar.gz") as file:
        assert {(m.uid, m.gid, m.uname, m.gname) for m in file} == {(0, 0, "", "")}


def test_no_records_are_not_packed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no records"):
        archive.pack(tmp_path / "records.tar.gz", results=tmp_path)
    assert list(tmp_path.iterdir()) == []


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int | None = None) -> bytes:
    """One more member of an archive, after sound ones."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 4 if size is None else size
    if kind != tarfile.REGTYPE:
        info.size = 0
    return info.tobuf(tarfile.GNU_FORMAT) + (b"mine" + bytes(508) if kind == tarfile.REGTYPE else b"")


EVIL = {
    "a way out": member("../evil"),
    "a way out of a record": member(f"{PLACE}/../../../../evil/result.json"),
    "an absolute path": member("/evil/mnist/kmgan/quick-seed5/result.json"),
    "a symbolic link": member(f"{PLACE}/history.csv", tarfile.SYMTYPE, "/etc/passwd"),
    "a hard link": member(f"{PLACE}/history.csv", tarfile.LNKTYPE, "../../../evil"),
    "a device": member(f"{PLACE}/history.csv", tarfile.CHRTYPE),
    "a pipe": member(f"{PLACE}/history.csv", tarfile.FIFOTYPE),
    "a folder": member(f"{PLACE}/history.csv", tarfile.DIRTYPE),
    "a sparse file": member(f"{PLACE}/history.csv", tarfile.GNUTYPE_SPARSE),
    "a negative size": member(f"{PLACE}/history.csv", size=-1024),
    "a stray file": member(f"{PLACE}/evil.py"),
    "a file at the top": member("result.json"),
    "a hidden file": member(f"{PLACE}/.result.json.part"),
}


def refused(source: Path, results: Path, message: str) -> None:
    """Unpacking fails in one line and leaves everything as it was."""
    root = source.parent
    before = contents(root), sorted(root.rglob("*"))
    for place in (results, root / "new" / "results"):
        with pytest.raises(UsageError, match=message) as error:
            archive.unpack(source, results=place)
        assert "\n" not in str(error.value)
    assert (contents(root), sorted(root.rglob("*"))) == before


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL.keys())
def test_an_archive_with_anything_else_in_it_is_refused(results: Path, tmp_path: Path, evil: bytes) -> None:
    archive.pack(tmp_path / "records.tar.gz", results=results)
    sound = gzip.decompress((tmp_path / "records.tar.gz").read_bytes()).rstrip(b"\0")
    sound += bytes(-len(sound) % 512)
    shutil.rmtree(results / "synthetic")
    source = tmp_path / "evil.tar.gz"
    source.write_bytes(gzip.compress(sound + evil + bytes(1024)))
    refused(source, results, "is no file of a record: nothing was taken|cannot be read as records")


def test_an_archive_with_another_record_in_a_place_is_refused(results: Path, made_up: MadeUp, tmp_path: Path) -> None:
    made_up(tmp_path / "other", score=9.9)
    made_up(tmp_path / "other", seed=5)
    archive.pack(tmp_path / "records.tar.gz", results=tmp_path / "other")
    before = contents(results)
    with pytest.raises(UsageError, match=f"has another {PLACE} than .*nothing was taken"):
        archive.unpack(tmp_path / "records.tar.gz", results=results)
    assert contents(results) == before


def test_an_unsound_record_is_refused(results: Path, tmp_path: Path) -> None:
    put("preset", "k", value=11)(results / PLACE)
    archive.pack(tmp_path / "records.tar.gz", results=results)
    refused(tmp_path / "records.tar.gz", tmp_path / "empty", "is not sound, nothing was taken: mnist/kmgan/quick-seed0")


def test_an_archive_that_unpacks_to_too_much_is_refused(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.pack(tmp_path / "records.tar.gz", results=results)
    monkeypatch.setattr(archive, "MOST_BYTES", 1_000)
    refused(tmp_path / "records.tar.gz", tmp_path / "empty", "more than 0 MB")


def plain_tar() -> bytes:
    buffer = io.BytesIO()
    tarfile.open(fileobj=buffer, mode="w").close()
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"no archive", gzip.compress(b"no archive", mtime=0), plain_tar()])
def test_what_is_no_archive_is_refused(results: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "records.tar.gz").write_bytes(content)
    refused(tmp_path / "records.tar.gz", results, "cannot be read as records")
    refused(tmp_path / "nothing.tar.gz", results, "No such file")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.data())
def test_an_archive_that_was_damaged_on_its_way_is_refused(results: Path, data: st.DataObject) -> None:
    source = results.parent / "records.tar.gz"
    if not source.exists():
        archive.pack(source, results=results)
        shutil.rmtree(results / "synthetic")
    whole = source.read_bytes()
    header = whole.index(b"\0", 10) + 1  # time and name, which say nothing of the content
    at = data.draw(st.integers(header, len(whole) - 1))
    cut = data.draw(st.booleans())
    flipped = bytes([whole[at] ^ data.draw(st.integers(1, 255))])
    damaged = source.with_name("damaged.tar.gz")
    damaged.write_bytes(whole[:at] if cut else whole[:at] + flipped + whole[at + 1 :])
    refused(damaged, results, "cannot be read|no file of a record|not sound")
