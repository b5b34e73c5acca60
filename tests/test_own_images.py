"""Runs on images of one's own: handed over in Python, in folders that change or move, and runs that move."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from kmgan_lib import data, load_generator, train
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import evaluate
from kmgan_lib.training.run import Run

from .conftest import Command, Quick

SMALL: dict[str, Any] = {
    "profile": "smoke", "device": "cpu", "batch": 4, "iterations": 4, "checkpoint_every": 2, "snapshots": 1, "k": 2,
    "width": 0.125, "feature_dim": 8, "eval_samples": 10,
}  # fmt: skip


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
    assert run.images is not None
    assert run.images.tensor.equal(same.tensor)
    assert run.result["data"] == same.provenance
    assert run.preset.dataset == f"images:{same.provenance['sha256'][:12]}"
    assert (run.preset.channels, run.preset.image_size, run.preset.method) == (channels, 16, "kmgan")
    assert load_generator(run.directory).sample(2).shape == (2, channels, 16, 16)
    assert "memorisation" in evaluate(run, only=["memorisation"])


def test_a_folder_and_the_same_images_in_python_train_alike(tmp_path: Path) -> None:
    one = on_folder(album(tmp_path / "album"), out=tmp_path / "one")
    two = train(images=own(), out=tmp_path / "two", **SMALL)
    assert one.result["data"]["sha256"] == two.result["data"]["sha256"]
    assert one.generator.sample(3).equal(two.generator.sample(3))


def test_a_run_on_a_tensor_is_resumed_and_measured_by_handing_it_over_again(tmp_path: Path) -> None:
    whole = train(images=own(), out=tmp_path / "whole", **SMALL)
    train(images=own(), out=tmp_path / "run", **{**SMALL, "iterations": 2})
    run = train(images=own() / 255, out=tmp_path / "run", resume=True, **SMALL)
    assert run.generator.sample(3).equal(whole.generator.sample(3))
    again = Run.open(tmp_path / "run")
    with pytest.raises(UsageError, match="is not kept: hand it over again"):
        evaluate(again, only=["memorisation"])
    again.images = data.load(own())
    assert evaluate(again, only=["memorisation"])["memorisation"]["training_samples"] == 12
    with pytest.raises(UsageError, match="other data"):
        train(images=own().flip(0), out=tmp_path / "run", resume=True, **{**SMALL, "iterations": 6})


def test_images_are_resized_and_labels_reach_the_method(tmp_path: Path) -> None:
    settings = {**SMALL, "method": "dcgan", "conditional": True, "image_size": 8}
    del settings["k"]
    run = train(images=own(side=20), labels=torch.arange(12) % 3, out=tmp_path / "run", **settings)
    assert run.generator.sample(1).shape == (1, 3, 8, 8)
    with pytest.raises(UsageError, match="conditional=true knows 10 classes"):
        train(images=own(), labels=torch.arange(12), out=tmp_path / "other", **settings)
    with pytest.raises(UsageError, match="has no labels"):
        train(images=own(), out=tmp_path / "other", **settings)
    assert not (tmp_path / "other").exists()


def test_wrong_use_writes_nothing(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "give a preset, or images"), ({"preset": "digits/kmgan", "images": own()}, "give a preset, or images"),
        ({"images": own()[..., :12]}, r"images are .*\(12, 3, 16, 12\)"),
        ({"images": own(side=18)}, "image_size=18 must be a multiple of 4"),
        ({"images": own(), "channels": 1}, "has images"),
        ({"images": own(2)}, "batch=4 is larger than the data"), ({"images": "digits"}, "images are a str"),
        ({"images": own(), "image_size": "wide"}, "image_size=wide: image_size must be a whole number"),
        ({"images": own(), "labels": ["a"] * 12}, "images and labels must be numbers"),
        ({"images": own().numpy().astype(object)}, "images and labels must be numbers"),
        (
            {"images": own(), "labels": torch.arange(12), "grouping": "true"},
            "grouping=true needs k of at least 12",
        ),
    ]  # fmt: skip
    for arguments, message in wrong:
        with pytest.raises(UsageError, match=message):
            train(**arguments, out=tmp_path / "run", **SMALL)
    assert list(tmp_path.iterdir()) == []


def changed(place: Path, how: str) -> None:
    files = sorted(place.iterdir())
    if how == "other content":
        Image.new("RGB", (16, 16), "red").save(files[3])
    else:
        for file in files[:6]:
            file.unlink()


@pytest.mark.parametrize("how", ["other content", "half deleted"])
def test_images_that_changed_are_refused_on_resume(tmp_path: Path, how: str) -> None:
    place = album(tmp_path / "album")
    run = on_folder(place, out=tmp_path / "run")
    before = {p: p.read_bytes() for p in run.directory.rglob("*") if p.is_file()}
    changed(place, how)
    said = r"trained on other data .*12 images, SHA-256 .*bring those back"
    with pytest.raises(UsageError, match=said) as caught:
        on_folder(place, out=tmp_path / "run", resume=True, iterations=8)
    assert run.result["data"]["sha256"][:12] in str(caught.value)
    assert {p: p.read_bytes() for p in run.directory.rglob("*") if p.is_file()} == before


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


@pytest.mark.parametrize("name", [".", "~"])
def test_a_default_directory_is_named_after_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HOME", str(album(tmp_path / "album")))
    monkeypatch.chdir(tmp_path / "album")
    first = on_folder(name)
    assert str(first.directory) == "runs/folder/album/smoke-seed0"
    second = on_folder(name)  # its own samples are below the folder now
    assert second.result["data"]["sha256"] == first.result["data"]["sha256"]
    assert str(second.directory) == "runs/folder/album/smoke-seed0-2"


def test_a_tilde_makes_no_folder_of_that_name(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kmgan: Command
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    run = quick(Path("~") / "mine", "digits/kmgan", iterations=1, snapshots=1)
    assert run.directory == tmp_path / "mine"
    assert Run.open("~/mine").seed == 0
    assert load_generator("~/mine").preset == run.preset
    assert kmgan("sample", "~/mine", "-n", "4", "-o", "~/grid.png")[0] == 0
    assert (tmp_path / "grid.png").is_file()
    (tmp_path / "records").mkdir()
    assert f"0 records in {tmp_path / 'records'} are sound" in kmgan("records", "check", "--results=~/records")[1]
    assert list(Path().iterdir()) == []


def test_a_run_that_is_moved_zipped_and_unpacked_goes_on(tmp_path: Path, quick: Quick) -> None:
    whole = quick(tmp_path / "whole", iterations=8)
    quick(tmp_path / "run", iterations=4)
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    for call in (Run.open, load_generator):
        with pytest.raises(UsageError, match=r"packed\.zip"):
            call(packed)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "another name")
    assert Run.open(tmp_path / "another name").result["iterations"] == 4
    run = quick(tmp_path / "another name", iterations=8, resume=True)
    assert run.generator.sample(3).equal(whole.generator.sample(3))


def test_a_finished_run_without_its_checkpoint_is_not_begun_anew(quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run", iterations=4)
    (run.directory / "checkpoint.pt").unlink()
    before = {p: p.read_bytes() for p in run.directory.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match=r"is finished, and its checkpoint\.pt is gone"):
        quick(run.directory, iterations=8, resume=True)
    assert {p: p.read_bytes() for p in run.directory.rglob("*") if p.is_file()} == before


def test_the_config_of_another_version_is_one_line(quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run", iterations=4)
    path = run.directory / "config.json"
    whole = path.read_text()
    changes: dict[str, Callable[[Any], Any]] = {
        "trained with k=nothing": lambda c: c["preset"].pop("k"),
        "profile=None, not smoke": lambda c: c.pop("profile"),
        "no sensible preset": lambda c: c.update(preset=None),
        "no sensible preset or data": lambda c: c.update(data="points"),
    }
    for message, change in changes.items():
        config = json.loads(whole)
        change(config)
        path.write_text(json.dumps(config))
        with pytest.raises(UsageError, match=message):
            quick(run.directory, iterations=8, resume=True)


def test_a_path_that_is_no_preset_is_said_to_be_a_folder(kmgan: Command, tmp_path: Path) -> None:
    album(tmp_path / "pics")
    for path in (str(tmp_path / "pics"), f"..{os.sep}pics"):
        status, out, err = kmgan("train", path)
        assert (status, out) == (2, "")
        assert f"did you mean folder:{path}?" in err
    assert "did you mean mnist/kmgan?" in kmgan("train", "mnist/kmgam")[2]
    assert kmgan("train", "folder:")[0] == 2
    assert list(Path().iterdir()) == []
