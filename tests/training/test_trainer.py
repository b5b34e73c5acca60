import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils._pytree import MappingKey, tree_leaves_with_path, tree_structure

import kmgan_lib
from kmgan_lib import train
from kmgan_lib.errors import Diverged, UsageError
from kmgan_lib.methods import KMGAN, Method
from kmgan_lib.metrics import evaluate
from kmgan_lib.training.history import read_history
from kmgan_lib.training.loop import Batches
from kmgan_lib.training.run import Run, load_checkpoint, pick_device, restore

from ..conftest import Quick, contents, same_weights


def rows(directory: Path) -> list[dict[str, float]]:
    """History without the column that differs between any two runs."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_history(directory)]


def assert_same(a: Any, b: Any) -> None:
    """Bit for bit, through dictionaries and lists; wall-clock seconds aside."""
    assert tree_structure(a) == tree_structure(b)
    for (path, x), (_, y) in zip(tree_leaves_with_path(a), tree_leaves_with_path(b), strict=True):
        if MappingKey("seconds") not in path:
            assert type(x) is type(y), path
            if isinstance(x, Tensor):
                torch.testing.assert_close(x, y, rtol=0, atol=0)
            else:
                assert x == y, path


def assert_same_run(a: Path, b: Path) -> None:
    assert_same(load_checkpoint(a, "cpu"), load_checkpoint(b, "cpu"))
    assert rows(a) == rows(b)
    assert_same(load_file(a / "generator.safetensors"), load_file(b / "generator.safetensors"))


def test_a_run_directory_holds_what_the_readme_promises_and_the_result_says_what_made_it(pictures: Run) -> None:
    found = {str(p.relative_to(pictures.directory)) for p in pictures.directory.rglob("*") if p.is_file()}
    assert found == {
        "config.json", "history.csv", "checkpoint.pt", "generator.safetensors", "result.json",
        "samples/000020.png", "samples/000040.png",
    }  # fmt: skip
    result = json.loads((pictures.directory / "result.json").read_text())
    assert result == pictures.result
    assert (result["status"], result["diverged_at"], result["iterations"]) == ("completed", None, 40)
    assert result["preset"] == pictures.preset.as_dict()
    assert result["preset_hash"] == pictures.preset.hash
    assert result["data"]["kind"] == "real"
    assert len(result["data"]["sha256"]) == 64
    assert set(result["versions"]) == {"python", "torch", "torchvision"}
    assert result["images_per_second"] > 0
    assert result["command"].startswith("kmgan train digits/kmgan --profile smoke --seed 0 --set batch=16")
    assert pictures.label == "live · smoke · digits · seed 0"
    assert {"seconds", "loss_d", "loss_g", "loss_center"} <= set(pictures.history[0])


def test_every_epoch_shuffles_all_images_and_leaves_an_incomplete_batch_out() -> None:
    preset = kmgan_lib.presets.resolve("digits/kmgan", "smoke", batch=4)
    tensor = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 28, 28)
    images = kmgan_lib.data.Images(tensor, torch.arange(10))
    one, same, other = (Batches(images, preset, torch.device("cpu"), seed=seed) for seed in (0, 0, 1))
    assert not any(map(torch.equal, other.draw(), same.draw()))  # pyright: ignore[reportArgumentType]
    epochs = []
    for _ in range(3):
        pictures, labels, _ = one.draw(2)
        assert labels is not None
        assert (pictures[:, 0, 0, 0] * 255).round().tolist() == labels.tolist()
        epochs.append(labels.tolist())
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("signals", [1, 2])
def test_a_run_stopped_by_the_keyboard_finishes_its_step_and_resumes_exactly(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: int
) -> None:
    """A second signal does not wait for the end of the step."""
    whole = quick(tmp_path / "whole")
    center_step, handler, passed = KMGAN._center_step, signal.getsignal(signal.SIGINT), []

    def interrupted(self: KMGAN, *arguments: Any) -> Any:
        if self.step_count == 9:
            for number in range(signals):
                signal.raise_signal(signal.SIGINT)
                passed.append(number)
        return center_step(self, *arguments)

    monkeypatch.setattr(KMGAN, "_center_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quick(tmp_path / "parts")
    assert passed == [0]
    assert signal.getsignal(signal.SIGINT) is handler
    assert load_checkpoint(tmp_path / "parts", "cpu")["iteration"] == (10 if signals == 1 else 7)
    assert not (tmp_path / "parts" / "result.json").exists()
    monkeypatch.setattr(KMGAN, "_center_step", center_step)
    quick(tmp_path / "parts", resume=True)
    assert_same_run(whole.directory, tmp_path / "parts")


def test_iterations_is_the_total_when_resuming(quick: Quick, tmp_path: Path) -> None:
    quick(tmp_path / "run", iterations=8, k=40, init_images=40)  # as many centers as images are enough
    run = quick(tmp_path / "run", iterations=12, k=40, init_images=40, resume=True)
    assert run.result["iterations"] == 12
    assert [row["iteration"] for row in run.history] == list(range(1, 13))
    with pytest.raises(UsageError, match="already at iteration 12"):
        quick(tmp_path / "run", iterations=11, k=40, init_images=40, resume=True)
    assert_same_run(run.directory, quick(tmp_path / "whole", iterations=12, k=40, init_images=40).directory)


def test_a_completed_run_resumed_stays_as_it_is_with_its_measures(quick: Quick, tmp_path: Path) -> None:
    done = quick(tmp_path / "run")
    evaluate(done)
    before = contents(done.directory)
    again = quick(tmp_path / "run", resume=True)
    assert again.result == done.result
    assert contents(done.directory) == before


def test_convolutions_are_not_rounded_while_a_run_trains_and_the_flag_is_as_before_after_it(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    seen: list[bool] = []
    quick(tmp_path / "run", callback=lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    assert set(seen) == {False}
    assert torch.backends.cudnn.allow_tf32
    with pytest.raises(UsageError, match="is not empty"):
        quick(tmp_path / "run")
    assert torch.backends.cudnn.allow_tf32


def test_the_callback_sees_the_beginning_and_every_snapshot(quick: Quick, tmp_path: Path) -> None:
    seen: list[int] = []

    def callback(iteration: int, method: Method) -> None:
        assert isinstance(method, KMGAN)
        assert int(method.step_count) == iteration
        seen.append(iteration)

    quick(tmp_path / "run", iterations=10, snapshots=2, callback=callback)
    quick(tmp_path / "run", snapshots=4, callback=callback, resume=True)
    quick(tmp_path / "other", iterations=3, snapshots=50, callback=callback)
    assert seen == [0, 5, 10, 15, 20, 0, 1, 2, 3]


def poison(method: Method) -> None:
    with torch.no_grad():
        for p in method.discriminator_net.parameters():
            p.fill_(float("nan"))


def test_divergence_keeps_the_last_good_checkpoint(quick: Quick, tmp_path: Path) -> None:
    good = quick(tmp_path / "good", iterations=7)
    with pytest.raises(Diverged, match=r"iteration 11: .*the last good checkpoint is .*checkpoint\.pt"):
        quick(tmp_path / "run", callback=lambda n, method: poison(method) if n == 10 else None)
    state = load_checkpoint(tmp_path / "run", "cpu")
    assert state["iteration"] == 7
    assert_same(state["method"], load_checkpoint(good.directory, "cpu")["method"])
    opened = Run.open(tmp_path / "run")
    assert (opened.result["status"], opened.result["diverged_at"]) == ("diverged", 11)
    assert torch.isfinite(opened.generator.sample(2)).all()
    salvaged = quick(tmp_path / "run", iterations=7, resume=True)  # as if it had ended there
    assert (salvaged.result["status"], salvaged.result["iterations"]) == ("completed", 7)
    assert_same_run(salvaged.directory, good.directory)


def test_weights_that_are_not_finite_never_become_the_last_good_checkpoint(quick: Quick, tmp_path: Path) -> None:
    # Losses of iteration 14 are finite and its last update is not: only the next loss shows it.
    with pytest.raises(Diverged):
        quick(tmp_path / "run", iterations=28, callback=lambda n, method: poison(method) if n == 14 else None)
    state = load_checkpoint(tmp_path / "run", "cpu")
    assert all(t.isfinite().all() for name, t in state["method"].items() if name.startswith("discriminator"))


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


def test_a_taken_directory_gets_a_number(quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = "runs/synthetic/kmgan/smoke-seed5"
    found = [str(quick(None, iterations=1, seed=seed).directory) for seed in (5, np.int64(5))]
    assert found == [first, f"{first}-2"]
    resumed = quick(None, iterations=4, seed=5, resume=True)
    assert (str(resumed.directory), resumed.result["iterations"]) == (first, 4)


def test_a_run_is_not_resumed_as_another_nor_begun_in_its_place(quick: Quick, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()  # an empty folder is free
    run = quick(tmp_path / "run", iterations=8, k=4)
    assert run.directory == tmp_path / "run"
    before = contents(run.directory)
    with pytest.raises(UsageError, match="not empty"):
        quick(run.directory)
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
