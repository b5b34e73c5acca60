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
from torch import Tensor, nn

from kmgan_book import records
from kmgan_book.records import Record
from kmgan_lib import methods, train
from kmgan_lib.cli import main
from kmgan_lib.methods import Method
from kmgan_lib.methods.base import draw_noise
from kmgan_lib.metrics import Classifier, load_classifier
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
        patch.setattr("kmgan_lib.methods.base.NORM_BATCHES", 2)
        patch.delenv("KMGAN_DATA", raising=False)
        yield


QUICK: dict[str, Any] = {
    "batch": 16, "iterations": 20, "checkpoint_every": 7, "snapshots": 2, "width": 1.0, "init_images": 300,
}  # fmt: skip
SMALL: dict[str, Any] = {
    "batch": 8, "width": 0.125, "feature_dim": 12, "k": 3, "init_images": 24, "components": 2, "critic_updates": 2,
    "burst": 2, "kernels": 4, "z_dim": 10, "cluster_images": 24, "recluster_every": 2,
}  # fmt: skip
PICTURES: dict[str, Any] = {**QUICK, "width": 0.125, "iterations": 40, "feature_dim": 20, "eval_samples": 60}
Quick = Callable[..., Run]
Command = Callable[..., tuple[int, str, str]]
MadeUp = Callable[..., Record]


def small(preset: str, **changes: Any) -> dict[str, Any]:
    """The small settings that this preset has."""
    known = resolve(preset, **{k: v for k, v in changes.items() if k == "method"}).fields()
    return {**{k: v for k, v in SMALL.items() if k in known}, **changes}


def small_method(name: str, **changes: Any) -> Method:
    """A small method after its setup on images of noise."""
    method = methods.create(resolve(name, **small(name, **changes)), seed=1)
    images = random_images(method, 24, torch.Generator().manual_seed(0))
    method.training_set = images if method.preset.network == "synthetic" else images.mul(255).byte()
    method.setup(method.training_set)
    return method


def in_float64(method: Any) -> Any:
    """The same method in float64: optimisers enlarge the rounding of float32 wherever a gradient is nearly zero."""
    method.double()
    method.D = lambda x, y=None: method.discriminator_net(x, y if method.classes else None)  # no cast to float32
    method.G = lambda z, y=None: method.generator_net(z, y if method.classes else None)
    return method


def random_images(method: Method, count: int, generator: torch.Generator) -> Tensor:
    p = method.preset
    shape = (100,) if p.network == "synthetic" else (p.channels, p.image_size, p.image_size)
    return torch.rand(count, *shape, generator=generator)


def random_batch(method: Method, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Images, labels and noise for a step that is not one of the first."""
    count, generator = method.preset.batch * method.batches_per_step(100), torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (count,), generator=generator)
    return random_images(method, count, generator), labels, draw_noise(method.preset, count, generator)


class Stopped(Exception):
    """What a run dies of in tests."""


def stop_at(iteration: int) -> Callable[[int, object], None]:
    """A callback that ends a run there."""

    def stop(now: int, _: object) -> None:
        if now >= iteration:
            raise Stopped

    return stop


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


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
def digits_classifier(cache: Path) -> Classifier:
    """The classifier of the digits; one worker trains it, the others wait for its file."""
    with (cache / "classifier.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return load_classifier("digits")


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
    common = {"value": 1.0, "std": 0.1, "samples": 10, "seconds": 0.1, "extractor": {"name": "a made-up classifier"}}
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
