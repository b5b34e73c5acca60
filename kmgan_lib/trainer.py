"""The training loop. It knows no method: it draws batches and noise, keeps history, checkpoints and the result."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import torch
from tqdm import tqdm

from kmgan_lib import checkpoint, data, memory, methods, presets
from kmgan_lib.batches import Batches
from kmgan_lib.data import Images
from kmgan_lib.errors import Diverged, RunFailed, UsageError
from kmgan_lib.generator import Generator
from kmgan_lib.graph import Stepper
from kmgan_lib.history import History, read_history
from kmgan_lib.machine import prepare
from kmgan_lib.methods.base import Method
from kmgan_lib.pictures import save_sheet
from kmgan_lib.presets import Preset
from kmgan_lib.run import Run, check_resumable, commit, device_name, pick_device, take_directory
from kmgan_lib.stopping import interruptible

log = logging.getLogger(__name__)
Callback = Callable[[int, Method], None]
HISTORY_ROWS = 200
GRID = 64


def _command(name: str, profile: str, seed: int, overrides: dict[str, Any]) -> str:
    words = ["kmgan", "train", name, "--profile", profile, "--seed", str(seed)]
    for key, value in overrides.items():
        words += ["--set", f"{key}={value}"]
    return shlex.join(words)


def _show_progress() -> bool:
    if os.environ.get("KMGAN_PROGRESS") == "0":
        return False
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _snapshot(method: Method, directory: Path, iteration: int) -> None:
    if method.preset.network != "synthetic":
        generator = Generator(method.frozen_generator(), method.preset)
        save_sheet(generator.sample(GRID), directory / "samples" / f"{iteration:06d}.png", columns=8)


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
    images = _load_images(settings, profile, data_root)
    config = {
        "preset": settings.as_dict(), "preset_hash": settings.hash, "profile": profile, "seed": seed,
        "command": _command(preset, profile, seed, overrides), "data": images.provenance,
    }  # fmt: skip
    with contextlib.ExitStack() as held:
        directory = take_directory(settings, profile, seed, out, resume, held)
        resumed = resume and checkpoint.has_checkpoint(directory)
        state = checkpoint.load_checkpoint(directory, target) if resumed else None
        if state is not None:
            check_resumable(directory, config)
            if state["iteration"] > settings.iterations:
                raise UsageError(f"{directory} is at iteration {state['iteration']} already: iterations is the total")
            if state["iteration"] == settings.iterations and (directory / checkpoint.RESULT).exists():
                return Run.open(directory)  # finished: nothing to do, and its measures stay
        checkpoint.write_json(directory / checkpoint.CONFIG, config)
        (directory / checkpoint.RESULT).unlink(missing_ok=True)  # of a shorter run: this one is not finished
        prepare(target)
        try:
            return _Training(settings, images, target, directory, config, state, callback).run()
        except (RuntimeError, MemoryError) as error:
            if not memory.ran_out(error):
                raise
        del state  # with the error's frames, which held the networks, everything of this run is gone
        kept = "; the last checkpoint is kept" if checkpoint.has_checkpoint(directory) else ""
        raise RunFailed(memory.advice(settings, images, target, seed) + kept)


class _Training:
    """One call of `train`, once everything is checked and the run directory is there."""

    def __init__(
        self, preset: Preset, images: Images, device: torch.device, directory: Path, config: dict[str, Any],
        state: dict[str, Any] | None, callback: Callback | None,
    ):  # fmt: skip
        self.preset, self.directory, self.config, self.callback = preset, directory, config, callback
        self.images, seed = images.to(device), config["seed"]
        self.method = methods.create(preset, device=device, seed=seed)
        self.method.training_set = self.images.tensor
        self.batches = Batches(self.images, preset, device, seed)
        self.step = Stepper(self.method)
        self.history = History(directory, device)
        self.iteration, self.seconds = 0, 0.0
        if state is None:
            self.method.setup(self.images.tensor)
            self.history.path.unlink(missing_ok=True)
            self._notify()
        else:
            self.method.load_state_dict(state["method"])
            self.batches.load_state_dict(state["batches"])
            self.history.load_state_dict(state["history"])
            self.iteration, self.seconds = state["iteration"], state["seconds"]
            self.history.truncate(self.iteration)

    def run(self) -> Run:
        """Train to the last iteration. Table 2's tiny networks get one thread: more would wait for each other."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1 if self.preset.network == "synthetic" else threads)
        try:
            return self._loop()
        finally:
            torch.set_num_threads(threads)

    def _loop(self) -> Run:
        total = self.preset.iterations
        every = max(1, total // HISTORY_ROWS)
        snapshots = {round(total * (i + 1) / self.preset.snapshots) for i in range(self.preset.snapshots)}
        before, begun = self.seconds, time.perf_counter()
        label = f"{self.config['preset']['name']} seed {self.config['seed']}"
        progress = tqdm(total=total, initial=self.iteration, desc=label, unit="it", disable=not _show_progress())
        with interruptible() as interrupted, progress as bar:
            while self.iteration < total and not interrupted:
                losses = self.step(*self.batches.draw(self.method.batches_per_step(self.iteration)))
                self.iteration += 1
                self.method.update_average(self.iteration)
                self.history.add(self.iteration, losses)
                bar.update()
                self.seconds = before + time.perf_counter() - begun
                if self.iteration % every == 0 or self.iteration == total:
                    self._check_finite()
                    row = self.history.write(self.iteration, self.seconds)
                    bar.set_postfix({k: f"{v:.4g}" for k, v in row.items() if k.startswith("loss")}, refresh=False)
                if self.iteration in snapshots:
                    self._check_finite()
                    _snapshot(self.method, self.directory, self.iteration)
                    self._notify()
                if self.iteration % self.preset.checkpoint_every == 0 or self.iteration == total or interrupted:
                    self._check_finite()
                    self._checkpoint()
        if self.iteration < total:
            log.warning("stopped at iteration %d of %d; --resume continues", self.iteration, total)
            raise KeyboardInterrupt
        return self._finish("completed")

    def _notify(self) -> None:
        if self.callback is not None:
            self.callback(self.iteration, self.method)

    def _check_finite(self) -> None:
        bad = self.history.bad_iteration()
        if bad is None:
            return
        self._diverged(bad)

    def _diverged(self, bad: int) -> NoReturn:
        self._finish("diverged", bad)
        kept = self.directory / checkpoint.CHECKPOINT
        kept_text = f"the last good checkpoint is {kept}" if kept.exists() else "there was no checkpoint yet"
        raise Diverged(f"a loss was not finite at iteration {bad}: the run is recorded as diverged; {kept_text}")

    def _checkpoint(self) -> None:
        # The losses of an iteration know nothing of its last update.
        weights = [p for net in self.method.networks().values() for p in net.parameters()]
        if not all(bool(p.isfinite().all()) for p in weights):
            self._diverged(self.iteration)
        state = {
            "format": 1, "iteration": self.iteration, "seconds": self.seconds, "method": self.method.state_dict(),
            "batches": self.batches.state_dict(), "history": self.history.state_dict(),
        }  # fmt: skip
        # The generator first: killed between the two, a run goes on from the older checkpoint and writes it again.
        Generator(self.method.frozen_generator(), self.preset).save(self.directory / checkpoint.GENERATOR)
        checkpoint.save_checkpoint(self.directory, state)

    def _finish(self, status: str, diverged_at: int | None = None) -> Run:
        done = self.iteration
        images = self.preset.batch * sum(map(self.method.batches_per_step, range(done)))
        result = {
            **self.config, "status": status, "diverged_at": diverged_at, "iterations": done,
            "wall_seconds": round(self.seconds, 2),
            "images_per_second": round(images / max(self.seconds, 1e-9), 1),
            "device": device_name(self.batches.generator.device), "commit": commit(),
            "versions": {
                "python": platform.python_version(), "torch": torch.__version__, "torchvision": version("torchvision")
            },
            "checkpoint_rule": "final iteration", "metrics": {},
        }  # fmt: skip
        checkpoint.write_json(self.directory / checkpoint.RESULT, result)
        p, c = self.preset, self.config
        return Run(self.directory, p, c["profile"], c["seed"], result, read_history(self.directory), self.method)
