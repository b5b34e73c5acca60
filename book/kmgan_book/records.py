"""Recorded results: finished runs worth keeping, as small folders from which the book reads its numbers."""

import functools
import math
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from kmgan_book import CHECKOUT
from kmgan_book.strict import complaint
from kmgan_lib import files, presets
from kmgan_lib.config import OWN
from kmgan_lib.errors import UsageError
from kmgan_lib.training.history import read_history
from kmgan_lib.training.run import Run, data_label

RESULTS = CHECKOUT / "book" / "results"
MOST_BYTES = 60_000_000  # all records together
FILES = (files.RESULT, files.HISTORY, "samples.webp", files.GENERATOR)
_PLACE = re.compile(rf"[a-z0-9-]+/[a-z0-9_-]+/(?:{'|'.join(presets.PROFILES)})-seed[0-9]{{1,10}}")
_COMMIT = re.compile(r"(?<=^[^+]{7})[^+]+")  # all but seven digits and what `run.commit` says behind a +
PLAYED_WITH = 1_000_000  # bytes of a generator that a record keeps


class _Preset(TypedDict):
    name: str


class _Measured(TypedDict, total=False):
    value: float | None  # None for 0 / 0, say
    extractor: dict[str, Any]


class _Result(TypedDict):
    """What every result has, besides anything else."""

    preset: _Preset
    preset_hash: Any
    profile: str
    seed: int
    command: Any
    data: dict[str, Any]
    status: str
    iterations: int
    wall_seconds: float
    device: Any
    commit: Any
    metrics: dict[str, _Measured]


REQUIRED = tuple(_Result.__annotations__)
_RESULT = TypeAdapter(_Result)


@dataclass(frozen=True)
class Record:
    """One recorded run: the content of ``result.json`` in ``<results>/<preset>/<profile>-seed<k>``."""

    directory: Path
    result: dict[str, Any]

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.result["seed"])

    def metric(self, name: str, key: str = "value") -> Any:
        """A measured value, such as ``metric("clustering", "nmi")``."""
        return self.result["metrics"][name][key]

    @property
    def diverged(self) -> bool:
        """Whether a loss stopped being finite; such a run has no measures."""
        return self.result["status"] == "diverged"

    @property
    def device(self) -> str:
        """The kind of device that trained it."""
        return str(self.result["device"]).partition(",")[0]

    @functools.cached_property
    def history(self) -> list[dict[str, float]]:
        """Rows of ``history.csv``."""
        return read_history(self.directory)

    def has(self, measure: str) -> bool:
        """Whether the record has this measure: a finite number by this name, or a column of the history."""
        value = self._found(measure)
        return value is not None and (math.isfinite(value) or measure.startswith("history."))

    def value(self, measure: str) -> float:
        """A number by its full name: ``clustering.nmi``, or ``history.center_step``, the mean over the rows.

        For a list, its smallest or largest number, as in ``class_frequency.frequency.min``.
        """
        if (value := self._found(measure)) is None:
            raise KeyError(measure)
        return value

    def _found(self, measure: str) -> float | None:
        name, key, *ends = measure.split(".")
        if name == "history":
            rows = [row[key] for row in self.history if key in row]
            return sum(rows) / len(rows) if rows else None
        found = self.result["metrics"].get(name, {}).get(key)
        numbers = found if ends else [found]
        if not isinstance(numbers, list) or not numbers or any(type(number) not in (int, float) for number in numbers):
            return None
        return float({"min": min, "max": max}[(*ends, "min")[0]](numbers))

    @property
    def samples(self) -> Path:
        """The grid of the final samples, for runs on images."""
        return self.directory / "samples.webp"

    @property
    def generator(self) -> Path:
        """The generator in half precision, which few records keep: see `save`."""
        return self.directory / files.GENERATOR


def _read(directory: Path) -> Record:
    result = files.read_json(directory / files.RESULT)
    try:
        _RESULT.validate_python(result, strict=True)
    except ValidationError as error:
        raise UsageError(f"{directory / files.RESULT} is not a record: {complaint(error)}") from None
    return Record(directory, result)


def place(preset: str, profile: str, seed: int, *, results: Path = RESULTS) -> Path:
    """The folder of a record, whether it exists or not."""
    return results / preset / f"{profile}-seed{seed}"


def all_records(*, results: Path = RESULTS) -> list[Record]:
    """All records, in the order of their folders; a `UsageError` names the first that cannot be read."""
    return [_read(path.parent) for path in sorted(results.glob(f"*/*/*/{files.RESULT}"))]


def load(preset: str, profile: str, *, results: Path = RESULTS) -> list[Record]:
    """All records of a preset at a profile, by seed; an empty list if there are none."""
    found = (_read(path) for path in (results / preset).glob(f"{profile}-seed*") if path.is_dir())
    return sorted(found, key=lambda record: record.seed)


