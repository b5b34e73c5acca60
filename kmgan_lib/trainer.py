"""The beginning of a training: everything is checked before anything is written, then the loop runs."""

from __future__ import annotations

import contextlib
import functools
import shlex
from pathlib import Path
from typing import Any

from kmgan_lib import checkpoint, data, distributed, memory, methods, presets
from kmgan_lib.data import Images
from kmgan_lib.errors import RunFailed, UsageError
from kmgan_lib.loop import Callback, Training
from kmgan_lib.machine import prepare, settled
from kmgan_lib.presets import Preset
from kmgan_lib.run import Run, check_resumable, pick_device, take_directory


def _command(name: str, profile: str, seed: int, overrides: dict[str, Any]) -> str:
    words = ["kmgan", "train", name, "--profile", profile, "--seed", str(seed)]
    for key, value in overrides.items():
        words += ["--set", f"{key}={value}"]
    return shlex.join(words)


def _load_images(preset: Preset, profile: str, data_root: str | Path | None) -> Images:
    known = data.DATASETS.get(preset.dataset)
    standin = "always" if profile == "smoke" and known is not None and known.standin is not None else "never"
    images = data.load(
        preset.dataset, root=data_root, standin=standin, split=preset.split, image_size=preset.image_size,
        channels=preset.channels,
    )  # fmt: skip
    n = len(images)
    if preset.batch > n:
        raise UsageError(f"batch={preset.batch} is larger than the data ({n} images): --set batch={max(2, n // 2)}")
    methods.of(preset).check_data(preset, images)
    shape = (preset.channels, preset.image_size, preset.image_size)
    found = tuple(images.tensor.shape[1:])
    if preset.network != "synthetic" and found != shape:
        raise UsageError(f"{preset.dataset} has images {found}, and channels and image_size make {shape}")
    return images


def train(
    preset: str,
    *,
    profile: str = "quick",
    seed: int = 0,
    device: str = "auto",
    data_root: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    callback: Callback | None = None,
    **overrides: Any,
) -> Run:
    """Train a preset and keep everything in a run directory.

    Parameters
    ----------
    preset : str
        ``dataset/method[-variant]``, as `kmgan list` shows them, or ``folder:PATH``.
    profile : {"smoke", "quick", "paper"}
        Size and length. ``smoke`` trains on a stand-in where the data set has one.
    seed : int
        Fixes initial weights, batches and noise.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` ...
    data_root : path, optional
        Where the data lie; by default ``$KMGAN_DATA``, then the places that `kmgan_lib.data.load` names.
    out : path, optional
        Run directory; by default ``runs/PRESET/PROFILE-seedK``, with a number behind it if that is taken.
    resume : bool
        Continue the run that is there from its last checkpoint. ``iterations`` is the total, not an addition.
    callback : callable, optional
        Called as ``callback(iteration, method)`` before the first iteration and at every snapshot.
    **overrides
        Fields of `kmgan_lib.presets.Preset` and of the method's options.

    Returns
    -------
    Run

    Raises
    ------
    UsageError
        On wrong use; nothing was written.
    Diverged
        If a loss stopped being finite. The last good checkpoint is kept, ``result.json`` says where.
    """
    settings = presets.resolve(preset, profile, **overrides)
    if not 0 <= seed < 2**31:
        raise UsageError(f"seed={seed} must be between 0 and {2**31 - 1}")
    target = pick_device(device)
    settings = settled(settings, target)
    with distributed.joined(target), contextlib.ExitStack() as held:
        images = _load_images(settings, profile, data_root)
        config = {
            "preset": settings.as_dict(), "preset_hash": settings.hash, "profile": profile, "seed": seed,
            "command": _command(preset, profile, seed, overrides), "data": images.provenance,
        }  # fmt: skip
        directory = distributed.from_rank_zero(lambda: take_directory(settings, profile, seed, out, resume, held))
        resumed = resume and checkpoint.has_checkpoint(directory)
        state = checkpoint.load_checkpoint(directory, target) if resumed else None
        if distributed.from_rank_zero(functools.partial(_finished, directory, settings, config, state)):
            return Run.open(directory)  # nothing to do, and its measures stay
        prepare(target)
        try:
            return Training(settings, images, target, directory, config, state, callback).run()
        except (RuntimeError, MemoryError) as error:
            if not memory.ran_out(error):
                raise
        del state  # with the error's frames, which held the networks, everything of this run is gone
        kept = "; the last checkpoint is kept" if checkpoint.has_checkpoint(directory) else ""
        raise RunFailed(memory.advice(settings, images, target, seed) + kept)


def _finished(directory: Path, settings: Preset, config: dict[str, Any], state: dict[str, Any] | None) -> bool:
    """Whether the run that is there is at its end already; if it is not, its config is written."""
    if state is not None:
        check_resumable(directory, config)
        if state["iteration"] > settings.iterations:
            raise UsageError(f"{directory} is at iteration {state['iteration']} already: iterations is the total")
        if state["iteration"] == settings.iterations and (directory / checkpoint.RESULT).exists():
            return True
    checkpoint.write_json(directory / checkpoint.CONFIG, config)
    (directory / checkpoint.RESULT).unlink(missing_ok=True)  # of a shorter run: this one is not finished
    return False
