"""The start of a training: everything is checked before anything is written, then the loop runs."""

import contextlib
import dataclasses
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kmgan_lib import data, distributed, files, methods, presets
from kmgan_lib.config import Preset
from kmgan_lib.data.images import Images, given
from kmgan_lib.errors import RunFailed, UsageError
from kmgan_lib.training.loop import Callback, Training
from kmgan_lib.training.run import CHECKPOINT, Run, claim_run_dir, load_checkpoint, pick_device


def train(
    preset: str | None = None, *, images: Tensor | np.ndarray | None = None, labels: Any = None,
    profile: str = "quick", seed: int = 0, device: str | torch.device = "auto", data_root: str | Path | None = None,
    out: str | Path | None = None, resume: bool = False, callback: Callback | None = None, **overrides: Any,
) -> Run:  # fmt: skip
    """Train a preset and keep everything in a run directory.

    Parameters
    ----------
    preset
        ``dataset/method[-variant]``, as `kmgan list` shows them, or ``folder:PATH``.
    images, labels
        Instead of a preset, images of your own and their classes (`kmgan_lib.data.images.given`).
    profile, seed, device
        Size and length (``smoke`` trains on a stand-in if there is one); the number that fixes initial weights, batches
        and noise; and ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps`` ...
    data_root, out
        Where the data are (`kmgan_lib.data.load`), and the run directory, by default ``runs/PRESET/PROFILE-seedK``.
    resume
        Continue the run in this directory from its last checkpoint. ``iterations`` is the total, not an addition.
    callback
        Called as ``callback(iteration, method)`` before the first iteration and at every snapshot.
    **overrides
        Fields of the preset to replace.

    Raises `UsageError` on wrong use, before anything is written, and `Diverged` if a loss stops being finite.
    """
    if (preset is None) == (images is None):
        raise UsageError("give either a preset, or images with or without labels (method=... chooses the method)")
    own = None if images is None else given(images, labels)
    if own is not None:
        overrides = {"channels": own.tensor.shape[1], "image_size": own.tensor.shape[-1], **overrides}
        preset = own.provenance["name"]
    settings = presets.resolve(str(preset), profile, **overrides)
    own = None if own is None else own.at(settings.image_size)
    if not (isinstance(seed, (int, np.integer)) and 0 <= seed < 2**31):
        raise UsageError(f"seed={seed} must be a whole number between 0 and {2**31 - 1}")
    target = pick_device(distributed.local_device(device))
    with distributed.process_group(target), contextlib.ExitStack() as held:
        found = own or distributed.rank_zero_first(
            lambda: data.load(
                settings.dataset, root=data_root, standin="always" if profile == "smoke" else "never",
                split=settings.split, image_size=settings.image_size, channels=settings.channels,
            )
        )  # fmt: skip
        _check(settings, found)
        config = _config(settings, profile, int(seed), found, overrides)
        directory = distributed.from_rank_zero(lambda: claim_run_dir(config, settings, out, resume, held))
        resumed = distributed.from_rank_zero(lambda: resume and (directory / CHECKPOINT).exists())
        state = load_checkpoint(directory, target) if resumed else None
        method = None
        held.callback(setattr, torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
        torch.backends.cudnn.allow_tf32 = False  # else float32 would be rounded to ten bits, on some GPUs
        if not distributed.from_rank_zero(lambda: _finished(directory, config, state)):  # else its measures stay
            try:
                method = Training(settings, found, target, directory, config, state, callback).run()
            except (RuntimeError, MemoryError) as error:
                full = isinstance(error, (torch.OutOfMemoryError, MemoryError))
                if not full and "DefaultCPUAllocator: " not in str(error):  # the CPU has no class for this error
                    raise
                smaller = settings.batch // (2 * distributed.world_size()) * distributed.world_size()
                advice = f"try --set batch={smaller}" if smaller > 1 else "use another --device or --profile"
                kept = "; the last checkpoint is kept" if (directory / CHECKPOINT).exists() else ""
                raise RunFailed(f"out of memory with batch={settings.batch}: {advice}{kept}") from error
        return dataclasses.replace(Run.open(directory), method=method, images=own)


def _check(preset: Preset, images: Images) -> None:
    n, ranks, shape = len(images), distributed.world_size(), (preset.channels, preset.image_size, preset.image_size)
    if preset.batch % ranks:
        fitting = max(ranks, preset.batch // ranks * ranks)
        raise UsageError(f"batch={preset.batch} does not divide among {ranks} processes: --set batch={fitting}")
    if preset.batch > n:
        way = f"--set batch={max(2, n // 2)}" if n > 1 else "a training needs at least two"
        raise UsageError(f"batch={preset.batch} is larger than the data ({n} image{'s' * (n != 1)}): {way}")
    methods.method(preset.method).check_data(preset, images)
    if preset.network != "synthetic" and (found := tuple(images.tensor.shape[1:])) != shape:
        raise UsageError(f"{preset.dataset} has images {found}, but channels and image_size make {shape}")


def _config(preset: Preset, profile: str, seed: int, images: Images, overrides: dict[str, Any]) -> dict[str, Any]:
    """The content of ``config.json``: what is trained on what, and the command that repeats it."""
    words = [word for key, value in overrides.items() for word in ("--set", f"{key}={value}")]
    name, config = preset.name, {"preset": preset.as_dict(), "preset_hash": preset.hash, "profile": profile}
    config |= {"seed": seed, "data": images.provenance}
    if name.startswith("folder:"):  # its absolute path holds wherever the run goes on or is measured
        config["folder"] = str(files.expanded(name.removeprefix("folder:")).absolute())
        name = f"folder:{config['folder']}"
    return config | {"command": shlex.join(["kmgan", "train", name, "--profile", profile, "--seed", str(seed), *words])}


def _finished(directory: Path, config: dict[str, Any], state: dict[str, Any] | None) -> bool:
    """Whether the run in the directory is already finished; if it is not, its config is written."""
    done, total, result = state["iteration"] if state else 0, config["preset"]["iterations"], directory / files.RESULT
    if done > total:
        raise UsageError(f"{directory} is already at iteration {done}: iterations is the total, not an addition")
    if done == total and result.exists() and files.read_json(result).get("status") == "completed":
        return True
    files.write_json(directory / files.CONFIG, config)
    result.unlink(missing_ok=True)  # of a shorter run, or one that diverged later: this one is not finished
    return False
