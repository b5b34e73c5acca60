"""The beginning of a training: everything is checked before anything is written, then the loop runs."""

import contextlib
import functools
import shlex
from pathlib import Path
from typing import Any

import torch

from kmgan_lib import checks, data, distributed, files, methods, presets
from kmgan_lib.caller import put_aside
from kmgan_lib.config import Preset
from kmgan_lib.data import Images
from kmgan_lib.data.folder import place_of
from kmgan_lib.data.given import Given, given
from kmgan_lib.errors import RunFailed, UsageError
from kmgan_lib.fields import Name, shown, word
from kmgan_lib.training import checkpoint
from kmgan_lib.training.loop import Callback, Training
from kmgan_lib.training.run import Run, check_data, claim_run_dir, config_to_resume, pick_device, resolve_precision


def _handed_over(
    preset: Name | None, images: Given | None, labels: Any, overrides: dict[str, Any]
) -> tuple[str, Images | None, dict[str, Any]]:
    """The preset's name, images from Python at their final size, and the settings that follow from them."""
    if (preset is None) == (images is None) or (images is None and labels is not None):
        raise UsageError("give a preset, or images with or without labels (method=... names their method)")
    if images is None:
        return word("preset", preset), None, overrides
    own = given(images, labels)
    sides = own.tensor.shape[-2:]
    if "image_size" not in overrides and sides[0] != sides[1]:
        raise UsageError(f"images are {sides[0]} by {sides[1]} pixels: image_size=32 cuts and resizes them")
    settings = {"channels": own.tensor.shape[1], "image_size": sides[0], **overrides}
    name = f"images:{own.provenance['sha256'][:12]}"
    resolved = presets.resolve(name, **settings)
    return name, given(own, image_size=resolved.image_size, channels=resolved.channels), settings


def _command(name: str, profile: str, seed: int, overrides: dict[str, Any]) -> str:
    words = ["kmgan", "train", name, "--profile", profile, "--seed", str(seed)]
    for key, value in overrides.items():
        words += ["--set", f"{key}={value}"]
    if name.startswith("images:"):
        settings = "".join(f", {key}={value!r}" for key, value in overrides.items())
        return f"kmgan_lib.train(images=..., profile={profile!r}, seed={seed}{settings})"
    return shlex.join(words)


def _located(preset: Preset, data_root: str | Path | None, old: dict[str, Any]) -> str:
    """The data set's name, for a folder by its absolute path, which holds wherever the run goes on or is measured."""
    if not preset.dataset.startswith("folder:"):
        return preset.dataset
    try:
        return f"folder:{place_of(preset.dataset.removeprefix('folder:'), data_root)}"
    except UsageError:
        if "folder" not in old:
            raise
        return f"folder:{place_of(str(old['folder']))}"


def _load_images(name: str, preset: Preset, profile: str, data_root: str | Path | None) -> Images:
    known = data.DATASETS.get(preset.dataset)
    standin = "always" if profile == "smoke" and known is not None and known.standin is not None else "never"
    return data.load(
        name, root=data_root, standin=standin, split=preset.split, image_size=preset.image_size,
        channels=preset.channels,
    )  # fmt: skip


def _check_images(preset: Preset, images: Images) -> None:
    n = len(images)
    if preset.batch > n:
        way = f"--set batch={max(2, n // 2)}" if n > 1 else "a training needs at least two"
        raise UsageError(f"batch={preset.batch} is larger than the data ({n} image{'s' * (n != 1)}): {way}")
    methods.method_class(preset).check_data(preset, images)
    shape = (preset.channels, preset.image_size, preset.image_size)
    found = tuple(images.tensor.shape[1:])
    if preset.network != "synthetic" and found != shape:
        raise UsageError(f"{preset.dataset} has images {found}, and channels and image_size make {shape}")


