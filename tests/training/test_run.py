from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kmgan_lib import train
from kmgan_lib.errors import UsageError
from kmgan_lib.methods import KMGAN
from kmgan_lib.metrics import evaluate
from kmgan_lib.training import checkpoint
from kmgan_lib.training.run import Run, commit, device_name, pick_device, restore

Quick = Callable[..., Run]


def test_an_opened_run_is_the_run_that_was_trained(pictures: Run) -> None:
    opened = Run.open(pictures.directory)
    assert (opened.preset, opened.profile, opened.seed) == (pictures.preset, "smoke", 0)
    assert opened.result == pictures.result
    assert opened.history == pictures.history
    assert opened.method is None
    torch.testing.assert_close(opened.generator.sample(2), pictures.generator.sample(2), atol=5e-3, rtol=0)


def test_a_restored_method_has_the_weights_and_centers_of_the_end(pictures: Run) -> None:
    restored, method = restore(Run.open(pictures.directory)), pictures.method
    assert isinstance(restored, KMGAN)
    assert isinstance(method, KMGAN)
    assert torch.equal(restored.bank.real, method.bank.real)
    for name, net in method.networks().items():
        for a, b in zip(net.parameters(), restored.networks()[name].parameters(), strict=True):
            assert torch.equal(a, b)


def test_a_checkpoint_of_another_kind_of_device_is_restored_and_measured(pictures: Run, tmp_path: Path) -> None:
    # A random state of CUDA has 16 bytes, one of the CPU 5,056.
    run = Run.open(shutil.copytree(pictures.directory, tmp_path / "run"))
    state = checkpoint.load_checkpoint(run.directory, "cpu")
    ours = {key: value for key, value in state["method"].items() if getattr(value, "dtype", None) == torch.uint8}
    assert ours
    state["method"] |= {key: torch.arange(16, dtype=torch.uint8) for key in ours}
    checkpoint.save_checkpoint(run.directory, state)
    restored = restore(run)
    assert pictures.method is not None
    for name, net in pictures.method.networks().items():
        assert all(map(torch.equal, net.parameters(), restored.networks()[name].parameters()))
    before = evaluate(Run.open(shutil.copytree(pictures.directory, tmp_path / "before")), only=["centers"])["centers"]
    assert evaluate(run, only=["centers"])["centers"] | {"seconds": 0} == before | {"seconds": 0}


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    for name in ("", "config.json"):
        if name:
            (tmp_path / name).write_text("{}")
        with pytest.raises(UsageError, match=str(tmp_path)):
            Run.open(tmp_path)


def test_a_default_directory_gets_a_number_when_it_is_taken(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = "runs/synthetic/kmgan/smoke-seed5"
    found = [str(quick(None, iterations=1, seed=5).directory) for _ in range(2)]
    assert found == [first, f"{first}-2"]
    resumed = quick(None, iterations=4, seed=5, resume=True)
    assert (str(resumed.directory), resumed.result["iterations"]) == (first, 4)


def test_an_out_that_is_not_empty_is_refused_and_untouched(quick: Quick, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        quick(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["diary.txt"]


def test_an_out_that_is_empty_is_taken(quick: Quick, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert quick(tmp_path / "empty", iterations=1).directory == tmp_path / "empty"


def test_a_run_is_not_resumed_as_another(quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run", iterations=8, k=4)
    before = {p: p.read_bytes() for p in run.directory.rglob("*") if p.is_file()}
    known: dict[str, Any] = {
        "preset": "synthetic/kmgan", "profile": "smoke", "k": 4, "batch": 16, "width": 1.0, "init_images": 300,
    }  # fmt: skip
    wrong: dict[str, dict[str, Any]] = {
        "trained with seed=0, not 1": {"seed": 1}, "trained with k=4, not 5": {"k": 5},
        "trained with batch=16, not 8": {"batch": 8}, "learning_rate=": {"learning_rate": 1.0},
        "synthetic/kmgan": {"preset": "synthetic/kmgan-nocenter"}, "profile=smoke, not quick": {"profile": "quick"},
    }  # fmt: skip
    for message, changes in wrong.items():
        with pytest.raises(UsageError, match=message):
            train(**{**known, **changes}, iterations=8, device="cpu", out=run.directory, resume=True)
    assert {p: p.read_bytes() for p in run.directory.rglob("*") if p.is_file()} == before


def test_a_device_is_there_or_named_with_those_that_are() -> None:
    assert torch.ones(1, device=pick_device("auto")).item() == 1
    assert pick_device("cpu") == torch.device("cpu")
    for name in ("cuda:99", "abacus", "meta", ""):
        with pytest.raises(UsageError, match=rf"device {name} is not there \(this machine has auto, cpu"):
            pick_device(name)


def test_records_name_processor_and_commit() -> None:
    assert "CPU" in device_name(torch.device("cpu"))
    assert len((commit() or "0" * 12).partition("+")[0]) == 12
