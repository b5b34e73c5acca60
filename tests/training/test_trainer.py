from __future__ import annotations

import csv
import json
import logging
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import kmgan_lib
from kmgan_lib import load_generator, train
from kmgan_lib.errors import Diverged, UsageError
from kmgan_lib.methods import KMGAN, Method
from kmgan_lib.metrics import evaluate
from kmgan_lib.training.batches import Batches
from kmgan_lib.training.checkpoint import CHECKPOINT, load_checkpoint
from kmgan_lib.training.run import Run

Quick = Callable[..., Run]


def rows(directory: Path) -> list[dict[str, str]]:
    """History without the column that differs between any two runs."""
    with (directory / "history.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def assert_same(a: Any, b: Any, where: str = "state") -> None:
    """Bit for bit, through dictionaries and lists; wall-clock seconds aside."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            if key != "seconds":
                assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f"{where}[{i}]")
    elif isinstance(a, Tensor):
        assert a.dtype == b.dtype, where
        assert torch.equal(a, b), where
    else:
        assert a == b, where


def assert_same_run(a: Path, b: Path) -> None:
    assert_same(load_checkpoint(a, "cpu"), load_checkpoint(b, "cpu"))
    assert rows(a) == rows(b)
    assert torch.equal(load_generator(a).sample(3), load_generator(b).sample(3))


# What a run leaves behind


def test_a_run_directory_holds_what_the_readme_promises(pictures: Run) -> None:
    found = {str(p.relative_to(pictures.directory)) for p in pictures.directory.rglob("*") if p.is_file()}
    assert found == {
        "config.json", "history.csv", "checkpoint.pt", "checkpoint-previous.pt", "generator.safetensors", "result.json",
        "samples/000020.png", "samples/000040.png",
    }  # fmt: skip


def test_the_result_says_what_made_it(pictures: Run) -> None:
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


def test_history_has_one_row_a_window_that_ends_at_the_last_iteration(pictures: Run) -> None:
    assert [row["iteration"] for row in pictures.history] == list(range(1, 41))
    assert {"loss_d", "loss_g", "loss_center"} <= set(pictures.history[0])
    seconds = [row["seconds"] for row in pictures.history]
    assert seconds == sorted(seconds)


def test_history_rows_are_means_over_their_window(quick: Quick, tmp_path: Path) -> None:
    fine = quick(tmp_path / "fine", iterations=10)
    window = 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kmgan_lib.training.loop.HISTORY_ROWS", 10 // window)
        coarse = quick(tmp_path / "coarse", iterations=10)
    assert [row["iteration"] for row in coarse.history] == [3, 6, 9, 10]
    for row, part in zip(coarse.history, (slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 10)), strict=True):
        wanted = [r["loss_d"] for r in fine.history[part]]
        assert row["loss_d"] == pytest.approx(sum(wanted) / len(wanted), rel=1e-5)


@pytest.mark.parametrize("name", ["mnist", "fashion"])
def test_smoke_trains_on_the_embedded_test_images_and_says_so(quick: Quick, tmp_path: Path, name: str) -> None:
    run = quick(tmp_path / "run", f"{name}/kmgan", iterations=1, snapshots=1)
    assert run.result["data"]["source"] == "embedded"
    assert run.label == f"live · smoke · {name} (10,000 test images) · seed 0"


def test_smoke_trains_on_the_stand_in_of_any_data_set_that_has_one(quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run", "cifar10-32/kmgan", iterations=1, snapshots=1)
    assert run.result["data"]["kind"] == "stand-in"
    assert run.result["data"]["source"] == "drawn coloured shapes"
    assert run.label == "live · smoke · stand-in for cifar10 · seed 0"


def test_without_the_whole_data_set_a_longer_profile_says_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KMGAN_DATA", str(tmp_path))
    with pytest.raises(UsageError, match=r"no mnist under .*use --profile smoke, whose 10,000 real test images come"):
        kmgan_lib.train("mnist/kmgan", profile="quick", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_pictures_are_resized_to_the_size_of_the_preset(quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run", "digits/kmgan", iterations=1, snapshots=1, image_size=32)
    assert "resized from 28 to 32 pixels" in run.result["data"]["source"]
    assert run.generator.sample(2).shape == (2, 1, 32, 32)


def test_the_same_seed_is_the_same_run_and_another_is_not(quick: Quick, tmp_path: Path) -> None:
    one, two, other = (quick(tmp_path / f"{i}", seed=seed).directory for i, seed in enumerate((3, 3, 4)))
    assert_same_run(one, two)
    assert rows(one) != rows(other)


# Batches


def test_every_epoch_shuffles_all_images_and_leaves_an_incomplete_batch_out() -> None:
    preset = kmgan_lib.presets.resolve("digits/kmgan", "smoke", batch=4)
    tensor = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 28, 28)
    images = kmgan_lib.data.Images(tensor, torch.arange(10))
    batches = Batches(images, preset, torch.device("cpu"), seed=0)
    epochs = []
    for _ in range(3):
        drawn = [batches.draw() for _ in range(2)]
        for pictures, labels, _ in drawn:
            assert labels is not None
            assert (pictures[:, 0, 0, 0] * 255).round().tolist() == labels.tolist()
        epochs.append([int(i) for _, labels, _ in drawn for i in labels])  # pyright: ignore[reportOptionalIterable]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_batches_go_on_where_they_were() -> None:
    preset = kmgan_lib.presets.resolve("digits/kmgan", "smoke", batch=4)
    images = kmgan_lib.data.Images(torch.zeros(10, 1, 28, 28, dtype=torch.uint8), torch.arange(10))
    one, two = (Batches(images, preset, torch.device("cpu"), seed=seed) for seed in (0, 9))
    one.draw()
    two.load_state_dict(one.state_dict())
    for _ in range(5):
        assert_same(list(one.draw()), list(two.draw()))


# Resuming

SETTINGS = (
    "batch", "iterations", "checkpoint_every", "snapshots", "width", "init_images", "feature_dim", "eval_samples",
)  # fmt: skip
CHILD = """
import sys, time
import torch
from kmgan_lib import train
from kmgan_lib.methods import KMGAN

torch.set_num_threads(1)
step = KMGAN.step
def slow(*arguments):  # so that the parent's signal finds it at work
    time.sleep(0.05)
    return step(*arguments)
KMGAN.step = slow
train("digits/kmgan", profile="smoke", device="cpu", out=sys.argv[1], **eval(sys.argv[2]))
"""


def test_a_run_killed_and_resumed_ends_bit_for_bit_as_the_uninterrupted_one(
    quick: Quick, pictures: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    settings = {key: value for key, value in pictures.preset.as_dict().items() if key in SETTINGS}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(out), repr(settings)])
    try:
        while not (out / CHECKPOINT).exists():
            assert child.poll() is None
            time.sleep(0.01)
        time.sleep(random.uniform(0, 1))
    finally:
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    reached = load_checkpoint(out, "cpu")["iteration"]
    assert 0 < reached < 40
    assert not (out / "result.json").exists()
    resumed = quick(out, "digits/kmgan", resume=True)
    assert resumed.result["status"] == "completed"
    assert_same_run(out, pictures.directory)


class Stopped(Exception):
    """What a run dies of here."""


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("synthetic/kmgan", {}),
        ("synthetic/kmgan", {"center_update": "counts", "fresh": True, "fake_labels": "own"}),
        ("synthetic/kmgan", {"center_update": "recluster", "recluster_every": 4}),
        ("synthetic/kmgan", {"center_gate": "start_step", "d_round": 12, "clip": 0.1}),
        ("synthetic/kmgan", {"lambda_pair": 5.0, "z_distribution": "normal"}),
        ("synthetic/dcgan", {}),
    ],
    ids=str,
)
def test_every_method_resumes_exactly(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(
        "kmgan_lib.training.loop.HISTORY_ROWS", 4
    )  # five iterations a row: the checkpoint falls into one

    def stop(iteration: int, method: Method) -> None:
        if iteration == 10:
            raise Stopped

    whole = quick(tmp_path / "whole", preset, **changes)
    with pytest.raises(Stopped):
        quick(tmp_path / "parts", preset, callback=stop, **changes)
    assert load_checkpoint(tmp_path / "parts", "cpu")["iteration"] == 7
    quick(tmp_path / "parts", preset, resume=True, **changes)
    assert_same_run(whole.directory, tmp_path / "parts")


def test_a_run_stopped_by_the_keyboard_finishes_its_step_and_resumes_exactly(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = quick(tmp_path / "whole")
    center_step, handler = KMGAN._center_step, signal.getsignal(signal.SIGINT)

    def interrupted(self: KMGAN, *arguments: Any) -> Any:
        if self.iteration == 9:
            signal.raise_signal(signal.SIGINT)
        return center_step(self, *arguments)

    monkeypatch.setattr(KMGAN, "_center_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quick(tmp_path / "parts")
    assert signal.getsignal(signal.SIGINT) is handler
    assert load_checkpoint(tmp_path / "parts", "cpu")["iteration"] == 10
    assert not (tmp_path / "parts" / "result.json").exists()
    monkeypatch.setattr(KMGAN, "_center_step", center_step)
    quick(tmp_path / "parts", resume=True)
    assert_same_run(whole.directory, tmp_path / "parts")


def test_a_second_stop_by_the_keyboard_does_not_wait_and_the_run_still_resumes_exactly(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = quick(tmp_path / "whole")
    center_step, begun = KMGAN._center_step, []

    def interrupted(self: KMGAN, *arguments: Any) -> Any:
        if self.iteration == 9:
            begun.append(self.iteration)
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            begun.append("never")
        return center_step(self, *arguments)

    monkeypatch.setattr(KMGAN, "_center_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quick(tmp_path / "parts")
    assert begun == [9]
    monkeypatch.setattr(KMGAN, "_center_step", center_step)
    quick(tmp_path / "parts", resume=True)
    assert_same_run(whole.directory, tmp_path / "parts")


def test_iterations_is_the_total_when_resuming(quick: Quick, tmp_path: Path) -> None:
    quick(tmp_path / "run", iterations=8)
    run = quick(tmp_path / "run", iterations=12, resume=True)
    assert run.result["iterations"] == 12
    assert [row["iteration"] for row in run.history] == list(range(1, 13))
    assert_same_run(run.directory, quick(tmp_path / "whole", iterations=12).directory)


def test_fewer_iterations_than_there_are_already_is_refused(quick: Quick, tmp_path: Path) -> None:
    quick(tmp_path / "run", iterations=8)
    with pytest.raises(UsageError, match="at iteration 8 already"):
        quick(tmp_path / "run", iterations=7, resume=True)


def test_a_completed_run_resumed_stays_as_it_is_with_its_measures(quick: Quick, tmp_path: Path) -> None:
    done = quick(tmp_path / "run")
    evaluate(done)
    before = {p: p.read_bytes() for p in done.directory.rglob("*") if p.is_file()}
    again = quick(tmp_path / "run", resume=True)
    assert again.result == done.result
    assert {p: p.read_bytes() for p in done.directory.rglob("*") if p.is_file()} == before


def test_resume_in_an_empty_place_begins(quick: Quick, tmp_path: Path) -> None:
    assert quick(tmp_path / "run", iterations=2, resume=True).result["iterations"] == 2


@pytest.mark.parametrize("content", [b"garbage", b"", None], ids=["garbage", "empty", "foreign"])
def test_a_checkpoint_that_is_none_is_refused_and_kept(quick: Quick, tmp_path: Path, content: bytes | None) -> None:
    run = quick(tmp_path / "run", iterations=8)
    path = run.directory / CHECKPOINT
    if content is None:
        torch.save({"something": "else"}, path)
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="not a usable checkpoint"):
        quick(run.directory, resume=True)
    assert path.read_bytes() == before


# Moments


def test_the_callback_sees_the_beginning_and_every_snapshot(quick: Quick, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def callback(iteration: int, method: Method) -> None:
        assert isinstance(method, KMGAN)
        seen.append((iteration, method.iteration))

    quick(tmp_path / "run", snapshots=4, callback=callback)
    assert seen == [(n, n) for n in (0, 5, 10, 15, 20)]


def test_a_resumed_run_calls_back_for_what_is_left(quick: Quick, tmp_path: Path) -> None:
    seen: list[int] = []
    quick(tmp_path / "run", iterations=10)
    quick(tmp_path / "run", snapshots=4, callback=lambda n, _: seen.append(n), resume=True)
    assert seen == [15, 20]


def test_more_snapshots_than_iterations_are_as_many_as_there_are(quick: Quick, tmp_path: Path) -> None:
    seen: list[int] = []
    quick(tmp_path / "run", iterations=3, snapshots=50, callback=lambda n, _: seen.append(n))
    assert seen == [0, 1, 2, 3]


# Divergence


def test_a_loss_that_is_not_finite_stops_the_run_and_is_recorded(quick: Quick, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"not finite at iteration \d+.*recorded as diverged.*no checkpoint yet"):
        quick(tmp_path / "run", learning_rate=1e30)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "diverged"
    assert 1 <= result["diverged_at"] <= 5
    assert not (tmp_path / "run" / CHECKPOINT).exists()


def poison(method: Method) -> None:
    with torch.no_grad():
        for p in method.discriminator_net.parameters():
            p.fill_(float("nan"))


def test_divergence_keeps_the_last_good_checkpoint(quick: Quick, tmp_path: Path) -> None:
    good = quick(tmp_path / "good", iterations=7)
    with pytest.raises(Diverged, match=r"iteration 11: .*the last good checkpoint is .*checkpoint\.pt") as caught:
        quick(tmp_path / "run", callback=lambda n, method: poison(method) if n == 10 else None)
    assert "\n" not in str(caught.value)
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
    assert all(torch.isfinite(t).all() for t in state["method"]["networks"]["discriminator"].values())


# Wrong use writes nothing


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "synthetic/kmgann"}, "unknown preset"),
        ({"profile": "tiny"}, "unknown profile"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**31}, "seed="),
        ({"device": "cuda:99"}, "device cuda:99 is not there"),
        ({"device": "abacus"}, "device abacus is not there"),
        ({"device": "meta"}, "device meta is not there"),
        ({"kk": 3}, "unknown key kk"),
        ({"k": "many"}, "k=many"),
        ({"k": 10_001}, "k=10001"),
        ({"k": 50, "init_images": 40}, "k=50"),
        ({"batch": 10_001}, r"batch=10001 is larger than the data \(10000 images\)"),
        ({"preset": "mnist/kmgan", "profile": "quick"}, "no mnist under"),
        ({"preset": "digits/kmgan", "channels": 3}, "digits has images"),
        ({"preset": "folder:."}, "no images there"),
        ({"preset": "folder:nowhere"}, "no such folder"),
    ],
    ids=str,
)
def test_nothing_is_written_on_wrong_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        train(**{"preset": "synthetic/kmgan", "profile": "smoke", "data_root": tmp_path, **arguments}, out="run")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_k_may_be_as_large_as_the_data(quick: Quick, tmp_path: Path) -> None:
    assert quick(tmp_path / "run", k=40, init_images=40, iterations=1).result["status"] == "completed"


# Your own pictures


@pytest.fixture
def album(tmp_path: Path) -> Path:
    place = tmp_path / "album"
    place.mkdir()
    noise = np.random.default_rng(0)
    modes = ["RGB", "L", "RGBA", "LA", "P", "CMYK", "1"] * 3
    for i, mode in enumerate(modes):
        h, w = noise.integers(5, 60, 2)
        picture = Image.fromarray(noise.integers(0, 256, (h, w, 3), dtype=np.uint8)).convert(mode)
        picture.save(place / f"{i:02}.{'jpg' if mode == 'CMYK' else 'png'}")
    (place / "broken.png").write_bytes((place / "00.png").read_bytes()[:40])
    return place


def test_a_folder_of_mixed_pictures_trains_without_the_broken_one(
    album: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = sorted(p.name for p in album.iterdir())
    with caplog.at_level(logging.WARNING):
        run = train(
            f"folder:{album}", profile="smoke", device="cpu", out=tmp_path / "run", batch=8, iterations=3,
            snapshots=1, image_size=16, k=3, width=0.125, conv_first=16, conv_second=16, feature_dim=8,
        )  # fmt: skip
    assert [str(album / "broken.png") in record.getMessage() for record in caplog.records] == [True]
    assert run.result["status"] == "completed"
    assert run.result["data"]["count"] == 21
    assert load_generator(run.directory).sample(2).shape == (2, 3, 16, 16)
    assert sorted(p.name for p in album.iterdir()) == before


def test_a_folder_has_a_default_directory_below_runs(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (album / "broken.png").unlink()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    run = train(f"folder:{album}", profile="smoke", device="cpu", batch=8, iterations=1, snapshots=1, k=2, width=0.125)
    assert str(run.directory) == "runs/folder/album/smoke-seed0"