@put_aside()
def train(
    preset: Name | None = None, *, images: Given | None = None, labels: Any = None, profile: str = "quick",
    seed: int = 0, device: str | torch.device = "auto", data_root: str | Path | None = None,
    out: str | Path | None = None, resume: bool = False, allow_changed_data: bool = False,
    callback: Callback | None = None, **overrides: Any,
) -> Run:  # fmt: skip
    """Train a preset and keep everything in a run directory.

    Parameters
    ----------
    preset : str or Path, optional
        ``dataset/method[-variant]``, as `kmgan list` shows them, or ``folder:PATH``.
    images, labels : optional
        Instead of a preset, images of your own and their classes; see `kmgan_lib.data.given.given`. ``method`` is
        ``kmgan`` unless you name another.
    profile : {"smoke", "quick", "long", "paper"}
        Size and length. ``smoke`` trains on a stand-in where the data set has one.
    seed : int
        Fixes initial weights, batches and noise.
    device : str or torch.device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps`` ...
    data_root : path, optional
        Where the data lie; by default ``$KMGAN_DATA``, then the places that `kmgan_lib.data.load` names.
    out : path, optional
        Run directory; by default ``runs/PRESET/PROFILE-seedK``, with a number behind it if that is taken.
    resume : bool
        Continue the run that is there from its last checkpoint. ``iterations`` is the total, not an addition.
    allow_changed_data : bool
        Continue it even if the data are others than they were, which the run then records.
    callback : callable, optional
        Called as ``callback(iteration, method)`` before the first iteration and at every snapshot.
    **overrides
        Fields of `kmgan_lib.config.Preset` and of the method's options.

    Raises
    ------
    UsageError
        On wrong use; nothing was written.
    Diverged
        If a loss stopped being finite. The last good checkpoint is kept, ``result.json`` says where.
    """
    preset, own, overrides = _handed_over(preset, images, labels, overrides)
    settings = presets.resolve(preset, profile, **overrides)
    seed = checks.whole("seed", seed)
    if not 0 <= seed < 2**31:
        raise UsageError(f"seed={shown(seed)} must be between 0 and {2**31 - 1}")
    for key, place in (("data_root", data_root), ("out", out)):
        checks.path(key, place or "")
    target = pick_device(distributed.local_device(device))
    settings = resolve_precision(settings, target)
    with distributed.process_group(target), contextlib.ExitStack() as held:
        ranks = distributed.world_size()
        if settings.batch % ranks:
            fitting = max(ranks, settings.batch // ranks * ranks)
            raise UsageError(f"batch={settings.batch} does not divide among {ranks} processes: --set batch={fitting}")
        old: dict[str, Any] = {}
        if resume:
            old = distributed.from_rank_zero(functools.partial(config_to_resume, settings, profile, seed, out))
        name = _located(settings, data_root, old)
        load = functools.partial(_load_images, name, settings, profile, data_root)
        found = distributed.rank_zero_first(load) if own is None else own
        provenance = check_data(old, found.provenance, allow_changed_data)
        _check_images(settings, found)
        is_folder = name.startswith("folder:")
        config = {
            "preset": settings.as_dict(), "preset_hash": settings.hash, "profile": profile, "seed": seed,
            "command": _command(name if is_folder else settings.name, profile, seed, overrides), "data": provenance,
            **({"folder": name.removeprefix("folder:")} if is_folder else {}),
        }  # fmt: skip
        directory = distributed.from_rank_zero(lambda: claim_run_dir(settings, profile, seed, out, resume, held))
        resumed = resume and checkpoint.has_checkpoint(directory)
        state = checkpoint.load_checkpoint(directory, target) if resumed else None
        if distributed.from_rank_zero(functools.partial(_finished, directory, settings, config, state)):
            run = Run.open(directory)  # nothing to do, and its measures stay
            run.images = own
            return run
        try:
            run = Training(settings, found, target, directory, config, state, callback).run()
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            smaller = settings.batch // (2 * ranks) * ranks
            advice = f"try --set batch={smaller}" if smaller > 1 else "use another --device or --profile"
            kept = "; the last checkpoint is kept" if checkpoint.has_checkpoint(directory) else ""
            raise RunFailed(f"out of memory with batch={settings.batch}: {advice}{kept}") from error
        run.images = own
        return run


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, has no memory left; on the CPU PyTorch has no class for that."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: " in str(error)


def _finished(directory: Path, settings: Preset, config: dict[str, Any], state: dict[str, Any] | None) -> bool:
    """Whether the run that is there is at its end already; if it is not, its config is written."""
    if state is not None:
        if state["iteration"] > settings.iterations:
            raise UsageError(f"{directory} is at iteration {state['iteration']} already: iterations is the total")
        if state["iteration"] == settings.iterations and (directory / files.RESULT).exists():
            return True
    files.write_json(directory / files.CONFIG, config)
    (directory / files.RESULT).unlink(missing_ok=True)  # of a shorter run: this one is not finished
    return False
