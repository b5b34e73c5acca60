"""The training loop, the same for every method: it draws batches and noise, keeps history, checkpoints and result."""

import contextlib
import logging
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kmgan_lib import distributed, files, methods
from kmgan_lib.config import Preset
from kmgan_lib.data.images import Images, to_unit
from kmgan_lib.errors import Diverged
from kmgan_lib.generator import Generator
from kmgan_lib.methods.base import Method, draw_noise, set_rng
from kmgan_lib.progress import progress
from kmgan_lib.sheets import save_sheet
from kmgan_lib.training.graph import Stepper
from kmgan_lib.training.history import History
from kmgan_lib.training.run import CHECKPOINT, FORMAT, commit, device_name, save_checkpoint

log = logging.getLogger(__name__)
Callback = Callable[[int, Method], None]
HISTORY_ROWS, GRID = 200, 64


class Batches:
    """Shuffled batches of a data set on the device, reshuffled each epoch, without an incomplete last batch."""

    def __init__(self, images: Images, preset: Preset, device: torch.device, seed: int):
        self.images, self.preset = images, preset
        self.generator = torch.Generator(device).manual_seed(seed)
        self.order, self.position = torch.empty(0, dtype=torch.int64, device=device), 0

    def draw(self, count: int = 1) -> tuple[Tensor, Tensor | None, Tensor]:
        """The next batch, or several one after the other: images as float in [0, 1], labels if known, noise."""
        chosen, noise = (torch.cat(parts) for parts in zip(*(self._one() for _ in range(count)), strict=True))
        labels = None if self.images.labels is None else self.images.labels[chosen]
        return to_unit(self.images.tensor[chosen]), labels, noise

    def _one(self) -> tuple[Tensor, Tensor]:
        """Rows of the next batch that belong to this rank, and their noise."""
        b = self.preset.batch
        if self.position + b > len(self.order):
            n, device = len(self.images), self.generator.device
            self.order, self.position = torch.randperm(n, generator=self.generator, device=device), 0
        chosen = self.order[self.position : self.position + b]
        self.position += b
        return distributed.shard(chosen), distributed.shard(draw_noise(self.preset, b, self.generator))

    def state_dict(self) -> dict[str, Any]:
        """Random state, and place in the epoch."""
        return {"rng": self.generator.get_state(), "order": self.order, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        set_rng(self.generator, state["rng"])
        self.order, self.position = state["order"], state["position"]


@contextlib.contextmanager
def interruptible() -> Iterator[list[int]]:
    """Numbers of the signals (SIGINT, SIGTERM) received in the block; the first one is only recorded here."""
    received: list[int] = []
    with contextlib.ExitStack() as before:

        def note(number: int, _: object) -> None:
            received.append(number)
            before.close()  # a second one stops at once

        if threading.current_thread() is threading.main_thread():  # no other thread may handle signals
            for number in (signal.SIGINT, signal.SIGTERM):
                before.callback(signal.signal, number, signal.getsignal(number))
                signal.signal(number, note)
        yield received


class Training:
    """One call of `kmgan_lib.train`, after all checks, from the ``state`` of a checkpoint or from the beginning."""

    def __init__(
        self, preset: Preset, images: Images, device: torch.device, directory: Path, config: dict[str, Any],
        state: dict[str, Any] | None, callback: Callback | None,
    ):  # fmt: skip
        self.preset, self.directory, self.config, self.callback = preset, directory, config, callback
        self.writes, self.commit = distributed.rank() == 0, commit()  # of the running code: files may change later
        images = images.to(device)
        self.method = methods.create(preset, device=device, seed=config["seed"])
        self.method.training_set = images.tensor
        self.batches, self.history = Batches(images, preset, device, config["seed"]), History(directory, device)
        self.iteration, self.seconds = (state["iteration"], state["seconds"]) if state else (0, 0.0)
        if self.writes:
            self.history.truncate(self.iteration)
        if state is None:
            with distributed.alone():
                self.method.setup(images.tensor)
            distributed.broadcast(self.method.state_dict())
            self._snapshot()
        else:
            for name in ("method", "batches", "history"):
                getattr(self, name).load_state_dict(state[name])

    def run(self) -> Method:
        """Train to the last iteration, and return the method."""
        threads = torch.get_num_threads()
        if self.preset.network == "synthetic":  # so small that threads would wait for each other
            torch.set_num_threads(1)
        try:
            self._loop()
            self._record("completed")
        finally:
            torch.set_num_threads(threads)
        return self.method

    def _loop(self) -> None:
        total, step = self.preset.iterations, Stepper(self.method)
        every = max(1, total // HISTORY_ROWS)
        snapshots = {round(total * (i + 1) / self.preset.snapshots) for i in range(self.preset.snapshots)}
        begun, stop = time.perf_counter() - self.seconds, False
        label = f"{self.preset.name} seed {self.config['seed']}"
        shown = progress(None, label, total, shown=self.writes, initial=self.iteration, unit="it", delay=0)
        with interruptible() as interrupted, shown as bar:
            while self.iteration < total and not stop:
                self.method.before_step(self.iteration)
                losses = step(*self.batches.draw(self.method.batches_per_step(self.iteration)))
                self.iteration += 1
                self.method.update_average(self.iteration)
                self.history.add(self.iteration, losses)
                bar.update()
                last = self.iteration == total
                row_due, snapshot_due = last or self.iteration % every == 0, self.iteration in snapshots
                stop = bool(interrupted)
                if distributed.world_size() > 1:  # ranks ask rank 0 only now and then, and stop together
                    stop = row_due and distributed.from_rank_zero(lambda: bool(interrupted))
                checkpoint_due = last or stop or self.iteration % self.preset.checkpoint_every == 0
                self.seconds = time.perf_counter() - begun
                if row_due or snapshot_due or checkpoint_due:
                    self._check(self.history.bad_iteration())  # which waits for the device
                if row_due:
                    row = self.history.write(self.iteration, self.seconds, to_file=self.writes)
                    bar.set_postfix({k: f"{v:.4g}" for k, v in row.items() if k.startswith("loss")}, refresh=False)
                if snapshot_due:
                    self._snapshot()
                if checkpoint_due:
                    self._checkpoint()
        if self.iteration < total:
            log.warning("stopped at iteration %d of %d; --resume continues", self.iteration, total)
            raise KeyboardInterrupt

    def _snapshot(self) -> None:
        """Save a sheet of samples, except before the first iteration, and call the callback."""
        if self.writes and self.iteration > 0 and self.preset.network != "synthetic":
            images = Generator(self.method.eval_generator(), self.preset).sample(GRID)
            save_sheet(images, self.directory / "samples" / f"{self.iteration:06d}.png", columns=8)
        if self.writes and self.callback is not None:
            with distributed.alone():
                self.callback(self.iteration, self.method)

    def _check(self, bad: int | None) -> None:
        """End the run if an iteration was bad."""
        if bad is not None:
            self._record("diverged", bad)
            path = self.directory / CHECKPOINT
            kept = f"the last good checkpoint is {path}" if path.exists() else "there was no checkpoint yet"
            raise Diverged(f"a loss was not finite at iteration {bad}: the run is recorded as diverged; {kept}")

    def _checkpoint(self) -> None:
        # The losses of an iteration do not reflect its last update.
        self._check(None if all(bool(p.isfinite().all()) for p in self.method.parameters()) else self.iteration)
        if self.writes:
            # The generator first: a run killed in between resumes from the older checkpoint and writes it again.
            Generator(self.method.eval_generator(), self.preset).save(self.directory / files.GENERATOR)
            state = {"format": FORMAT, "iteration": self.iteration, "seconds": self.seconds}
            parts = {name: getattr(self, name).state_dict() for name in ("method", "batches", "history")}
            save_checkpoint(self.directory, {**state, **parts})

    def _record(self, status: str, diverged_at: int | None = None) -> None:
        done, ranks = self.iteration, distributed.world_size()
        images = self.preset.batch * sum(map(self.method.batches_per_step, range(done)))
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        result = {
            **self.config, "status": status, "diverged_at": diverged_at, "iterations": done,
            "wall_seconds": round(self.seconds, 2), "images_per_second": round(images / max(self.seconds, 1e-9), 1),
            "device": f"{ranks} x " * (ranks > 1) + device_name(self.method.device), "commit": self.commit,
            "versions": {**versions, "torchvision": version("torchvision")}, "checkpoint_rule": "final iteration",
            "metrics": {},
        }  # fmt: skip
        distributed.from_rank_zero(lambda: files.write_json(self.directory / files.RESULT, result))
