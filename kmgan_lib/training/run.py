"""A run directory: what is in it, where it is, and what may continue it."""

import contextlib
import itertools
import os
import platform
import subprocess
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from kmgan_lib import files, methods, presets
from kmgan_lib.config import OWN, PROFILES, Preset
from kmgan_lib.data.images import Images, described, stands_in
from kmgan_lib.errors import UsageError, shorten
from kmgan_lib.generator import Generator, load_generator
from kmgan_lib.methods.base import Method
from kmgan_lib.training.history import read_history

CHECKPOINT = "checkpoint.pt"
FORMAT = 2  # of the checkpoint; 1 had each network of a method by itself
KEYS = {"format", "iteration", "seconds", "method", "batches", "history"}
# What a resumed run may change: how long and how often, never what is trained.
FREE_ON_RESUME = ("iterations", "snapshots", "checkpoint_every", "eval_samples")


@dataclass
class Run:
    """A run directory and what is in it."""

    directory: Path
    preset: Preset
    profile: str
    seed: int
    result: dict[str, Any] = field(repr=False)  # content of ``result.json``
    history: list[dict[str, float]] = field(repr=False)  # rows of ``history.csv``: means since the row before
    method: Method | None = field(default=None, repr=False)  # the trained method, if this process trained it
    images: Images | None = field(default=None, repr=False)  # what it was trained on, if handed over in Python

    @classmethod
    def open(cls, directory: str | Path) -> "Run":
        """Read a run directory; a `UsageError` says what is missing."""
        directory = files.expanded(directory)
        path, results = directory / files.CONFIG, directory / files.RESULT
        config, result = files.read_json(path), files.read_json(results) if results.exists() else {}
        profile, seed = config.get("profile"), config.get("seed")
        if profile not in PROFILES or type(seed) is not int:
            raise UsageError(f"{path} is not of a run: it has no sensible profile or seed")
        if not all(isinstance(result.get(key, {}), dict) for key in ("data", "metrics")):
            raise UsageError(f"{results} is not of a run: it has no sensible data or metrics")
        preset = presets.from_dict(config.get("preset", {}), path)
        return cls(directory, preset, profile, seed, result, read_history(directory))

    @property
    def generator(self) -> Generator:
        """The trained generator, from memory or from the run directory."""
        method = self.method
        return Generator(method.eval_generator(), self.preset) if method else load_generator(self.directory)

    @property
    def label(self) -> str:
        """The line under a figure that tells a reader the profile, data and seed of this live run."""
        return f"live · {self.profile} · {data_label(self.result.get('data', {}))} · seed {self.seed}"


def save_checkpoint(directory: Path, state: dict[str, Any]) -> None:
    """Write ``checkpoint.pt`` atomically: tensors, numbers, strings and containers of them, nothing else."""
    files.write_atomically(directory / CHECKPOINT, lambda path: torch.save(state, path))


def load_checkpoint(directory: Path, device: torch.device | str) -> dict[str, Any]:
    """Read ``checkpoint.pt`` without running code from it; a `UsageError` if it is garbled or not plain data."""
    path = directory / CHECKPOINT
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load compares no checksums: a flipped bit would be a weight
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {damaged} in it is wrong")
        state = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(state, dict) or set(state) != KEYS:
            raise ValueError("it holds something else")
        if state["format"] == FORMAT:
            return state
        raise ValueError("another version of kmgan wrote it")
    except Exception as error:  # torch.load raises many kinds of error for a broken file
        why = files.first_line(error)[:200]
        raise UsageError(f"{path} is not a usable checkpoint ({why}); remove it to start this run anew") from error


def restore(run: Run, *, device: str = "auto") -> Method:
    """The method of a finished run, from its checkpoint, on a device of any kind."""
    method = methods.create(run.preset, device=pick_device(device), seed=run.seed)
    state = load_checkpoint(run.directory, method.device)["method"]
    state["_extra_state"].pop("rng")  # nothing is drawn from it any more, and it may be of another kind of device
    method.load_state_dict(state)
    return method


