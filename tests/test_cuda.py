"""What only a GPU shows: steps become CUDA graphs, runs resume, and another process measures them.

Skipped without a GPU. ``benchmarks/gpu.sh`` runs these first.
"""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import bench
from kmgan_lib import methods, presets, train
from kmgan_lib.data.images import content_keys, to_unit
from kmgan_lib.methods import KMGAN, Method
from kmgan_lib.methods.base import draw_noise
from kmgan_lib.training.graph import WARM_UP, Stepper
from kmgan_lib.training.history import read_history
from kmgan_lib.training.run import load_checkpoint

from .conftest import small

DEVICE = torch.device("cuda")
pytestmark = pytest.mark.skipif(DEVICE.type == "cuda" and not torch.cuda.is_available(), reason="needs a GPU")
ROOT = Path(__file__).resolve().parent.parent
EVERY = sorted(presets.METHODS)
RANDOM = ["kmgan-random"]  # besides the methods that draw numbers in every step
RUN: dict[str, Any] = {
    "iterations": 24, "checkpoint_every": 12, "snapshots": 1, "width": 0.125, "batch": 12, "init_images": 60,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """Without TF32, with the algorithms of cuDNN that repeat themselves."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


@pytest.fixture
def double() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def make(name: str, **changes: Any) -> Method:
    preset = presets.resolve(f"digits/{name}", **small(f"digits/{name}", batch=12, **changes))
    method = methods.create(preset, device=DEVICE, seed=0)
    images = torch.rand(60, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    method.training_set = images
    method.setup(images)
    return method


def batch(method: Method, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator, count = torch.Generator(DEVICE).manual_seed(seed), 12 * method.batches_per_step(100)
    images = torch.rand(count, 1, 28, 28, generator=generator, device=DEVICE)
    labels = torch.randint(3, (count,), generator=generator, device=DEVICE)
    return images, labels, draw_noise(method.preset, count, generator)


def numbers(losses: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in losses.items()}


@pytest.mark.parametrize("name", EVERY + RANDOM)
def test_every_method_is_captured_and_replays_are_its_plain_steps(name: str, double: None) -> None:
    """In float64, so that only another computation would differ; with the random numbers that a step draws."""
    method, plain = make(name), make(name)
    step = Stepper(method)
    for seed in range(WARM_UP + 4):
        losses, expected = numbers(step(*batch(method, seed))), numbers(plain.step(*batch(plain, seed)))
        assert losses == pytest.approx(expected, rel=1e-6, abs=1e-8), seed
        method.update_average(seed + 1)
        plain.update_average(seed + 1)
    assert step.reason is None
    assert len(step._graphs) == 1
    for a, b in zip(method.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    assert torch.equal(method.rng.get_state(), plain.rng.get_state())


def test_a_partition_is_the_same_on_every_device() -> None:
    images = torch.randint(256, (64, 1, 28, 28), dtype=torch.uint8)
    assert torch.equal(content_keys(to_unit(images.to(DEVICE))).cpu(), content_keys(to_unit(images)))


@pytest.mark.parametrize("name", ["wgan", "kmgan"])
@pytest.mark.parametrize(("first", "then"), [("cpu", str(DEVICE)), (str(DEVICE), "cpu")])
def test_a_run_goes_on_on_another_kind_of_device(tmp_path: Path, name: str, first: str, then: str) -> None:
    known = presets.resolve(f"digits/{name}").fields()
    sizes = {key: value for key, value in RUN.items() if key in known}
    train(f"digits/{name}", profile="smoke", device=first, out=tmp_path / "run", **{**sizes, "iterations": 12})
    run = train(f"digits/{name}", profile="smoke", device=then, out=tmp_path / "run", resume=True, **sizes)
    assert run.result["status"] == "completed"


def test_each_number_of_batches_has_its_graph() -> None:
    method = make("wgan")
    step, (images, labels, noise) = Stepper(method), batch(make("wgan"), 0)
    for count in (12, 24) * (WARM_UP + 2):
        assert all(map(torch.isfinite, step(images[:count], labels[:count], noise[:count]).values()))
    assert step.reason is None
    assert sorted(step._graphs) == [12, 24]


@pytest.mark.parametrize("name", EVERY + RANDOM)
def test_no_step_waits_for_the_device(name: str) -> None:
    method = make(name)
    step, drawn = Stepper(method), batch(method, 0)
    for _ in range(WARM_UP + 2):
        step(*drawn)
    with warnings.catch_warnings(action="ignore"):  # the mode calls itself a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        step(*drawn)
        method.step(*drawn)
        method.update_average(1)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", EVERY)
def test_steps_in_bf16_are_finite(name: str) -> None:
    method = make(name, precision="bf16")
    step = Stepper(method)
    for seed in range(WARM_UP + 3):
        assert all(map(torch.isfinite, step(*batch(method, seed)).values()))
    assert step.reason is None


def test_a_closed_gate_moves_neither_weights_nor_moments_in_a_graph() -> None:
    """The fused Adam skips its step where ``found_inf`` is 1, on the device."""
    method = make("kmgan", d_round=1e9)
    assert isinstance(method, KMGAN)
    step = Stepper(method)
    for seed in range(WARM_UP + 3):
        assert float(step(*batch(method, seed))["center_step"]) == 0
    assert step.reason is None
    moments = [state["exp_avg"] for state in method.center_optimiser.state_dict()["state"].values()]
    assert moments
    assert not any(map(torch.any, moments))
    opened = make("kmgan", d_round=0.0)
    assert float(opened.step(*batch(opened, 0))["center_step"]) == 1


@pytest.mark.parametrize("name", ["kmgan", "kmgan-random", "dcgan", "wgan_gp", "ali"])
def test_a_resumed_run_draws_the_same_and_differs_by_rounding_alone(tmp_path: Path, name: str) -> None:
    """Orders of the data and states of generators are those of the whole run; sums may round otherwise in a graph."""
    known = presets.resolve(f"digits/{name}").fields()
    sizes = {key: value for key, value in RUN.items() if key in known}

    def run(out: str, **changes: Any) -> Path:
        return train(
            f"digits/{name}", profile="smoke", device=str(DEVICE), out=tmp_path / out, **{**sizes, **changes}
        ).directory

    whole = run("whole")
    run("cut", iterations=12)
    cut = run("cut", resume=True)
    a, b = (load_checkpoint(out, DEVICE) for out in (whole, cut))
    assert torch.equal(*(state["method"]["_extra_state"]["rng"] for state in (a, b)))
    assert a["batches"]["position"] == b["batches"]["position"]
    assert all(torch.equal(a["batches"][key], b["batches"][key]) for key in ("rng", "order"))
    rows = [(out / "history.csv").read_text().splitlines() for out in (whole, cut)]
    assert [len(table) for table in rows] == [25, 25]
    after = [[float(x) for x in table[13].split(",")[2:]] for table in rows]  # the first iteration after the checkpoint
    assert after[1] == pytest.approx(after[0], rel=0.02, abs=1e-3)


@pytest.mark.parametrize("visible", ["all", ""], ids=["on the GPU", "on a machine without one"])
def test_another_process_measures_a_run(tmp_path: Path, visible: str) -> None:
    out = train("digits/kmgan", profile="smoke", device=str(DEVICE), out=tmp_path / "run", **RUN).directory
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KMGAN_PROGRESS": "0"}
    if not visible:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    words = [sys.executable, "-m", "kmgan_lib", "evaluate", str(out), "--only", "centers", "--only", "kmeans_cost"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"centers", "kmeans_cost"} <= set(json.loads((out / "result.json").read_text())["metrics"])


def test_the_k_means_of_the_benchmark_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[Any] = []
    monkeypatch.setattr(bench, "seconds_of", lambda work, *_: timed.append(work) or 1.0)
    assert bench.kmeans_seconds(64, 10, 128, DEVICE) == 1
    assert [type(work.__self__) for work in timed] == [torch.cuda.CUDAGraph]
    timed[0]()
    torch.cuda.synchronize()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_what_one_trains(tmp_path: Path) -> None:
    sizes = [word for key, value in RUN.items() for word in ("--set", f"{key}={value}")]
    words = ["-m", "kmgan_lib", "train", "digits/kmgan", "--profile", "smoke", "--device", "cuda", *sizes, "--out"]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KMGAN_PROGRESS": "0"}
    for start, out in (([], "one"), (launch, "two")):
        subprocess.run([sys.executable, *start, *words, str(tmp_path / out)], env=environment, check=True)
    one, two = (read_history(tmp_path / out) for out in ("one", "two"))
    assert len(one) == len(two) == 24
    assert two[0]["loss_d"] == pytest.approx(one[0]["loss_d"], rel=0.01)
    assert json.loads((tmp_path / "two" / "result.json").read_text())["device"].startswith("2 x ")
