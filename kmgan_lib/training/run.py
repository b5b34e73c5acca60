"""A run directory: what is in it, where it goes, and what may continue it."""

import contextlib
import itertools
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kmgan_lib import checks, files, methods, presets
from kmgan_lib.caller import put_aside
from kmgan_lib.config import PROFILES, Preset
from kmgan_lib.data import Images
from kmgan_lib.data.images import described, stands_in
from kmgan_lib.errors import UsageError
from kmgan_lib.fields import OWN, shown
from kmgan_lib.generator import Generator, load_generator
from kmgan_lib.methods.base import Method
from kmgan_lib.training import checkpoint, lock
from kmgan_lib.training.history import read_history

# What a resumed run may change: how long and how often, never what is trained.
FREE_ON_RESUME = ("iterations", "snapshots", "checkpoint_every", "eval_samples")


TAKEN = "{} is not empty: --resume continues a run, another --out starts a new one"


@dataclass
class Run:
    """A run directory and what is in it."""

    directory: Path
    preset: Preset
    profile: str
    seed: int
    result: dict[str, Any]  # content of ``result.json``
    history: list[dict[str, float]]  # rows of ``history.csv``: means of the losses since the row before
    method: Method | None = None  # the trained method, if this process trained it
    images: Images | None = None  # what it was trained on, if that was handed over in Python

    @classmethod
    def open(cls, directory: str | Path) -> "Run":
        """Read a run directory; a `UsageError` says what is missing."""
        directory = files.expanded(checks.path("directory", directory))
        config = files.read_json(directory / files.CONFIG)
        missing = {"preset", "profile", "seed"} - set(config)
        if missing:
            raise UsageError(f"{directory / files.CONFIG} is not of a run: it lacks {', '.join(sorted(missing))}")
        if config["profile"] not in PROFILES or type(config["seed"]) is not int:
            raise UsageError(f"{directory / files.CONFIG} is not of a run: it has no sensible profile or seed")
        preset = presets.from_dict(config["preset"], directory / files.CONFIG)
        path = directory / files.RESULT
        result = files.read_json(path) if path.exists() else {}
        if not all(isinstance(result.get(key, {}), dict) for key in ("data", "metrics")):
            raise UsageError(f"{path} is not of a run: it has no sensible data or metrics")
        return cls(directory, preset, config["profile"], config["seed"], result, read_history(directory))

    @property
    def generator(self) -> Generator:
        """The trained generator, from memory or from the run directory."""
        if self.method is None:
            return load_generator(self.directory)
        return Generator(self.method.frozen_generator(), self.preset)

    @property
    def label(self) -> str:
        """The line under a figure that tells a reader the profile, data and seed of this live run."""
        return " · ".join(["live", self.profile, data_label(self.result.get("data", {})), f"seed {self.seed}"])


@put_aside()
def restore(run: Run, *, device: str = "auto") -> Method:
    """The method of a finished run, from its checkpoint, on a device of any kind."""
    target = pick_device(device)
    method = methods.create(run.preset, device=target, seed=run.seed)
    state = checkpoint.load_checkpoint(run.directory, target)["method"]
    state.pop("rng", None)  # nothing is drawn from it any more, and it may be of another kind of device
    method.load_state_dict(state)
    return method


def pick_device(name: str | torch.device) -> torch.device:
    """The device of a name; ``auto`` is the GPU if there is one, NVIDIA's or Apple's. A `UsageError` if it is none."""
    mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
        if device.type == "meta":  # it holds no numbers
            raise RuntimeError
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, TypeError):  # a PyTorch without CUDA raises the second
        cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        there = ", ".join(["auto", "cpu", *cuda, *["mps"] * mps])
        raise UsageError(f"device {shown(name)} is not there (this machine has {there})") from None
    return device


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bf16, rather than imitating it."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    known = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("amx_bf16") or known.get("avx512_bf16"))


def resolve_precision(preset: Preset, device: torch.device) -> Preset:
    """The preset with ``precision=auto`` replaced by what a device trains with.

    It is bf16 where the device has it, for presets that were found to learn as well in it as in float32, over three
    seeds (``benchmarks/precision.py``); KM-GAN was found not to, and most were not tried.
    """
    if preset.precision != "auto":
        return preset
    quick = preset.name.partition("/")[2] in methods.method_class(preset).bf16_as_good and has_bf16(device)
    return preset.replace(precision="bf16" if quick else "float32")


def _default_directory(preset: Preset, profile: str, seed: int) -> Path:
    name = preset.name
    if name.startswith(OWN):
        kind, _, place = name.partition(":")
        name = f"{kind}/{Path(os.path.abspath(files.expanded(place))).name}"
    return Path("runs", name, f"{profile}-seed{seed}")


def choose_run_dir(preset: Preset, profile: str, seed: int, out: str | Path | None, resume: bool) -> Path:
    """Where the run goes. A run that is there is never overwritten: a default name gets a number behind it."""
    directory = files.expanded(out) if out else _default_directory(preset, profile, seed)
    in_the_way = next((place for place in (directory, *directory.parents) if place.exists()), directory.parent)
    if in_the_way.exists() and not in_the_way.is_dir():
        raise UsageError(f"{in_the_way} is a file; give --out a folder")
    busy = lock.in_use(directory)
    if busy and (out or resume):
        raise lock.refusal(directory)
    taken = busy or _in_it(directory)
    if taken and resume and not (directory / files.CONFIG).exists():
        raise UsageError(f"{directory} is not a run, so there is nothing to resume; give --out another folder")
    if not taken or resume:
        return directory
    if out:
        raise UsageError(TAKEN.format(directory))
    numbered = (directory.with_name(f"{directory.name}-{number}") for number in itertools.count(2))
    return next(place for place in numbered if not place.exists())