def pick_device(name: str | torch.device) -> torch.device:
    """The device of a name; ``auto`` is the GPU, NVIDIA's or Apple's, if any. Raises `UsageError` if it is absent."""
    mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()  # a meta device has no numbers
    except torch.OutOfMemoryError:
        return torch.device(name)  # it is there, but full, as the training will report
    except (RuntimeError, AssertionError, TypeError):  # a PyTorch without CUDA raises the second
        cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        there = ", ".join(["auto", "cpu", *cuda, *["mps"] * mps])
        raise UsageError(f"device {shorten(name)} is not there (this machine has {there})") from None
    return device


def _taken(directory: Path) -> bool:
    return directory.exists() and any(place.name[0] != "." for place in directory.iterdir())


def claim_run_dir(
    config: dict[str, Any], preset: Preset, out: str | Path | None, resume: bool, held: contextlib.ExitStack
) -> Path:
    """Make the run directory and keep other processes out of it until ``held`` ends.

    A default name that is taken gets a number. Raises `UsageError` if what is there is not the run to be resumed.
    """
    name = preset.name
    if name.startswith(OWN):
        kind, _, place = name.partition(":")
        name = f"{kind}/{Path(os.path.abspath(files.expanded(place))).name}"  # `..` has no name
    directory = files.expanded(out) if out else Path("runs", name, f"{config['profile']}-seed{config['seed']}")
    if not (resume or out):
        numbered = (directory.with_name(f"{directory.name}-{number}") for number in itertools.count(2))
        directory = next(place for place in itertools.chain([directory], numbered) if not _taken(place))
    path = directory / files.CONFIG
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file: name another --out")
    if resume and _taken(directory) and not path.exists():
        raise UsageError(f"{directory} is not a run, so there is nothing to resume; give --out another folder")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{directory} cannot be made ({error.strerror}): name another --out") from None
    held.enter_context(files.held(directory))
    if not resume and _taken(directory):
        raise UsageError(f"{directory} is not empty: --resume continues a run, another --out starts a new one")
    if resume and (directory / CHECKPOINT).exists():
        _check_resumable(directory, files.read_json(path), config)
    elif (directory / files.RESULT).exists() and Run.open(directory).result.get("status") == "completed":
        raise UsageError(f"{directory} is finished, and its {CHECKPOINT} is gone: name another --out")
    return directory


def _check_resumable(directory: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    fields, wanted, data = old.get("preset"), new["preset"], old.get("data", new["data"])
    if not (isinstance(fields, dict) and isinstance(data, dict)):
        raise UsageError(f"{directory / files.CONFIG} is not of a run: it has no sensible preset or data")
    # Where the user's own images are stored may change; the images may not.
    own = all(str(f.get("dataset")).startswith(OWN) for f in (fields, wanted))
    free = (*FREE_ON_RESUME, "name", "dataset") if own else FREE_ON_RESUME
    before = {"profile": old.get("profile"), "seed": old.get("seed"), **fields}
    for key, now in {"profile": new["profile"], "seed": new["seed"], **wanted}.items():
        if key not in free and (then := before.get(key, "nothing")) != now:
            raise UsageError(f"{directory} was trained with {key}={then}, not {now}: use the same, or another --out")
    if data.get("sha256") != new["data"]["sha256"]:
        then, now = described(data), described(new["data"])
        raise UsageError(f"{directory} was trained on other data ({then}) than there are now ({now}): use the former")


def data_label(provenance: dict[str, Any]) -> str:
    """Name of a data set for a badge; a stand-in is named as such."""
    name, count = str(provenance.get("name")), provenance.get("count")
    if not stands_in(provenance):
        return name
    if provenance.get("kind") != "real":
        return f"stand-in for {name}"
    return f"{name} ({count:,} test images)" if count else f"{name} (test images)"


def commit() -> str | None:
    """Commit of the checkout that this library runs from, with ``+edited`` where its files differ; None without git."""
    library = Path(__file__).resolve().parents[1]

    def git(*words: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(library), *words]
        return subprocess.run(command, capture_output=True, encoding="utf8", check=True, timeout=20).stdout.strip()

    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if (library.parent / ".git").exists():
            return git("rev-parse", "--short=12", "HEAD") + "+edited" * bool(git("status", "--porcelain", "*.py"))
    return None


def device_name(device: torch.device) -> str:
    """Name of the hardware, as records print it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{platform.machine()} CPU, {threads} thread{'s' * (threads > 1)}"
