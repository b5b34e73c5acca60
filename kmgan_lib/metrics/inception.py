"""Inception Score and FID by torch-fidelity, with the Inception network of 2015 and no other."""

import contextlib
import hashlib
import logging
import math
import os
import pickle
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import functional

from kmgan_lib.data.images import to_bytes, to_unit
from kmgan_lib.errors import UsageError
from kmgan_lib.files import cache_root, expanded, first_line
from kmgan_lib.progress import progress

log = logging.getLogger(__name__)
EXTRACTOR = "inception-v3-compat"  # torch-fidelity's name for it
FULL_NAME, PART_NAME = "weights-inception-2015-12-05-6726825d.pth", "inception-2015-12-05-to-768.pth"
FULL_SHA256, PART_SHA256 = "6726825d", "7fed11cb0f76"  # the first digits
# Degraded real images, which show what a distance means: standard deviations of the blur, in sides of the image (1.5
# pixels of 64), and of the noise, in units of the range from black to white.
BLUR, NOISE = 1.5 / 64, 0.1
SPLITS, CHUNK = 10, 1000
WAYS = (
    f"get {FULL_NAME} from the releases of toshas/torch-fidelity on GitHub, and pass --inception-weights PATH, set "
    "KMGAN_INCEPTION, or put it into the data root's folder inception"
)


class Unavailable(UsageError):
    """Something that a measure needs is missing: a package, a file of weights, or enough images."""


@dataclass(frozen=True)
class Weights:
    """A checked file of weights; ``full`` if it continues after the 768 features."""

    path: Path
    sha256: str
    full: bool

    def describe(self) -> dict[str, Any]:
        """What a reported number says about its extractor."""
        name = "Inception 2015-12-05" + ("" if self.full else " up to 768 features, half precision")
        return {"name": f"{name} (torch-fidelity)", "weights_sha256": self.sha256[:12]}


def find_weights(path: str | Path | None = None, *, data_root: str | Path | None = None, full: bool = True) -> Weights:
    """The checked weights at ``path`` or ``$KMGAN_INCEPTION``, else in the folder ``inception`` of the data root.

    ``full`` asks for more than the 768 features. An `Unavailable` says how to get them.
    """
    given, root = path or os.environ.get("KMGAN_INCEPTION"), data_root or os.environ.get("KMGAN_DATA")
    files = [expanded(root) / "inception" / name for name in (FULL_NAME, PART_NAME)] if root else []
    found = expanded(given) if given else next((file for file in files if file.is_file()), None)
    if found is None:
        raise Unavailable(f"no weights of the 2015 Inception network: {WAYS}")
    try:
        digest = hashlib.sha256(found.read_bytes()).hexdigest()
    except OSError as error:
        raise Unavailable(f"no Inception weights at {found} ({error.strerror}): {WAYS}") from None
    if not digest.startswith((FULL_SHA256, PART_SHA256)):
        raise UsageError(f"{found} has SHA-256 {digest[:8]}..., not {FULL_SHA256}...: get {FULL_NAME} again")
    weights = Weights(found, digest, digest.startswith(FULL_SHA256))
    if full and not weights.full:
        raise Unavailable(f"{found} ends after the 768 features: it is enough for fid768; for the others {WAYS}")
    return weights


class _Bytes(Dataset[Tensor]):
    """Images as torch-fidelity wants them: uint8, three channels, one at a time, with a progress bar."""

    def __init__(self, images: Tensor, what: str):
        self.images, self.bar = to_bytes(images), progress(None, f"Inception features of {what} images", len(images))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        self.bar.update(index + 1 - self.bar.n)
        return self.images[index].expand(3, -1, -1)


@contextlib.contextmanager
def _plain_data_only() -> Iterator[None]:
    """Within the block ``torch.load`` runs no code from files, although torch-fidelity calls it without that check."""
    # The features that torch-fidelity caches are arrays.
    arrays = [np.empty(0).__reduce__()[0], np.ndarray, np.dtype, *(type(np.dtype(kind)) for kind in ("f4", "f8"))]
    forced = mock.patch.dict(os.environ, TORCH_FORCE_WEIGHTS_ONLY_LOAD="1")
    with forced, torch.serialization.safe_globals(arrays), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected pickle protocol")  # anything but plain data is refused anyway
        yield


