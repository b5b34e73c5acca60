"""Images that are handed over in Python: tensors, arrays and data sets of PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

from kmgan_lib import data
from kmgan_lib.data.images import Images
from kmgan_lib.errors import UsageError

BYTES = torch.randint(0, 256, (6, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


class Items(Dataset[Any]):
    """A list as a data set."""

    def __init__(self, items: list[Any], classes: list[str] | None = None):
        self.items = items
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


PICTURES = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in BYTES]


@pytest.mark.parametrize(
    "images",
    [
        BYTES, BYTES.numpy(), BYTES / 255, (BYTES / 255).double(), (BYTES / 255).numpy(), Items(list(BYTES)),
        Items(list(BYTES / 255)), Items(list(BYTES.numpy())), Items(PICTURES), TensorDataset(BYTES),
        BYTES.flip(3).flip(3), BYTES.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
        (BYTES / 255).requires_grad_(),
    ],
    ids=range(13),
)  # fmt: skip
def test_the_same_images_are_the_same_data_in_any_form(images: Any) -> None:
    found, expected = data.load(images), data.load(BYTES)
    assert found.tensor.equal(BYTES)
    assert found.tensor.is_contiguous()
    assert found.labels is None
    assert found.provenance["sha256"] == expected.provenance["sha256"]
    assert found.provenance["name"] == f"images:{found.provenance['sha256'][:12]}"
    assert (found.provenance["kind"], found.provenance["count"], found.provenance["split"]) == ("images", 6, "all")


@pytest.mark.parametrize("labels", [[0, 1, 2, 0, 1, 2], torch.arange(6) % 3, (np.arange(6) % 3).astype(np.uint8)])
def test_labels_come_beside_or_from_the_data_set(labels: Any) -> None:
    pairs = Items([(image, int(y)) for image, y in zip(PICTURES, labels, strict=True)], classes=["a", "b", "c"])
    for found in (data.load(BYTES, labels=labels), data.load(pairs), data.load(TensorDataset(BYTES, torch.arange(6)))):
        assert found.labels is not None
        assert found.labels.dtype == torch.int64
    assert data.load(pairs).classes == ("a", "b", "c")
    assert data.load(pairs).labels.equal(torch.arange(6) % 3)  # pyright: ignore[reportOptionalMemberAccess]
    assert data.load(pairs, labels=[5] * 6).labels.equal(torch.full((6,), 5))  # pyright: ignore


def test_data_of_the_library_pass_through() -> None:
    digits = data.load("digits")
    assert data.load(digits).tensor is digits.tensor
    assert data.load(digits).provenance == digits.provenance
    assert data.load(Images(BYTES, None)).provenance["kind"] == "images"
    with pytest.raises(UsageError, match=r"images are \(10000, 100\)"):
        data.load(data.load("synthetic"))


def test_another_size_is_cut_resized_and_said() -> None:
    wide = torch.zeros(2, 1, 8, 20, dtype=torch.uint8)
    wide[..., 6:14] = 200
    found = data.load(wide, image_size=4)
    assert found.tensor.equal(torch.full((2, 1, 4, 4), 200, dtype=torch.uint8))
    assert "cut to the central square, resized from 8 to 4 pixels (bilinear)" in found.provenance["source"]
    assert data.load(wide, image_size=8).provenance["sha256"] != data.load(wide).provenance["sha256"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (BYTES[0], r"images are .*\(3, 8, 8\)"),
        (BYTES.permute(0, 2, 3, 1), r"images are .*\(6, 8, 8, 3\)"),
        (BYTES[:, :2], r"images are .*\(6, 2, 8, 8\)"),
        (BYTES[:0], r"images are .*\(0, 3, 8, 8\)"),
        (BYTES.int(), "images are torch.int32"),
        (BYTES / 255 * 2 - 1, "or have other values"),
        (BYTES.float(), "or have other values"),
        (torch.full((1, 1, 8, 8), torch.nan), "or have other values"),
        ([[1, 2], [3]], "images are a list"),
        (None, "images are a NoneType"),
        (7, r"images are .*\(\)"),
        (np.array(["a"]), "images are a ndarray"),
        (Items([]), "images are a Items"),
        (Items([BYTES[0], BYTES[0, :, :4]]), "equal size"),
        (Items([PICTURES[0], PICTURES[0].convert("L")]), "equal size"),
    ],
    ids=range(15),
)
def test_other_things_are_one_line(images: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        data.load(images)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("labels", [[0] * 5, [0.5] * 6, [-1] * 6, [[0]] * 6, ["a"] * 6, 3])
def test_other_labels_are_one_line(labels: Any) -> None:
    with pytest.raises(UsageError, match="labels are"):
        data.load(BYTES, labels=labels)


def test_images_of_another_process_are_asked_for_again() -> None:
    with pytest.raises(UsageError, match=r"images:0123456789ab: .* are not kept"):
        data.load("images:0123456789ab")
    with pytest.raises(UsageError, match="channels=1"):
        data.load(BYTES, channels=1)
