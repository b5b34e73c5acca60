"""Files of data sets from anywhere: read, or refused in one line that names the file."""

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from kmgan_lib.data import readers
from kmgan_lib.data.images import SUFFIXES, Images, folder
from kmgan_lib.errors import UsageError

from ..test_data import idx_bytes
from .conftest import Watch, cases, damaged, refused

PIXELS = (np.arange(3 * 28 * 28) % 10).astype(np.uint8).reshape(3, 28, 28)


@cases(30, damaged(idx_bytes(PIXELS), header=16), st.sampled_from(["images-idx3-ubyte", "images-idx3-ubyte.gz"]))
def test_an_idx_file(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    found = refused(lambda: readers._idx(path, (28, 28)), path)
    assert isinstance(found, UsageError) or found.size <= len(content)


def encoded(size: tuple[int, int], kind: str, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 10, 90)).convert(mode).save(buffer, kind)
    return buffer.getvalue()


INDEX = b"shard,position,partition,source_image\na.jpg,0,train,1.jpg\na.jpg,1,train,2.jpg\nb.jpg,0,test,3.jpg\n"
ATLAS = encoded((25 * 64, 64), "JPEG")


@cases(20, damaged(ATLAS, header=200) | st.just(ATLAS), damaged(INDEX, header=len(INDEX)) | st.just(INDEX))
def test_atlases_of_celeba(tmp_path: Path, content: bytes, index: bytes) -> None:
    (tmp_path / "index.csv").write_bytes(index)
    (tmp_path / "a.jpg").write_bytes(content)
    (tmp_path / "b.jpg").write_bytes(ATLAS)
    refused(lambda: readers.read_face_atlases(tmp_path, "all"), tmp_path)


def test_lists_of_celeba_name_files_of_their_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "img_align_celeba").mkdir()
    (tmp_path / "secret.jpg").write_bytes(encoded((178, 218), "JPEG"))
    for name in ("/etc/hostname", "../secret.jpg", "..", "a\\b.jpg"):
        (tmp_path / "list_eval_partition.txt").write_text(f"{name} 0\n")
        with pytest.raises(UsageError, match="is no file of the folder"):
            readers.read_photographs(tmp_path, "train")
        (tmp_path / "index.csv").write_text(f"shard,partition\n{name},train\n")
        with pytest.raises(UsageError, match="is not the index"):
            readers.read_face_atlases(tmp_path, "train")


OWN = [encoded((9, 5), kind) for kind in ("PNG", "TIFF", "JPEG", "WEBP", "BMP", "PPM", "JPEG2000", "TGA")]
OWN += [encoded((9, 5), kind, mode) for kind, mode in (("PNG", "I;16"), ("PNG", "LA"), ("TIFF", "F"), ("GIF", "P"))]


@cases(60, st.sampled_from(OWN).flatmap(lambda whole: damaged(whole, header=60)), st.sampled_from(sorted(SUFFIXES)))
def test_a_folder_of_pictures(tmp_path: Path, content: bytes, suffix: str) -> None:
    place = tmp_path / "mine"
    place.mkdir(exist_ok=True)
    for old in place.iterdir():
        old.unlink()
    (place / f"x{suffix}").write_bytes(content)
    found = refused(lambda: folder(str(place), image_size=8), place)
    if isinstance(found, Images):
        assert found.tensor.shape[1:] == (3, 8, 8)


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(evil) (w) file closefile\n%%EOF\n"


def test_postscript_by_another_name_starts_no_other_program(tmp_path: Path, watch: Watch) -> None:
    (tmp_path / "x.png").write_bytes(POSTSCRIPT)
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.format == "EPS"  # what Pillow would do with it
    watch.seen.clear()
    with pytest.raises(UsageError, match="none of the 1 images can be read"):
        folder(str(tmp_path))
    assert [event for event, _ in watch.seen if event == "subprocess.Popen"] == []
