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


def of_every_kind() -> dict[str, tuple[Image.Image, tuple[int, ...], dict[str, Any]]]:
    """Images of every size and mode by file name, the one colour that each should come out as, and options to save."""
    red, green, blue, white, grey = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3, (128,) * 3
    palette = Image.new("P", (33, 20), 1)
    palette.putpalette([0, 0, 0, 0, 255, 0])
    frames = [Image.new("RGB", (16, 16), colour) for colour in (blue, (255, 255, 0))]
    return {
        "a-rgb.png": (Image.new("RGB", (40, 40), red), red, {}),
        "b-rgba-clear.png": (Image.new("RGBA", (64, 10), (*red, 0)), white, {}),
        "c-rgba-solid.png": (Image.new("RGBA", (9, 70), (*blue, 255)), blue, {}),
        "d-palette.png": (palette, green, {}),
        "deeper/l-large.webp": (Image.new("RGB", (300, 200), green), green, {"lossless": True}),
        "e-palette-clear.png": (palette, white, {"transparency": 1}),
        "f-16bit.png": (Image.fromarray(np.full((30, 30), 32768, np.uint16)), grey, {}),
        "g-grey.png": (Image.new("L", (1, 1), 128), grey, {}),
        "h-cmyk.JPEG": (Image.new("CMYK", (50, 20), (0, 255, 255, 0)), red, {"quality": 100}),
        "i-la-clear.png": (Image.new("LA", (20, 50), (0, 0)), white, {}),
        "j-animated.gif": (frames[0], blue, {"save_all": True, "append_images": frames[1:]}),
        "k-bilevel.tif": (Image.new("1", (12, 12), 1), white, {}),
    }


def test_pictures_of_every_size_and_mode_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    album, kinds = tmp_path / "album", of_every_kind()
    (album / "deeper").mkdir(parents=True)
    (album / "notes.txt").write_text("no picture")
    for name, (image, _, options) in kinds.items():
        image.save(album / name, **options)
    images = load(album)
    assert images.labels is None
    assert images.tensor.is_contiguous()
    assert str(tmp_path) not in str(images.provenance)
    colours = torch.tensor([colour for _, colour, _ in kinds.values()], dtype=torch.uint8)
    expected = colours[:, :, None, None].expand(-1, -1, 8, 8)
    torch.testing.assert_close(images.tensor, expected, rtol=0, atol=3)
    assert not caplog.records
    assert load(album, channels=1).tensor.shape == (len(kinds), 1, 8, 8)


def test_a_picture_gives_its_central_square_turned_as_its_camera_says(tmp_path: Path) -> None:
    top_white = np.zeros((10, 30, 3), np.uint8)
    top_white[:5, 10:20] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(top_white).save(tmp_path / "turned.png", exif=exif)
    assert load(tmp_path, image_size=10).tensor[0].tolist() == [[[0] * 10] * 5 + [[255] * 10] * 5] * 3


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


def test_what_is_no_folder_of_images_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken").mkdir()
    Path("broken/x.png").write_bytes(b"x")
    Path("empty").mkdir()
    wrong = dict.fromkeys(("nowhere", "broken/x.png", "", " ", "~nobody-of-this-name/x"), "no such folder")
    for place, said in {**wrong, tmp_path / "empty": "no images there", "broken": "none of the 1 images can"}.items():
        with pytest.raises(UsageError, match=said):
            load(place)


def test_what_has_no_sensible_range_is_left_out_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    flat(tmp_path / "a.png")
    for kind, low, high in ((np.float32, -1, 1), (np.float32, 0, 4), (np.int32, -500, 300), (np.int32, 0, 70_000)):
        Image.fromarray(np.tile(np.linspace(low, high, 8), (8, 1)).astype(kind)).save(tmp_path / "b.tif")
        caplog.clear()
        assert greys(load(tmp_path)) == [100]
        (said,) = caplog.messages
        assert said.startswith(f"left out {tmp_path / 'b.tif'}: ")


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


def test_linked_folders_are_read_and_a_loop_of_links_ends(tmp_path: Path) -> None:
    flat(tmp_path / "elsewhere" / "one.png")
    flat(tmp_path / "album" / "b" / "two.png", 50)
    (tmp_path / "album" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "album" / "b" / "again").symlink_to(tmp_path / "album")
    images = load(tmp_path / "album")
    assert (greys(images), images.classes) == ([100, 50], ("a", "b"))


def test_folders_side_by_side_are_classes(tmp_path: Path) -> None:
    for name in ("dogs/a.png", "cats/b.png", "dogs/deeper/c.png"):
        flat(tmp_path / name)
    images = load(tmp_path)
    assert images.classes == ("cats", "dogs")
    assert torch.as_tensor(images.labels).tolist() == [0, 1, 1]
    flat(tmp_path / "z.png")
    assert load(tmp_path).labels is None
    assert load(tmp_path / "dogs").labels is None  # one folder is no class
