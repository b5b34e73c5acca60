"""Run by one or several processes of torchrun: a few steps of every method in float64, saved by rank 0."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from kmgan_lib import distributed, methods, presets
from kmgan_lib.graph import Stepper
from kmgan_lib.methods.base import draw_noise

SIZES: dict[str, Any] = {
    "batch": 12, "width": 0.125, "feature_dim": 12, "k": 3, "init_images": 24, "components": 2, "critic_updates": 2,
    "burst": 2, "kernels": 4, "z_dim": 10,
}  # fmt: skip
# k = 2 centers, which reduced KM-GAN's D sees as a batch, are fewer than three ranks.
CASES: dict[str, dict[str, Any]] = {
    **{f"digits/{name}": {} for name in sorted(presets.METHODS)},
    "digits/reduced-fair": {"k": 2}, "digits/kmgan-generalized": {"fresh": True, "fake_labels": "own", "clip": 0.5},
    "digits/kmgan-random": {"per_cluster": True}, "digits/kmgan-true": {"k": 10},
    "digits/kmgan": {"center_update": "recluster", "recluster_every": 2}, "synthetic/kmgan": {}, "cifar10-32/kmgan": {},
}  # fmt: skip
STEPS = 4


def steps(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Losses of each step; centers, features and images after the last."""
    known = presets.resolve(name).fields()
    sizes = {key: value for key, value in SIZES.items() if key in known}
    method = methods.create(presets.resolve(name, **{**sizes, **changes}), device=torch.device("cpu"), seed=0)
    p, generator = method.preset, torch.Generator().manual_seed(0)
    shape = (100,) if p.network == "synthetic" else (p.channels, p.image_size, p.image_size)
    images = torch.rand(60, *shape, generator=generator)
    method.training_set = images
    method.setup(images)
    step, losses = Stepper(method), []
    for iteration in range(STEPS):
        count = p.batch * method.batches_per_step(100)
        noise = draw_noise(p, count, generator)
        labels = torch.randint(10, (count,), generator=generator)
        chosen = torch.randint(60, (count,), generator=generator)
        losses.append({key: float(value) for key, value in step(images[chosen], labels, noise).items()})
        method.update_average(iteration + 1)
    bank = getattr(method, "bank", None)
    labels = torch.arange(12) % 10
    with torch.no_grad():
        features, pictures = method.D(images[:12], labels), method.G(draw_noise(p, 12, generator), labels)
    return {"losses": losses, "features": features, "images": pictures, "centers": bank.state_dict() if bank else {}}


def main(out: Path) -> None:
    """Save what every case gives, by name."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    with distributed.joined(torch.device("cpu")):
        results = {name: steps(name, changes) for name, changes in CASES.items()}
        if distributed.rank() == 0:
            torch.save(results, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
