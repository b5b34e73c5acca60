import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils._pytree import MappingKey, tree_leaves_with_path, tree_structure

import kmgan_lib
from kmgan_lib.errors import Diverged, UsageError
from kmgan_lib.methods import KMGAN, Method
from kmgan_lib.metrics import evaluate
from kmgan_lib.training.history import read_history
from kmgan_lib.training.loop import Batches
from kmgan_lib.training.run import Run, load_checkpoint

from ..conftest import Quick, Stopped, contents, stop_at


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
    batches, other = (Batches(images, preset, torch.device("cpu"), seed=seed) for seed in (0, 1))
    begun_alike = Batches(images, preset, torch.device("cpu"), seed=0)
    assert not any(map(torch.equal, other.draw(), begun_alike.draw()))  # pyright: ignore[reportArgumentType]
    epochs = []
    for _ in range(3):
        drawn = [batches.draw() for _ in range(2)]
        for pictures, labels, _ in drawn:
            assert labels is not None
            assert (pictures[:, 0, 0, 0] * 255).round().tolist() == labels.tolist()
        epochs.append([int(i) for _, labels, _ in drawn for i in labels])  # pyright: ignore[reportOptionalIterable]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("synthetic/kmgan", {"center_update": "counts", "fresh": True, "fake_labels": "own"}),
        ("synthetic/kmgan", {"center_update": "recluster", "recluster_every": 4}),
        ("synthetic/kmgan", {"center_gate": "start_step", "d_round": 12, "clip": 0.1}),
        ("synthetic/dcgan", {}),
    ],
    ids=str,
)
def test_every_method_resumes_exactly(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str, changes: dict[str, Any]
) -> None:
    # five iterations a row: the checkpoint falls into one
    monkeypatch.setattr("kmgan_lib.training.loop.HISTORY_ROWS", 4)
    whole = quick(tmp_path / "whole", preset, **changes)
    with pytest.raises(Stopped):
        quick(tmp_path / "parts", preset, callback=stop_at(10), **changes)
    assert load_checkpoint(tmp_path / "parts", "cpu")["iteration"] == 7
    quick(tmp_path / "parts", preset, resume=True, **changes)
    assert_same_run(whole.directory, tmp_path / "parts")


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
    with pytest.raises(UsageError, match="at iteration 12 already"):
        quick(tmp_path / "run", iterations=11, k=40, init_images=40, resume=True)
    assert_same_run(run.directory, quick(tmp_path / "whole", iterations=12, k=40, init_images=40).directory)


def test_a_completed_run_resumed_stays_as_it_is_with_its_measures(quick: Quick, tmp_path: Path) -> None:
    done = quick(tmp_path / "run")
    evaluate(done)
    before = contents(done.directory)
    again = quick(tmp_path / "run", resume=True)
    assert again.result == done.result
    assert contents(done.directory) == before


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


def test_weights_that_are_not_finite_never_become_the_last_good_checkpoint(quick: Quick, tmp_path: Path) -> None:
    # Losses of iteration 14 are finite and its last update is not: only the next loss shows it.
    with pytest.raises(Diverged):
        quick(tmp_path / "run", iterations=28, callback=lambda n, method: poison(method) if n == 14 else None)
    state = load_checkpoint(tmp_path / "run", "cpu")
    assert all(t.isfinite().all() for name, t in state["method"].items() if name.startswith("discriminator"))
