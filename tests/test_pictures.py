from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kmgan_lib.pictures import save_sheet, sheet


def test_tiles_stand_row_by_row_with_white_between() -> None:
    images = torch.arange(5).view(5, 1, 1, 1).expand(5, 1, 2, 3) / 5
    canvas = sheet(images, columns=3)
    assert canvas.shape == (2 * 2 + 1, 3 * 3 + 2, 3)
    assert [canvas[0, x, 0] for x in (0, 4, 8)] == [0, 51, 102]
    assert [canvas[3, x, 0] for x in (0, 4, 8)] == [153, 204, 255]
    assert (canvas[2] == 255).all()
    assert (canvas[:, 3] == 255).all()


def test_a_sheet_is_as_square_as_it_can_be() -> None:
    assert sheet(torch.zeros(9, 1, 4, 4), pad=0).shape == (12, 12, 3)
    assert sheet(torch.zeros(7, 3, 4, 4), pad=0).shape == (12, 12, 3)
    assert sheet(torch.zeros(1, 3, 4, 4), pad=0).shape == (4, 4, 3)


def test_colours_keep_their_order_and_values_out_of_range_are_cut() -> None:
    image = torch.tensor([2.0, 0.5, -1.0]).view(1, 3, 1, 1)
    assert sheet(image).tolist() == [[[255, 128, 0]]]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp"])
def test_a_saved_sheet_reads_back_and_nothing_lies_beside_it(tmp_path: Path, suffix: str) -> None:
    images = torch.rand(4, 3, 8, 8)
    path = save_sheet(images, tmp_path / f"grid{suffix}", zoom=2)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with Image.open(path) as picture:
        assert picture.size == (34, 34)
        if suffix != ".webp":  # which loses a little
            assert np.array_equal(np.asarray(picture)[::2, ::2], sheet(images))
