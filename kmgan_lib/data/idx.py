"""MNIST's file format: big-endian header words, then bytes; plain or gzipped, read in place."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from kmgan_lib.errors import UsageError

MAX_BYTES = 1 << 28  # six times MNIST: a header that promises more is garbled, or a bomb


def read_idx(path: Path) -> tuple[Tensor, str]:
    """Read one IDX file of unsigned bytes.

    Parameters
    ----------
    path : Path
        ``...-ubyte`` or ``...-ubyte.gz``.

    Returns
    -------
    tensor : Tensor
        uint8, of the shape that the header gives.
    sha256 : str
        Checksum of the unpacked file.

    Raises
    ------
    UsageError
        If the file is not IDX, shorter or longer than its header says, or larger than `MAX_BYTES`.
    """
    hint = "remove the file and get the data again"
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header, shape, content = _read(cast("BinaryIO", file))
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path} cannot be read ({error}): {hint}") from None
    except ValueError as error:
        raise UsageError(f"{path} {error}: {hint}") from None
    data = np.frombuffer(content, np.uint8).reshape(shape)
    return torch.from_numpy(data.copy()), hashlib.sha256(header + content).hexdigest()


def _read(file: BinaryIO) -> tuple[bytes, list[int], bytes]:
    """Header, shape and content. No more is read than the header promises, however much the file unpacks to."""
    header = file.read(4)
    if header[:3] != b"\x00\x00\x08" or not 1 <= header[-1] <= 4:
        raise ValueError("is not an IDX file of unsigned bytes")
    size = 4 * header[3]
    header += file.read(size)
    if len(header) < 4 + size:
        raise ValueError("ends within its header")
    shape = [int.from_bytes(header[i : i + 4], "big") for i in range(4, len(header), 4)]
    promised = math.prod(shape)
    if math.prod(n or 1 for n in shape) > MAX_BYTES:  # no pictures of any size are too large, too
        raise ValueError(f"promises {promised} bytes, and {MAX_BYTES} are the most that are read")
    content = file.read(promised + 1)
    if len(content) != promised:
        held = f"more than {promised}" if len(content) > promised else len(content)
        raise ValueError(f"holds {held} bytes where its header promises {promised}")
    return header, shape, content


def _files(place: Path) -> dict[str, Path] | None:
    found = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        for kind in ("images-idx3", "labels-idx1"):
            candidates = [place / f"{prefix}-{kind}-ubyte{suffix}" for suffix in ("", ".gz")]
            path = next((c for c in candidates if c.is_file()), None)
            if path is None:
                return None
            found[f"{split}-{kind[:6]}"] = path
    return found


def complete(place: Path) -> bool:
    """Whether a folder holds the four files of MNIST or Fashion-MNIST."""
    return _files(place) is not None


def read(place: Path, split: str) -> tuple[Tensor, Tensor, str]:
    """Grey pictures (n, 1, h, w) as uint8, labels (n,) as int64, and nothing to remark, of a `complete` folder."""
    files = _files(place)
    assert files is not None
    tensors, labels = [], []
    for part in ("train", "test") if split == "all" else (split,):
        tensors.append(read_idx(files[f"{part}-images"])[0])
        labels.append(read_idx(files[f"{part}-labels"])[0])
        if tensors[-1].ndim != 3 or labels[-1].shape != tensors[-1].shape[:1]:
            raise UsageError(
                f"{place}: the {part} images {tuple(tensors[-1].shape)} and labels {tuple(labels[-1].shape)} do not "
                "belong together: get the data again"
            )
    return torch.cat(tensors).unsqueeze(1), torch.cat(labels).long(), ""
