"""Records in and out of a checkout: whether they are sound, and one file that carries them."""

from __future__ import annotations

import gzip
import io
import math
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from kmgan_book import records
from kmgan_book.records import RESULTS, Record
from kmgan_lib import files, presets
from kmgan_lib.errors import UsageError
from kmgan_lib.fields import shown

MOST_BYTES = 60_000_000  # all records together
FILES = (files.RESULT, files.HISTORY, "samples.webp", files.GENERATOR)
_PLACE = re.compile(rf"[a-z0-9-]+/[a-z0-9_-]+/(?:{'|'.join(presets.PROFILES)})-seed[0-9]{{1,10}}")


def check(*, results: Path = RESULTS) -> list[str]:
    """What is wrong with the records, a line each; an empty list if they are sound.

    Parameters
    ----------
    results : Path
        Folder of all records.
    """
    wrong: list[str] = []
    for path in sorted(p for p in results.rglob("*") if p.is_file()):
        place = path.relative_to(results)
        if not _PLACE.fullmatch(place.parent.as_posix()) or path.name not in FILES:
            wrong.append(f"{place}: no file of a record")
    for directory in sorted({p.parent for p in results.rglob("*") if p.is_file()}):
        place = directory.relative_to(results).as_posix()
        if not _PLACE.fullmatch(place):
            continue
        try:
            record = Record(directory, files.read_json(directory / files.RESULT))
            wrong += [f"{place}: {problem}" for problem in _problems(record, place)]
        except UsageError as error:
            wrong.append(str(error))
    total = sum(p.stat().st_size for p in results.rglob("*") if p.is_file())
    if total > MOST_BYTES:
        wrong.append(f"{total / 1e6:.1f} MB of records are more than {MOST_BYTES / 1e6:.0f} MB")
    return wrong


def _problems(record: Record, place: str) -> Iterator[str]:
    result = record.result
    missing = [key for key in records.REQUIRED if key not in result]
    if missing:
        yield f"lacks {', '.join(missing)}"
        return
    garbled = records.garbled(result)
    if garbled:
        yield f"has no sensible {shown(', '.join(garbled))}"
        return
    preset = result["preset"]
    said = f"{preset.get('name')}/{result['profile']}-seed{result['seed']}"
    if said != place:
        yield f"says that it is {said}"
    today = presets.PRESETS.get(str(preset.get("name")))
    if presets.hash_of(preset, presets.FIELDS if today is None else today.fields()) != result["preset_hash"]:
        yield "its preset is not the one of its hash"
    if today is None:
        yield "there is no such preset"
    else:
        known = today.as_dict()
        changed = [k for k, v in preset.items() if k in known and k not in presets.SIZE_FIELDS and known[k] != v]
        if changed:
            yield f"was trained with another {', '.join(changed)} than the preset has now"
    if result["status"] not in ("completed", "diverged"):
        yield f"status {result['status']}"
    if result["status"] == "completed" and not result["metrics"]:
        yield "has no measures"
    if result["status"] == "diverged" and result.get("diverged_at") is None:
        yield "does not say where it diverged"
    for name, measured in result["metrics"].items():
        lacks = [key for key in ("value", "samples", "seconds", "extractor") if key not in measured]
        if lacks:
            yield f"{name} lacks {', '.join(lacks)}"
        elif not record.has(f"{name}.value"):
            yield f"{name} is {measured['value']!r}, which is no number"
        for key, value in measured.items():
            if key != "value" and isinstance(value, float) and not math.isfinite(value):
                yield f"{name}.{key} is {value}"
    if "sha256" not in result["data"]:
        yield "does not say which data (sha256)"
    if preset.get("network") != "synthetic" and result["status"] == "completed" and not record.samples.exists():
        yield "has no samples.webp"
    if not record.history:
        yield f"has no {files.HISTORY}"


def pack(target: Path, *, results: Path = RESULTS) -> int:
    """Write all records into one ``.tar.gz``, atomically; returns their number."""
    found = records.everything(results=results)
    if not found:
        raise UsageError(f"{results} holds no records")

    def write(path: Path) -> None:
        with tarfile.open(path, "w:gz") as archive:
            for record in found:
                for name in FILES:
                    if (record.directory / name).is_file():
                        place = record.directory.relative_to(results) / name
                        archive.add(record.directory / name, place.as_posix(), filter=_anonymous)

    files.write_atomically(target, write)
    return len(found)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def unpack(source: Path, *, results: Path = RESULTS) -> list[str]:
    """Take over the records of an archive that `pack` wrote.

    Nothing is written unless every member is a plain file of a record, in its place, and every record is sound. A
    record that is here already is kept, and an archive that has another one in its place is refused.

    Parameters
    ----------
    source : Path
        The archive; it may come from anybody.
    results : Path

    Returns
    -------
    list of str
        The records that are new.
    """
    near = next(folder for folder in results.absolute().parents if folder.is_dir())  # so that a move is no copy
    with tempfile.TemporaryDirectory(dir=near) as folder:
        for place, content in _members(source):
            path = Path(folder, place)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return _take_over(source, Path(folder), results)


def _members(source: Path) -> Iterator[tuple[str, bytes]]:
    """Place and content of each file of an archive, which is read to its end first: only there is its checksum."""
    try:
        with gzip.open(source) as file:
            content = file.read(2 * MOST_BYTES)
            if file.read(1):
                raise UsageError(f"{source} unpacks to more than {MOST_BYTES / 1e6:.0f} MB: nothing was taken")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                directory, _, name = member.name.rpartition("/")
                plain = member.isfile() and not member.issparse() and member.size >= 0
                if not plain or name not in FILES or not _PLACE.fullmatch(directory):
                    raise UsageError(f"{source} holds {member.name!r}, which is no file of a record: nothing was taken")
                file = archive.extractfile(member)
                assert file is not None
                yield member.name, file.read()
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise UsageError(f"{source} cannot be read as records ({files.first_line(error)})") from None


def _take_over(source: Path, folder: Path, results: Path) -> list[str]:
    wrong = check(results=folder)
    if wrong:
        raise UsageError(f"{source} is not sound, nothing was taken: {wrong[0]}")
    fresh = []
    for record in records.everything(results=folder):
        place = record.directory.relative_to(folder)
        if not (results / place).exists():
            fresh.append(place.as_posix())
        elif files.read_json(results / place / files.RESULT) != record.result:
            raise UsageError(f"{source} has another {place} than {results}: move one away; nothing was taken")
    for name in fresh:
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).rename(results / name)
    return fresh
