import fcntl
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

from kmgan_book import records
from kmgan_book.records import Record
from kmgan_lib import train
from kmgan_lib.cli import main
from kmgan_lib.metrics import Judge, judge
from kmgan_lib.presets import resolve
from kmgan_lib.training.run import Run

# No deadlines: a busy machine is not a wrong result. The same examples on every run, and none kept on disk.
hypothesis.settings.register_profile("kmgan", deadline=None, derandomize=True, database=None, max_examples=50)
# Fuzzing for long (`make fuzz`) tries other examples each time, by a seed that pytest prints.
hypothesis.settings.register_profile("fuzz", hypothesis.settings.get_profile("kmgan"), derandomize=False)
hypothesis.settings.load_profile("fuzz" if "KMGAN_FUZZ" in os.environ else "kmgan")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all workers of pytest-xdist, so that the classifier is trained once."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    path = root / "kmgan-cache"
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture(scope="session", autouse=True)
def _environment(cache: Path) -> Iterator[None]:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started deaf to it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KMGAN_CACHE", str(cache))
        patch.setenv("KMGAN_PROGRESS", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        # Batches for the statistics of a saved generator: with all of them it takes most of the time of a short run.
        patch.setattr("kmgan_lib.methods.copies.NORM_BATCHES", 2)
        patch.delenv("KMGAN_DATA", raising=False)
        yield


QUICK: dict[str, Any] = {
    "batch": 16, "iterations": 20, "checkpoint_every": 7, "snapshots": 2, "width": 1.0, "init_images": 300,
}  # fmt: skip
PICTURES: dict[str, Any] = {**QUICK, "width": 0.125, "iterations": 40, "feature_dim": 20, "eval_samples": 60}
Quick = Callable[..., Run]
Command = Callable[..., tuple[int, str, str]]
MadeUp = Callable[..., Record]


@pytest.fixture(scope="session")
def quick() -> Quick:
    """Return a function that trains for less than a second, on synthetic points unless told otherwise."""

    def run(out: Path | None, preset: str = "synthetic/kmgan", **changes: Any) -> Run:
        known = resolve(preset, **{k: v for k, v in changes.items() if k == "method"}).fields()
        sizes = {k: v for k, v in (QUICK if preset.startswith("synthetic") else PICTURES).items() if k in known}
        return train(preset, profile="smoke", device="cpu", out=out, **{**sizes, **changes})

    return run


@pytest.fixture(scope="session")
def pictures(quick: Quick, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Forty uninterrupted iterations on real digits; not to be written to."""
    return quick(tmp_path_factory.mktemp("pictures") / "run", "digits/kmgan")


@pytest.fixture(scope="session")
def digits_judge(cache: Path) -> Judge:
    """The classifier of the digits; one worker trains it, the others wait for its file."""
    with (cache / "judge.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return judge("digits")


@pytest.fixture
def kmgan(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return a function that runs a command line in an empty folder: exit status, output, errors."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = 0
        try:
            main(list(arguments))
        except SystemExit as exit_:
            status = int(str(exit_.code))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def made_up(
    results: Path, preset: str = "mnist/kmgan", seed: int = 0, profile: str = "quick", score: float | None = 8.0,
    **changes: Any,
) -> Record:  # fmt: skip
    """Write a sound record of a run that never was; without a score it diverged.

    Further measures are named ``interpolation__largest_step=0.1``; other changes replace parts of the result.
    """
    own = resolve(preset, profile)
    measures: dict[str, dict[str, float]] = {} if score is None else {"classifier_score": {"value": score}}
    for name in [name for name in changes if "__" in name]:
        measure, _, key = name.partition("__")
        measures.setdefault(measure, {})[key] = changes.pop(name)
    common = {"value": 1.0, "std": 0.1, "samples": 10, "seconds": 0.1, "extractor": {"name": "a made-up judge"}}
    result = {
        "preset": own.as_dict(), "preset_hash": own.hash, "profile": profile, "seed": seed, "command": "none",
        "data": {"name": own.dataset, "kind": "real", "sha256": "0"}, "device": "none", "commit": "none",
        "status": "diverged" if score is None else "completed", "diverged_at": 2 if score is None else None,
        "iterations": 3, "wall_seconds": 90.0, "images_per_second": 1.0, "versions": {},
        "checkpoint_rule": "final iteration", "metrics": {name: common | keys for name, keys in measures.items()},
    } | changes  # fmt: skip
    place = records.place(preset, profile, seed, results=results)
    place.mkdir(parents=True)
    (place / "result.json").write_text(json.dumps(result))
    (place / "history.csv").write_text("iteration,seconds,center_step\n2,0.1,1.0\n3,0.2,0.5\n")
    if own.network != "synthetic":
        (place / "samples.webp").write_bytes(b"a picture")
    return Record(place, result)


@pytest.fixture(name="made_up", scope="session")
def _made_up() -> MadeUp:
    return made_up
