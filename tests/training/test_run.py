import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from kmgan_lib import train
from kmgan_lib.errors import UsageError
from kmgan_lib.methods import KMGAN
from kmgan_lib.training.run import Run, pick_device, restore

from ..conftest import Quick, contents, same_weights


def test_an_opened_run_is_the_run_that_was_trained(pictures: Run) -> None:
    opened = Run.open(pictures.directory)
    assert (opened.preset, opened.profile, opened.seed) == (pictures.preset, "smoke", 0)
    assert opened.result == pictures.result
    assert opened.history == pictures.history
    assert opened.method is None
    torch.testing.assert_close(opened.generator.sample(2), pictures.generator.sample(2), atol=5e-3, rtol=0)
    restored, method = restore(opened), pictures.method
    assert isinstance(restored, KMGAN)
    assert isinstance(method, KMGAN)
    assert torch.equal(restored.bank.real, method.bank.real)
    assert same_weights(method, restored)


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
    (tmp_path / "empty").mkdir()
    assert quick(tmp_path / "empty", iterations=1).directory == tmp_path / "empty"
    shutil.rmtree(tmp_path / "empty")
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        quick(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["diary.txt"]


def test_a_run_is_not_resumed_as_another(quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run", iterations=8, k=4)
    before = contents(run.directory)
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
    assert contents(run.directory) == before
    path, config = run.directory / "config.json", json.loads((run.directory / "config.json").read_text())
    del config["preset"]["k"]
    for message, old in {"trained with k=nothing": config, "no sensible preset": config | {"preset": None}}.items():
        path.write_text(json.dumps(old))  # of another version
        with pytest.raises(UsageError, match=message):
            train(**known, iterations=9, device="cpu", out=run.directory, resume=True)


def test_a_device_is_there_or_named_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert torch.ones(1, device=pick_device("auto")).item() == 1
    for name in ("cuda:99", "abacus", "meta", ""):
        with pytest.raises(UsageError, match=rf"device {name} is not there \(this machine has auto, cpu"):
            pick_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "empty", full)
    assert pick_device("cuda:0") == torch.device("cuda:0")
