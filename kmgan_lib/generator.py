"""A trained generator that samples and interpolates without data set, optimizer or trainer."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from kmgan_lib import methods, presets
from kmgan_lib.config import Preset
from kmgan_lib.errors import UsageError
from kmgan_lib.files import GENERATOR, expanded, first_line, write_atomically
from kmgan_lib.methods.base import draw_noise

CHUNK, GOLDEN = 512, (5**0.5 - 1) / 2


class Generator:
    """A trained G: ``net`` in evaluation mode, its ``preset``, and the number of ``classes`` it is given, 0 if none."""

    def __init__(self, net: nn.Module, preset: Preset):
        self.net, self.preset = net.eval().requires_grad_(False), preset
        self.classes = methods.method(preset.method).generator_classes(preset)

    @property
    def device(self) -> torch.device:
        """The device that G is on."""
        return next(self.net.parameters()).device

    def noise(self, n: int, seed: int = 0) -> Tensor:
        """The n noise vectors (n, z_dim) of a seed, on the CPU."""
        if not 0 <= seed < 2**63:
            raise UsageError(f"seed={seed} must be between 0 and {2**63 - 1}")
        return draw_noise(self.preset, n, torch.Generator().manual_seed(seed))

    def labels(self, n: int) -> Tensor:
        """Default classes (n,) of n images: in turn, or in proportion to their shares by steps of the golden ratio."""
        turns, shares = torch.arange(n), getattr(self.net, "shares", None)
        if not isinstance(shares, Tensor):
            return turns % max(self.classes, 1)
        steps = shares.cpu().double().cumsum(0)
        return torch.searchsorted(steps, (turns + 0.5) * GOLDEN % 1 * steps[-1]).clamp_max(len(steps) - 1)

    @torch.no_grad()
    def images(self, noise: Tensor, labels: Tensor | Sequence[int] | None = None) -> Tensor:
        """Images (n, c, h, w) in [0, 1] for noise (n, z_dim), without gradients; a `UsageError` for other shapes.

        Labels (n,) are classes for a conditional generator, by default those of `Generator.labels`.
        """
        if noise.ndim != 2 or noise.shape[1] != self.preset.z_dim:
            raise UsageError(f"noise {tuple(noise.shape)} must be (n, {self.preset.z_dim}), z_dim numbers per image")
        y = torch.as_tensor(labels) if self.classes and labels is not None else self.labels(len(noise))
        if y.shape != noise.shape[:1] or not ((y >= 0) & (y < max(self.classes, 1))).all():
            raise UsageError(f"labels must be {len(noise)} classes from 0 to {self.classes - 1}, one for each image")
        pairs = zip(noise.to(self.device, torch.float32).split(CHUNK), y.to(self.device).split(CHUNK), strict=True)
        return torch.cat([self.net(some, their if self.classes else None) for some, their in pairs])

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Generate n images (n, c, h, w) in [0, 1], or synthetic points (n, 100); the seed fixes the noise."""
        if n < 1:
            raise UsageError(f"n={n}: ask for at least 1 image")
        return self.images(self.noise(n, seed))

    def interpolate(self, seed_a: int, seed_b: int, steps: int) -> Tensor:
        r"""Images (steps, c, h, w) in [0, 1] along the line between the noise of two seeds (Section 4.5).

        .. math:: z_\beta = \beta z_0 + (1 - \beta) z_1, \quad \beta \text{ from } 1 \text{ to } 0
        """
        if steps < 2:
            raise UsageError(f"steps={steps}: an interpolation needs at least 2 images")
        beta = torch.linspace(1, 0, steps).unsqueeze(1)
        noise = beta * self.noise(1, seed_a) + (1 - beta) * self.noise(1, seed_b)
        return self.images(noise, torch.full((steps,), seed_a % self.classes) if self.classes else None)

    def save(self, path: Path) -> None:
        """Write the weights in half precision, with the preset beside them, as safetensors."""
        from safetensors.torch import save

        tensors = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in self.net.state_dict().items()}
        fields = json.dumps(self.preset.as_dict())
        metadata = {"preset": fields, "format": "kmgan-generator-1", "sha256": _checksum(tensors)}
        write_atomically(path, lambda p: p.write_bytes(save(tensors, metadata)))


def _checksum(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of all tensors: safetensors has no checksum of its own, and a flipped bit would pass as a weight."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode() + tensors[name].cpu().numpy().tobytes())
    return total.hexdigest()


def load_generator(path_or_preset: str | Path, *, device: torch.device | str = "cpu") -> Generator:
    """Load a trained generator from a run directory or a ``generator.safetensors``.

    For a preset, the newest run below ``runs/`` is used. Raises `UsageError` if there is none, or the file is not ours.
    """
    from safetensors import SafetensorError, safe_open

    path = expanded(path_or_preset)
    if str(path_or_preset) in presets.PRESETS and not path.exists():
        found = sorted(Path("runs", path).glob(f"*/{GENERATOR}"), key=lambda f: f.stat().st_mtime)
        if not found:
            raise UsageError(f"no trained generator below runs/{path}: `kmgan train {path}` makes one")
        path = found[-1]
    path = path / GENERATOR if path.is_dir() else path
    if not path.is_file():
        raise UsageError(f"{path} does not exist: train first, or name a run directory or a preset")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
        fields = json.loads(metadata["preset"])
        if metadata.get("sha256", known := _checksum(tensors)) != known:
            raise ValueError("its checksum is wrong")
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not a generator written by kmgan ({error!r:.200})") from None
    preset = presets.from_dict(fields, path)
    try:
        with torch.device("meta"):  # shapes without memory: what the file's preset asks for may be huge
            net = methods.method(preset.method).make_generator(preset)
        weights = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
        net.load_state_dict(weights, assign=True)
    except (ValueError, RuntimeError, OverflowError) as error:
        raise UsageError(f"{path} does not fit its own preset ({first_line(error)})") from None
    return Generator(net.to(device), preset)
