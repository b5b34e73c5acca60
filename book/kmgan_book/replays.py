"""Replays of trainings: samples of the same noise through a run as one image, and its curves."""

from pathlib import Path

from PIL import Image

from kmgan_book import CHECKOUT
from kmgan_lib import files
from kmgan_lib.errors import UsageError
from kmgan_lib.training.run import Run, data_label

REPLAYS = CHECKOUT / "book" / "replays"
SHOWN, ACROSS = 5, 6  # images in a row of a frame; frames in a row of the image
POINTS = 100  # of a curve
CURVES = {"loss_d": "loss of D", "loss_g": "loss of G", "assignment_entropy": "entropy of assignment"}


def keep(run: Run, *, replays: Path = REPLAYS) -> Path:
    """Keep a run's snapshots as one image, such as ``mnist-kmgan-seed0.webp``, with its curves and settings beside it.

    The run was trained with about ``snapshots=30``. The image, whose path is returned, takes about 150 KB.
    """
    snapshots = sorted((run.directory / "samples").glob("*.png"))
    if len(snapshots) < 2:
        raise UsageError(f"{run.directory} has no snapshots to replay: train with --set snapshots=30")
    side = SHOWN * (run.preset.image_size + 1) - 1
    rows = -(-len(snapshots) // ACROSS)
    sprite = Image.new("RGB", (ACROSS * side, rows * side))
    for index, path in enumerate(snapshots):
        with Image.open(path) as file:
            sprite.paste(file.convert("RGB").crop((0, 0, side, side)), (index % ACROSS * side, index // ACROSS * side))
    columns = [column for column in CURVES if any(column in row for row in run.history)]
    every = max(1, -(-len(run.history) // POINTS))
    kept = run.history[every - 1 :: every]
    told = {
        "preset": run.preset.name, "profile": run.profile, "seed": run.seed, "iterations": run.preset.iterations,
        "frames": [int(path.stem) for path in snapshots],
        "history": {key: [float(f"{row[key]:.4g}") for row in kept] for key in ("iteration", *columns)},
        "data": data_label(run.result.get("data", {})), "commit": str(run.result.get("commit", ""))[:7],
        "device": run.result.get("device", ""),
        "score": run.result.get("metrics", {}).get("classifier_score", {}).get("value"),
    }  # fmt: skip
    gray = sprite.convert("L") if run.preset.channels == 1 else sprite
    target = replays / f"{run.preset.name.replace('/', '-')}-seed{run.seed}.webp"
    target.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomically(target, lambda place: gray.save(place, format="WEBP", quality=55, method=6))
    files.write_json(target.with_suffix(".json"), told)
    return target
