from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

from kmgan_lib import train
from kmgan_lib.metrics import Judge, judge
from kmgan_lib.presets import resolve
from kmgan_lib.run import Run

# No deadlines: a busy machine is not a wrong result. The same examples on every run, and none kept on disk.
hypothesis.settings.register_profile("kmgan", deadline=None, derandomize=True, database=None, max_examples=50)
hypothesis.settings.load_profile("kmgan")


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
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KMGAN_CACHE", str(cache))
        patch.setenv("KMGAN_PROGRESS", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("KMGAN_DATA", raising=False)
        yield


QUICK: dict[str, Any] = {
    "batch": 16, "iterations": 20, "checkpoint_every": 7, "snapshots": 2, "width": 1.0, "init_images": 300,
}  # fmt: skip
PICTURES: dict[str, Any] = {**QUICK, "width": 0.125, "iterations": 40, "feature_dim": 20, "eval_samples": 60}
Quick = Callable[..., Run]


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
