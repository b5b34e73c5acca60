"""One broken picture among thousands."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kmgan_lib import data


def test_of_two_thousand_pictures_one_that_is_cut_is_named_and_the_others_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2000, 12, 12, 3), dtype=np.uint8)
    for i, picture in enumerate(noise):
        Image.fromarray(picture).save(tmp_path / f"{i:04}.png", compress_level=0)
    broken = tmp_path / "1234.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with caplog.at_level(logging.WARNING):
        images = data.load(f"folder:{tmp_path}", image_size=12)
    (record,) = caplog.records
    assert str(broken) in record.getMessage()
    assert "\n" not in record.getMessage()
    assert len(images) == 1999
    assert "1999 of 2000 files" in images.provenance["source"]
    assert np.array_equal(images.tensor.permute(0, 2, 3, 1).numpy(), np.delete(noise, 1234, axis=0))