def inception_measures(
    fake: Tensor, real: Tensor, *, layer: str = "2048", weights: Path | None = None, extractor: str = EXTRACTOR,
    real_name: str | None = None, fake_name: str | None = None, device: torch.device | str = "cpu",
) -> dict[str, float | int]:  # fmt: skip
    """Inception Score and FID of generated (n, c, h, w) against real images (m, c, h, w), by torch-fidelity.

    The protocol is that of the original code: images as uint8 (or as float in [0, 1], rounded), resized bilinearly to
    299x299 as TensorFlow 1 did; Inception Score of the softmax of the 1,008 outputs without their bias, on 10
    consecutive splits. ``layer`` has the features of FID: ``2048``, the real one, or ``768``, without Inception Score.
    Features are cached under ``real_name`` and ``fake_name``. Raises `UsageError` without torch-fidelity, with fewer
    images than splits, or if the weights give NaN or contain code.
    """
    try:
        import torch_fidelity as fidelity
        import torch_fidelity.feature_extractor_inceptionv3  # which registers itself
    except ImportError:
        needed = "`pip install torch-fidelity` (or the extra kmgan[inception])"
        raise Unavailable(f"Inception measures need torch-fidelity: {needed}") from None
    if (fewest := min(len(fake), len(real))) < SPLITS:
        raise Unavailable(f"{fewest} images: Inception measures need at least {SPLITS}, one a split")
    if weights is None and extractor == EXTRACTOR:
        raise Unavailable(f"no weights of the 2015 Inception network: {WAYS}")
    kept = cache_root() / "inception" / "features"
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("%s could not be made (%s); set KMGAN_CACHE to another folder", kept, first_line(error))
        real_name = fake_name = None
    inputs = _Bytes(fake, "generated"), _Bytes(real, "real")
    try:
        with contextlib.closing(inputs[0].bar), contextlib.closing(inputs[1].bar), _plain_data_only():
            found = fidelity.calculate_metrics(
                input1=inputs[0], input2=inputs[1], fid=True, isc=layer == "2048", feature_extractor=extractor,
                feature_extractor_weights_path=str(weights) if weights else None, feature_layer_fid=layer,
                isc_splits=SPLITS, samples_shuffle=False, cuda=torch.device(device).type == "cuda", save_cpu_ram=True,
                verbose=False, cache=True, cache_root=str(kept), input1_cache_name=fake_name,
                input2_cache_name=real_name,
            )  # fmt: skip
    except pickle.UnpicklingError:
        raise UsageError(f"{weights}, or what is in {kept}, is no plain data: get it again, or remove it") from None
    except np.linalg.LinAlgError:  # NumPy's answer to a covariance of NaN
        found = {"frechet_inception_distance": math.nan}
    if not all(math.isfinite(value) for value in found.values()):
        raise UsageError(f"{weights or extractor} gives NaN: it ends before layer {layer}; use fid768, or {WAYS}")
    scores = {name.removesuffix("_mean"): float(value) for name, value in found.items()}
    return {"fid": scores.pop("frechet_inception_distance"), **scores, "splits": SPLITS}


def blurred(images: Tensor) -> Tensor:
    """Images (n, c, h, w) of uint8, convolved with a normal density of standard deviation `BLUR` times the side."""
    deviation = BLUR * images.shape[-1]
    size = [2 * math.ceil(3 * deviation) + 1] * 2
    return torch.cat([functional.gaussian_blur(part, size, [deviation] * 2) for part in images.split(CHUNK)])


def noisy(images: Tensor) -> Tensor:
    """Images (n, c, h, w) of uint8 with normal noise of deviation `NOISE`, always the same, clipped to the range."""
    generator = torch.Generator().manual_seed(0)
    drawn = ((part, torch.randn(part.shape, generator=generator)) for part in images.split(CHUNK))
    return torch.cat([to_bytes(to_unit(part) + NOISE * noise) for part, noise in drawn])


LEVELS = {"real_value": lambda images: images, "blurred": blurred, "noisy": noisy}