def badge(records: Sequence[Record]) -> str:
    """The line that tells a reader which records made a figure: profiles, data, seeds, devices and commits."""
    if not records:
        return "not yet recorded"
    seeds = {record.seed for record in records}
    of = f"{len(seeds)} seeds" if len(seeds) > 1 else f"seed {records[0].seed}"
    parts = [
        (r.result["profile"], data_label(r.result["data"]), r.device, _COMMIT.sub("", str(r.result["commit"])))
        for r in records
    ]
    profiles, data, devices, commits = map(dict.fromkeys, zip(*parts, strict=True))
    code = f"commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}"
    return " · ".join(("recorded", ", ".join(profiles), ", ".join(data), of, ", ".join(devices), code))


def save(run: Run, *, results: Path = RESULTS) -> Record:
    """Keep a finished, evaluated run as a record: ``result.json``, ``history.csv`` and ``samples.webp``.

    For seed 0 the generator is kept too, in half precision, if it is small enough for the book. A `UsageError` says
    that a run is unfinished, not evaluated, or trained on your own images.
    """
    if run.result.get("status") == "completed" and not run.result.get("metrics"):
        raise UsageError(f"{run.directory} is not evaluated yet: run `kmgan evaluate {run.directory}` first")
    if not run.result:
        raise UsageError(f"{run.directory} is not finished: --resume continues it")
    named = presets.PRESETS.get(run.preset.name)
    if named and run.preset.hash != named.hash:
        changed = _changed(run.preset.as_dict(), named)
        raise UsageError(f"{run.directory} is not a run of {run.preset.name}: it differs in {', '.join(changed)}")
    if run.preset.dataset.startswith(OWN):
        raise UsageError("runs on images of your own are not recorded: nobody else could repeat them")
    target = place(run.preset.name, run.profile, run.seed, results=results)
    files.write_json(target / files.RESULT, run.result)
    for name, most in {files.HISTORY: math.inf, files.GENERATOR: 0 if run.seed else PLAYED_WITH}.items():
        source = run.directory / name
        if source.exists() and source.stat().st_size <= most:
            files.write_atomically(target / name, functools.partial(shutil.copyfile, source))
    grids = sorted((run.directory / "samples").glob("*.png"))
    if grids:
        with Image.open(grids[-1]) as picture:
            grey = picture.convert("L") if run.preset.channels == 1 else picture
            files.write_atomically(target / "samples.webp", lambda p: grey.save(p, format="WEBP", quality=85, method=6))
    return _read(target)


def _changed(preset: Mapping[str, Any], named: presets.Preset) -> list[str]:
    """Fields, other than those of size, in which a preset differs from the one of its name."""
    known = named.as_dict()
    return [k for k, v in preset.items() if k in known and k not in presets.SIZE_FIELDS and known[k] != v]


def check(*, results: Path = RESULTS) -> list[str]:
    """What is wrong with the records, one line per problem; an empty list if they are sound."""
    found = sorted(path for path in results.rglob("*") if path.is_file())
    places = {path.parent: path.parent.relative_to(results).as_posix() for path in found}
    known = {directory: place for directory, place in places.items() if _PLACE.fullmatch(place)}
    strays = [path for path in found if path.parent not in known or path.name not in FILES]
    wrong = [f"{path.relative_to(results)}: not a file of a record" for path in strays]
    for directory, place in known.items():
        try:
            wrong += [f"{place}: {problem}" for problem in _problems(_read(directory), place)]
        except UsageError as error:
            wrong.append(str(error))
    total = sum(path.stat().st_size for path in found)
    if total > MOST_BYTES:
        wrong.append(f"{total / 1e6:.1f} MB of records are more than {MOST_BYTES / 1e6:.0f} MB")
    return wrong


def _problems(record: Record, place: str) -> Iterator[str]:
    result = record.result
    preset, status = result["preset"], result["status"]
    said = f"{preset['name']}/{result['profile']}-seed{result['seed']}"
    today = presets.PRESETS.get(preset["name"])
    changed = [] if today is None else _changed(preset, today)
    drawn = preset.get("network") != "synthetic" and status == "completed"
    yield from (text for wrong, text in (
        (said != place, f"says that it is {said}"),
        ((today or presets.Preset).hash_of(preset) != result["preset_hash"], "its preset is not the one of its hash"),
        (today is None, "there is no such preset"),
        (changed, f"was trained with another {', '.join(changed)} than the preset has now"),
        (status not in ("completed", "diverged"), f"status {status}"),
        (status == "completed" and not result["metrics"], "has no measures"),
        (status == "diverged" and result.get("diverged_at") is None, "does not say where it diverged"),
        ("sha256" not in result["data"], "does not say which data (sha256)"),
        (drawn and not record.samples.exists(), "has no samples.webp"),
        (not record.history, f"has no {files.HISTORY}"),
    ) if wrong)  # fmt: skip
    for name, measured in result["metrics"].items():
        lacks = [key for key in ("value", "samples", "seconds", "extractor") if key not in measured]
        if lacks:
            yield f"{name} lacks {', '.join(lacks)}"
        elif not record.has(f"{name}.value"):
            yield f"{name} is {measured['value']!r}, which is not a number"
        for key, value in measured.items():
            if key != "value" and isinstance(value, float) and not math.isfinite(value):
                yield f"{name}.{key} is {value}"
