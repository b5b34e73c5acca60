"""Runs on images of one's own: handed over in Python, in folders that change or move, and runs that move."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kmgan_lib import data, load_generator, train
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import evaluate
from kmgan_lib.training.run import Run

from .conftest import Command, Quick, contents

SMALL: dict[str, Any] = {
    "profile": "smoke", "device": "cpu", "batch": 4, "iterations": 4, "checkpoint_every": 2, "snapshots": 1, "k": 2,
    "width": 0.125, "feature_dim": 8, "eval_samples": 10,
}  # fmt: skip
CONDITIONAL = {
    **{key: SMALL[key] for key in SMALL if key != "k"},
    "method": "dcgan",
    "conditional": True,
    "image_size": 8,
}


def own(n: int = 12, channels: int = 3, side: int = 16) -> torch.Tensor:
    shape = (n, channels, side, side)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def album(place: Path, n: int = 12) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(own(n)):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(place / f"{i:02d}.png")
    return place


def on_folder(place: Path | str, **changes: Any) -> Run:
    return train(f"folder:{place}", **{**SMALL, "image_size": 16, **changes})


@pytest.mark.parametrize("channels", [1, 3])
def test_a_tensor_trains_is_recorded_by_its_hash_and_measured(tmp_path: Path, channels: int) -> None:
    images = own(channels=channels)
    run = train(images=images, out=tmp_path / "run", **SMALL)
    same = data.load(images)
    assert data.load(images.numpy()[..., ::-1]).tensor.equal(images.flip(-1))  # which PyTorch alone refuses
    kept = np.broadcast_to(images.numpy(), images.shape)  # of which it warns, for nobody may write to it
    for kind in ("u2", "u4", "u8", "?"):
        assert data.load(kept, labels=np.ones(12, kind)).labels.tolist() == [1] * 12  # pyright: ignore[reportOptionalMemberAccess]
    assert run.images is not None
    assert run.images.tensor.equal(same.tensor)
    assert run.result["data"] == same.provenance
    assert run.preset.dataset == f"images:{same.provenance['sha256'][:12]}"
    assert (run.preset.channels, run.preset.image_size, run.preset.method) == (channels, 16, "kmgan")
    assert load_generator(run.directory).sample(2).shape == (2, channels, 16, 16)
    assert list(evaluate(run)) == ["centers", "interpolation"]
    assert list(evaluate(run, everything=True)) == ["centers", "memorisation", "interpolation", "kmeans_cost"]


def test_a_run_on_a_tensor_is_resumed_and_measured_by_handing_it_over_again(tmp_path: Path) -> None:
    whole = on_folder(album(tmp_path / "album"), out=tmp_path / "whole")  # the same images train alike
    train(images=own(), out=tmp_path / "run", **{**SMALL, "iterations": 2})
    run = train(images=own() / 255, out=tmp_path / "run", resume=True, **SMALL)
    assert run.generator.sample(3).equal(whole.generator.sample(3))
    again = Run.open(tmp_path / "run")
    with pytest.raises(UsageError, match="is not kept: pass it again"):
        evaluate(again, only=["memorisation"])
    again.images = data.load(own())
    assert evaluate(again, only=["memorisation"])["memorisation"]["training_samples"] == 12


def test_images_are_resized_and_labels_reach_the_method(tmp_path: Path) -> None:
    run = train(images=own(side=20), labels=torch.arange(12) % 3, out=tmp_path / "run", **CONDITIONAL)
    assert run.generator.sample(1).shape == (1, 3, 8, 8)


def test_wrong_use_writes_nothing(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "give either a preset"), ({"preset": "digits/kmgan", "images": own()}, "give either a preset"),
        ({"images": own(side=18)}, "image_size=18 must be a multiple of 4"),
        ({"images": own(), "channels": 1}, "has images"),
        ({"images": own(), "labels": ["a"] * 12}, "images and labels must be numbers"),
        *(({"images": own(), "labels": np.full(12, x)}, "whole numbers, at least 0") for x in (-1, 0.5, 1j)),
        ({"images": own().numpy().astype(object)}, "images and labels must be numbers"),
        ({"images": own(), "labels": torch.arange(12), "grouping": "true"}, "grouping=true needs k of at least 12"),
        ({"images": own(), "labels": torch.arange(12), **CONDITIONAL}, "conditional=true knows 10 classes"),
        ({"images": own(), **CONDITIONAL}, "has no labels"),
        *(({"images": own(), "seed": seed}, f"seed={seed} must be a whole number") for seed in (1.0, "1", -1)),
    ]  # fmt: skip
    for arguments, message in wrong:
        settings = {} if "method" in arguments else SMALL
        with pytest.raises(UsageError, match=message):
            train(**arguments, out=tmp_path / "run", **settings)
    assert list(tmp_path.iterdir()) == []


def test_the_advice_for_few_images_works(tmp_path: Path) -> None:
    few = {**SMALL, "k": 1, "out": tmp_path / "run"}
    for count, advice in ((1, r"1 image\): a training needs at least two$"), (2, r"2 images\): --set batch=2$")):
        with pytest.raises(UsageError, match=advice):
            train(images=own(count), **few)
    assert train(images=own(2), **{**few, "batch": 2}).result["status"] == "completed"


def test_images_that_changed_are_refused_on_resume(tmp_path: Path) -> None:
    place = album(tmp_path / "album")
    run = on_folder(place, out=tmp_path / "run")
    before = contents(run.directory)
    Image.new("RGB", (16, 16), "red").save(place / "03.png")
    for _ in range(2):
        said = r"trained on other data .*12 images, SHA-256 .*use the former"
        with pytest.raises(UsageError, match=said) as caught:
            on_folder(place, out=tmp_path / "run", resume=True, iterations=8)
        assert run.result["data"]["sha256"][:12] in str(caught.value)
        (place / "05.png").unlink(missing_ok=True)
    assert contents(run.directory) == before


def test_a_relative_folder_holds_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    album(tmp_path / "here" / "album")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run = on_folder("album", out=tmp_path / "run")
    assert f"folder:{tmp_path / 'here' / 'album'}" in run.result["command"]
    assert str(tmp_path) not in json.dumps(run.preset.as_dict())  # which goes with every generator
    monkeypatch.chdir(tmp_path / "there")
    assert evaluate(Run.open(tmp_path / "run"), only=["memorisation"])
    again = on_folder(f"..{os.sep}here{os.sep}album", out=tmp_path / "run", resume=True, iterations=6)
    assert again.result["iterations"] == 6


def test_directories_by_default_and_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kmgan: Command) -> None:
    home = album(tmp_path / "album")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    first = on_folder(".")
    assert str(first.directory) == "runs/folder/album/smoke-seed0"
    second = on_folder("~")  # its own samples are below the folder now
    assert second.result["data"]["sha256"] == first.result["data"]["sha256"]
    assert str(second.directory) == "runs/folder/album/smoke-seed0-2"
    third = on_folder(".", out="~/mine")
    assert third.directory == home / "mine"
    assert Run.open("~/mine").result == third.result
    album(home / "more")
    assert str(on_folder("more/..").directory) == "runs/folder/album/smoke-seed0-3"
    assert kmgan("sample", "~/mine", "-n", "4", "-o", "~/grid.png")[0] == 0
    assert (home / "grid.png").is_file()


def test_images_that_are_all_alike_are_measured(tmp_path: Path, kmgan: Command) -> None:
    for image in album(tmp_path / "album").iterdir():
        Image.new("RGB", (16, 16)).save(image)
    run = on_folder(tmp_path / "album", out=tmp_path / "run")
    status, out, _ = kmgan("evaluate", str(run.directory), "--only", "memorisation", "--only", "interpolation")
    assert status == 0
    assert "value none" in out  # as 0 / 0 is


def test_a_run_that_is_moved_zipped_and_unpacked_goes_on(tmp_path: Path, quick: Quick) -> None:
    whole = quick(tmp_path / "whole", iterations=8)
    run, moved = quick(tmp_path / "run", iterations=4), tmp_path / "another name"
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", run.directory)
    shutil.rmtree(run.directory)
    for call in (Run.open, load_generator):
        with pytest.raises(UsageError, match=r"packed\.zip"):
            call(packed)
    shutil.unpack_archive(packed, moved)
    assert Run.open(moved).result["iterations"] == 4
    assert quick(moved, iterations=8, resume=True).generator.sample(3).equal(whole.generator.sample(3))


def test_a_finished_run_without_its_checkpoint_is_not_begun_anew(quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run", iterations=4)
    (run.directory / "checkpoint.pt").unlink()
    before = contents(run.directory)
    with pytest.raises(UsageError, match=r"is finished, and its checkpoint\.pt is gone"):
        quick(run.directory, iterations=8, resume=True)
    assert contents(run.directory) == before
