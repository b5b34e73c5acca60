"""Folders of images: what is read of them, how, and what is left out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kmgan_lib import data
from kmgan_lib.data.images import Images
from kmgan_lib.errors import UsageError


def load(place: Path | str, **options: Any) -> Images:
    return data.load(f"folder:{place}", **{"image_size": 8, **options})


def flat(path: Path, value: int = 100, side: int = 8) -> Path:
    """An RGB image of one grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (value,) * 3).save(path)
    return path


def greys(images: Images) -> list[int]:
    """The middle pixel of each image."""
    return images.tensor[:, 0, 4, 4].tolist()


COLOURS = {
    "a-rgb": (255, 0, 0), "b-rgba-clear": (255, 255, 255), "c-rgba-solid": (0, 0, 255), "d-palette": (0, 255, 0),
    "e-palette-clear": (255, 255, 255), "f-16bit": (128, 128, 128), "g-grey": (128, 128, 128), "h-cmyk": (255, 0, 0),
    "i-la-clear": (255, 255, 255), "j-animated": (0, 0, 255), "k-bilevel": (255, 255, 255),
    "deeper/l-large": (0, 255, 0),
}  # fmt: skip


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Pictures of every size and mode, all of them one colour so that it can be recognised, in one subfolder too."""
    place = tmp_path / "album"
    (place / "deeper").mkdir(parents=True)
    Image.new("RGB", (40, 40), (255, 0, 0)).save(place / "a-rgb.png")
    Image.new("RGBA", (64, 10), (255, 0, 0, 0)).save(place / "b-rgba-clear.png")
    Image.new("RGBA", (9, 70), (0, 0, 255, 255)).save(place / "c-rgba-solid.png")
    palette = Image.new("P", (33, 20), 1)
    palette.putpalette([0, 0, 0, 0, 255, 0])
    palette.save(place / "d-palette.png")
    palette.save(place / "e-palette-clear.png", transparency=1)
    Image.fromarray(np.full((30, 30), 32768, np.uint16)).save(place / "f-16bit.png")
    Image.new("L", (1, 1), 128).save(place / "g-grey.png")
    Image.new("CMYK", (50, 20), (0, 255, 255, 0)).save(place / "h-cmyk.JPEG", quality=100)
    Image.new("LA", (20, 50), (0, 0)).save(place / "i-la-clear.png")
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((0, 0, 255), (255, 255, 0))]
    frames[0].save(place / "j-animated.gif", save_all=True, append_images=frames[1:])
    Image.new("1", (12, 12), 1).save(place / "k-bilevel.tif")
    Image.new("RGB", (300, 200), (0, 255, 0)).save(place / "deeper" / "l-large.webp", lossless=True)
    (place / "notes.txt").write_text("no picture")
    return place


def test_pictures_of_every_size_and_mode_are_read(album: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = load(album)
    assert images.labels is None
    assert images.tensor.shape == (len(COLOURS), 3, 8, 8)
    assert images.tensor.dtype == torch.uint8
    assert images.tensor.is_contiguous()
    assert str(album.parent) not in str(images.provenance)
    names = sorted(str(p.relative_to(album).with_suffix("")) for p in album.rglob("*.*") if p.suffix != ".txt")
    for name, picture in zip(names, images.tensor.int(), strict=True):
        off = (picture - torch.tensor(COLOURS[name]).view(3, 1, 1)).abs().max()
        assert off <= 3, name
    assert not caplog.records
    assert load(album, channels=1).tensor.shape == (len(COLOURS), 1, 8, 8)


def test_a_folder_gives_the_central_square(tmp_path: Path) -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert (load(tmp_path, image_size=10).tensor == 255).all()


def test_a_photograph_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    top_white = np.zeros((8, 8, 3), np.uint8)
    top_white[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(top_white).save(tmp_path / "turned.png", exif=exif)
    picture = load(tmp_path).tensor[0]
    assert (picture[:, :4] == 0).all()
    assert (picture[:, 4:] == 255).all()


def test_a_broken_file_is_named_in_a_warning_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = flat(tmp_path / "a.png").read_bytes()
    broken = {"empty.png": b"", "text.jpg": b"no picture at all", "cut.png": good[: len(good) // 2]}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    images = load(tmp_path)
    assert greys(images) == [100]
    assert images.provenance["source"].startswith("1 of 4 files")
    assert all(any(str(tmp_path / name) in message for message in caplog.messages) for name in broken)
    for i in range(25):
        (tmp_path / f"z{i}.png").write_bytes(b"")
    caplog.clear()
    load(tmp_path)
    assert len(caplog.records) == 11
    assert caplog.messages[-1] == "left out 18 more files that cannot be read"


def test_an_empty_folder_a_file_and_a_folder_of_broken_images_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no images there"):
        data.load(f"folder:{tmp_path}")
    with pytest.raises(UsageError, match="no such folder"):
        data.load(f"folder:{tmp_path / 'nowhere'}")
    (tmp_path / "broken.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="none of the 1 images can be read"):
        data.load(f"folder:{tmp_path}")
    with pytest.raises(UsageError, match="no such folder"):
        data.load(f"folder:{tmp_path / 'broken.png'}")


@pytest.mark.parametrize(
    ("kind", "low", "high"), [(np.float32, -1, 1), (np.float32, 0, 4), (np.int32, -500, 300), (np.int32, 0, 70_000)]
)
def test_what_has_no_sensible_range_is_left_out_by_name(
    tmp_path: Path, kind: type, low: float, high: float, caplog: pytest.LogCaptureFixture
) -> None:
    flat(tmp_path / "a.png")
    Image.fromarray(np.tile(np.linspace(low, high, 8), (8, 1)).astype(kind)).save(tmp_path / "b.tif")
    assert greys(load(tmp_path)) == [100]
    (record,) = caplog.records
    assert record.getMessage().startswith(f"left out {tmp_path / 'b.tif'}: ")


def test_hidden_and_system_folders_are_skipped_silently(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    flat(tmp_path / "a" / "one.png")
    for place in (".ipynb_checkpoints", "@eaDir", "a/@eaDir", "__MACOSX", ".git/x"):
        flat(tmp_path / place / "other.png", 0)
    for name in ("._one.png", ".DS_Store", "notes.txt"):
        (tmp_path / "a" / name).write_bytes(b"no image")
    images = load(tmp_path)
    assert greys(images) == [100]
    assert not caplog.records
    assert images.provenance["source"].startswith("1 of 1 files")
    assert len(load(tmp_path / ".git")) == 1  # one that is named is read


def test_folders_side_by_side_are_classes(tmp_path: Path) -> None:
    for name in ("dogs/a.png", "cats/b.png", "dogs/deeper/c.png"):
        flat(tmp_path / name)
    images = load(tmp_path)
    assert images.classes == ("cats", "dogs")
    assert images.labels is not None
    assert images.labels.tolist() == [0, 1, 1]
    flat(tmp_path / "z.png")
    assert load(tmp_path).labels is None
    assert load(tmp_path / "dogs").labels is None  # one folder is no class


def test_no_place_at_all_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(flat(tmp_path / "a.png").parent)
    for name in ("", " ", "~nobody-of-this-name/x"):
        with pytest.raises(UsageError, match="no such folder"):
            load(name)