def _in_it(directory: Path) -> bool:
    """Whether a folder holds anything but what a run that ended at its very start leaves behind."""
    names = {place.name for place in directory.iterdir()} if directory.exists() else set()
    names -= {lock.LOCK, f".{files.CONFIG}.part"}
    if names != {files.CONFIG}:
        return bool(names)
    try:
        return not {"preset", "profile", "seed"} <= set(files.read_json(directory / files.CONFIG))
    except UsageError:  # somebody else's file of this name
        return True


def claim_run_dir(
    preset: Preset, profile: str, seed: int, out: str | Path | None, resume: bool, held: contextlib.ExitStack
) -> Path:
    """`choose_run_dir`, made and kept from other processes until ``held`` ends."""
    directory = choose_run_dir(preset, profile, seed, out, resume)
    directory.mkdir(parents=True, exist_ok=True)
    held.enter_context(lock.held(directory))
    if not resume and _in_it(directory):  # a run that began and ended since the look at it
        raise UsageError(TAKEN.format(directory))
    return directory


def config_to_resume(preset: Preset, profile: str, seed: int, out: str | Path | None) -> dict[str, Any]:
    """``config.json`` of the run that ``resume`` goes on with; empty where it begins anew.

    A `UsageError` if the run has another profile, seed or algorithm, or is finished and its checkpoint gone: training
    would begin anew, and its result be lost.
    """
    directory = choose_run_dir(preset, profile, seed, out, True)
    result = directory / files.RESULT
    if checkpoint.has_checkpoint(directory):
        old = files.read_json(directory / files.CONFIG)
        _check_resumable(directory, old, {"profile": profile, "seed": seed, "preset": preset.as_dict()})
        return old
    if result.exists() and files.read_json(result).get("status") == "completed":
        raise UsageError(f"{directory} is finished, and its {checkpoint.CHECKPOINT} is gone: name another --out")
    return {}


def _check_resumable(directory: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    fields, wanted = old.get("preset"), new["preset"]
    if not isinstance(fields, dict) or not isinstance(old.get("data", {}), dict):
        raise UsageError(f"{directory / files.CONFIG} is not of a run: it has no sensible preset or data")
    for key in ("profile", "seed"):
        if old.get(key) != new[key]:
            raise UsageError(f"{directory} was trained with {key} {old.get(key)}, not {new[key]}: name another --out")
    # Where images of one's own lie is no part of the training; whether they are the same is asked by `check_data`.
    own = all(str(f.get("dataset")).startswith(OWN) for f in (fields, wanted))
    free = (*FREE_ON_RESUME, "name", "dataset") if own else FREE_ON_RESUME
    for key in wanted:
        if key not in free and fields.get(key, "nothing") != wanted[key]:
            had = f"{directory} was trained with {key}={fields.get(key, 'nothing')}"
            raise UsageError(f"{had}, not {wanted[key]}: use the same, or --out for a new run")


def check_data(old: dict[str, Any], data: dict[str, Any], allowed: bool) -> dict[str, Any]:
    """The provenance of the data that there are now, with what a run had before as ``earlier``.

    ``old`` is the run's ``config.json``, empty for a new run. Other data are a `UsageError`, unless allowed.
    """
    before = old.get("data", data)
    earlier = before.get("earlier", [])
    if before.get("sha256") != data["sha256"]:
        if not allowed:
            then, now = described(before), described(data)
            way = "bring those back, or go on with these by --allow-changed-data"
            raise UsageError(f"the run was trained on other data ({then}) than there are now ({now}): {way}")
        earlier = [*earlier, {key: before.get(key) for key in ("source", "count", "sha256")}]
    return {**data, "earlier": earlier} if earlier else data


def data_label(provenance: dict[str, Any]) -> str:
    """Name of a data set for a badge; what stands in for it says so."""
    name = str(provenance.get("name"))
    if not stands_in(provenance):
        return name
    real = provenance.get("kind") == "real"
    count = f"{provenance['count']:,} " if provenance.get("count") else ""
    return f"{name} ({count}test images)" if real else f"stand-in for {name}"


def commit() -> str | None:
    """Commit of the checkout that this library runs from; None where it is installed, or no git says it.

    It ends in ``+edited`` where the library is not that of the commit, and in ``+vendored`` where the commit is another
    project's, into which the library was copied. Never raises: a note is not worth a run.
    """
    library = Path(__file__).resolve().parents[1]
    if not (library.parent / ".git").exists():
        return None
    head, status = _git(library, "rev-parse", "--short=12", "HEAD"), _git(library, "status", "--porcelain", "*.py")
    if not head or status is None:
        return None
    project = library.parent / "pyproject.toml"
    own = project.is_file() and b'name = "kmgan"' in project.read_bytes()
    return head + ("+edited" if status else "") + ("" if own else "+vendored")


def _git(folder: Path, *words: str) -> str | None:
    # In a hook git names its own repository by variables, which is not the one asked for.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        return subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *words], capture_output=True, encoding="utf8", check=True,
            timeout=20, env=environment,
        ).stdout.strip()  # fmt: skip
    return None


def device_name(device: torch.device) -> str:
    """Name of the hardware, as records print it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{platform.machine()} CPU, {threads} thread{'s' if threads > 1 else ''}"
