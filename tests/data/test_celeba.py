from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kmgan_lib import data
from kmgan_lib.data.images import Images
from kmgan_lib.errors import UsageError

from .conftest import splits, write_atlas

NAMES = {"000001.jpg": 0, "000002.jpg": 2, "000003.jpg": 1, "000004.jpg": 0, "000005.jpg": 0}
ORDER = [[1, 4, 5], [2], [1, 4, 5, 3, 2]]  # of train, test and all
GREY = 40  # times its number: the grey value by which a made face is known again


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Torchvision's layout: 178x218 pictures, grey in their central 108x108 pixels and white around them."""
    place = tmp_path / "root" / "celeba"
    (place / "img_align_celeba").mkdir(parents=True)
    for name in NAMES:
        pixels = np.full((218, 178, 3), 255, np.uint8)
        pixels[55:163, 35:143] = GREY * int(name[:6])
        Image.fromarray(pixels).save(place / "img_align_celeba" / name, quality=100, subsampling=0)
    lines = "".join(f"{name} {code}\n" for name, code in NAMES.items())
    (place / "list_eval_partition.txt").write_text(lines)
    return place


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Atlases of 64x64 faces, 25 to a row: 30 of train in two files, 2 of valid, 3 of test; each of one grey value."""
    place = tmp_path / "root" / "celeba64"
    place.mkdir(parents=True)
    lines, value = ["shard,position,partition,source_image,identity"], 0
    for shard, count in {"train-00.jpg": 27, "train-01.jpg": 3, "valid-00.jpg": 2, "test-00.jpg": 3}.items():
        faces = np.ones((count, 64, 64, 3)) * (6 * np.arange(value, value + count) + 10)[:, None, None, None]
        write_atlas(place / shard, faces, 25, quality=95, subsampling=0)
        lines += [f"{shard},{i},{shard.partition('-')[0]},{value + i:06d}.jpg,{value + i}" for i in range(count)]
        value += count
    (place / "index.csv").write_text("\n".join(lines) + "\n")
    return place


def known(faces: Images, values: list[int], tolerance: int, border: int = 0) -> None:
    """The faces are those of these grey values, and have no labels."""
    assert faces.labels is None
    assert faces.tensor.shape == (len(values), 3, 64, 64)
    assert faces.tensor.is_contiguous()
    inner = faces.tensor[:, :, border : 64 - border, border : 64 - border].int()
    assert (inner - torch.tensor(values)[:, None, None, None]).abs().max() <= tolerance


def test_photographs_are_cropped_to_108_and_split_by_the_list(photographs: Path) -> None:
    for faces, order in zip(splits("celeba", root=photographs.parent), ORDER, strict=True):
        known(faces, [GREY * number for number in order], tolerance=4, border=1)  # nothing of the white
        assert faces.provenance["source"] == "data root, celeba (central 108x108 pixels, resized to 64x64)"


def test_a_missing_or_broken_photograph_and_a_garbled_list_are_named(photographs: Path) -> None:
    broken = photographs / "img_align_celeba" / "000004.jpg"
    for harm in (lambda: broken.write_bytes(b"no picture"), broken.unlink):
        harm()
        with pytest.raises(UsageError, match=r"000004\.jpg is not a photograph"):
            data.load("celeba", root=photographs.parent)
    for line in ("000001.jpg", "000001.jpg 7", "a b c"):
        (photographs / "list_eval_partition.txt").write_text(line + "\n")
        with pytest.raises(UsageError, match=r"is not the list of partitions"):
            data.load("celeba", root=photographs.parent)


def test_shards_are_read_in_order_without_labels(shards: Path) -> None:
    expected = (range(30), range(32, 35), range(35))
    for faces, values in zip(splits("celeba", root=shards.parent), expected, strict=True):
        known(faces, [6 * value + 10 for value in values], tolerance=3)
        end = f"central 178x178, not the 108 crop; a part of the data set, {len(values)} images)"
        assert faces.provenance["source"].endswith(end)


def test_photographs_are_preferred_to_shards(photographs: Path, shards: Path) -> None:
    assert data.find("celeba", root=shards.parent) == ("data root", photographs)


def test_a_broken_atlas_and_a_broken_index_are_named(shards: Path) -> None:
    atlas = shards / "train-01.jpg"
    small = atlas.with_name("small.jpg")
    Image.new("RGB", (64, 64)).save(small)
    for harm in (lambda: atlas.write_bytes(b"no picture"), lambda: small.replace(atlas), atlas.unlink):
        harm()
        with pytest.raises(UsageError, match=r"train-01\.jpg is not an atlas"):
            data.load("celeba", root=shards.parent)
    (shards / "index.csv").write_text("shard,position\ntrain-00.jpg,0\n")
    with pytest.raises(UsageError, match=r"index\.csv is not the index"):
        data.load("celeba", root=shards.parent)
