"""Speed, measured side by side: every candidate in a process of its own, all of them in turn, medians of repeats.

Ratios within one run are meaningful even on a machine that does other work meanwhile; single times are not.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from benchmarks.startup import startup
from kmgan_lib import presets
from kmgan_lib.centers import CenterBank, assign, kmeans_plus_plus
from kmgan_lib.errors import RunFailed
from kmgan_lib.models.layers import scale_width
from kmgan_lib.training.run import commit, device_name, pick_device

SCHEMA = 1
CHECKOUT = Path(__file__).resolve().parent.parent
SECTIONS = ("methods", "plain", "kmeans", "growth", "startup")
GROUPS = ("mnist", "cifar10-32")
Report = dict[str, Any]


class Candidate:
    """A process that iterates on request.

    Parameters
    ----------
    spec : mapping
        As `benchmarks.worker` takes it: ``preset``, ``profile`` and ``overrides``, or ``plain`` with a network.
    device : torch.device
    """

    def __init__(self, spec: Mapping[str, Any], device: torch.device):
        paths = os.pathsep.join((str(CHECKOUT), os.environ.get("PYTHONPATH", "")))
        environment = dict(os.environ, KMGAN_THREADS=str(torch.get_num_threads()), PYTHONPATH=paths)
        self.spec, self.last = dict(spec), dict[str, Any]()
        self.times: list[dict[str, float]] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", json.dumps({**spec, "device": str(device)})],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self.about = self._answer()

    def run(self, iterations: int) -> None:
        """Iterate, and add the seconds of one iteration to ``times``."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{iterations}\n")
        self._process.stdin.flush()
        self.last = self._answer()
        self.times.append({key: self.last[key] / iterations for key in ("seconds", "cpu_seconds")})

    def _answer(self) -> Report:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.__exit__()
            raise RunFailed(f"the process that measures {self.spec} ended with status {self._process.returncode}")
        return json.loads(line)

    def __enter__(self) -> Candidate:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def result(self) -> Report:
        """Medians, and what the process reported about itself."""
        seconds = statistics.median(t["seconds"] for t in self.times)
        return {
            **self.spec, **self.about, "seconds": seconds, "images_per_second": self.about["images"] / seconds,
            "cpu_seconds": statistics.median(t["cpu_seconds"] for t in self.times), "times": self.times,
            "peak_megabytes": [self.about["peak_megabytes"], self.last["peak_megabytes"]],
        }  # fmt: skip


def compare(
    specs: Mapping[str, Mapping[str, Any]], device: torch.device, *, repeats: int = 5, iterations: int = 3
) -> Report:
    """Let candidates iterate in turn, so that all run under the same conditions.

    Parameters
    ----------
    specs : mapping
        Name to specification, see `Candidate`.
    device : torch.device
    repeats : int
        Rounds, over which medians are taken.
    iterations : int
        Iterations of each candidate in a round.

    Returns
    -------
    dict
        Name to `Candidate.result`; ``speed`` is the median over rounds of the first candidate's time per image over
        this one's, ``cpu_speed`` the same for CPU time, which other work hardly affects on one thread.
    """
    with ExitStack() as stack:
        candidates = {name: stack.enter_context(Candidate(spec, device)) for name, spec in specs.items()}
        for _ in range(repeats):
            for candidate in candidates.values():
                candidate.run(iterations)
        results = {name: candidate.result() for name, candidate in candidates.items()}
    first = next(iter(results.values()))
    for result in results.values():
        share = result["images"] / first["images"]
        for key, name in (("seconds", "speed"), ("cpu_seconds", "cpu_speed")):
            rounds = zip(first["times"], result["times"], strict=True)
            result[name] = statistics.median(share * a[key] / b[key] for a, b in rounds if b[key]) if repeats else 0.0
    return results


def seconds_of(work: Callable[[], object], device: torch.device, repeats: int = 7) -> float:
    """Median time of one call, after one warm-up call."""
    times = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int = 1024) -> float:
    """Floating-point operations per second in a square matrix product."""
    a = torch.randn(size, size, device=device).to(dtype)
    return 2 * size**3 / seconds_of(lambda: a @ a, device)


def kmeans_seconds(b: int, k: int, d: int, device: torch.device, repeats: int = 7) -> float:
    """Time of one iteration's K-Means: both assignments, the gate of the center step, the update of both banks."""
    f, g = torch.randn(2, b, d, device=device)
    bank, loss = CenterBank(k, d, device=device), torch.ones((), device=device)
    bank.real.copy_(torch.randn(k, d, device=device))

    def work() -> None:
        real, fake = assign(f, bank.real), assign(g, bank.real)
        (loss <= 0).float()
        bank.update(f, g, real, fake)

    if device.type != "cuda":
        return seconds_of(work, device, repeats)
    work()
    graph = torch.cuda.CUDAGraph()  # like the iteration that this is part of
    with torch.cuda.graph(graph):
        work()
    return seconds_of(graph.replay, device, repeats)


def _growth(device: torch.device, repeats: int) -> Report:
    sizes = {"b": (32, 64, 128, 256), "k": (5, 10, 20, 40), "d": (64, 256, 1024, 4096)}
    fixed = {"b": 64, "k": 10, "d": 1024}
    grown = {
        name: [[n, kmeans_seconds(**{**fixed, name: n}, device=device, repeats=repeats)] for n in values]
        for name, values in sizes.items()
    }
    generator = torch.Generator(device).manual_seed(0)
    features = torch.randn(8_000, 100, device=device)
    grown["images"] = [
        [n, seconds_of(lambda n=n: kmeans_plus_plus(features[:n], 10, generator), device, repeats)]
        for n in (1_000, 2_000, 4_000, 8_000)
    ]
    return grown


def _spec(name: str, profile: str, **overrides: Any) -> Report:
    return {"preset": name, "profile": profile, "overrides": overrides}


def _methods(device: torch.device, profile: str, rounds: Mapping[str, int]) -> Report:
    names = [n for n in presets.PRESETS if n.split("/")[0] in GROUPS and n.split("/")[1] in presets.METHODS]
    measured: Report = {}
    for group in GROUPS:
        first = f"{group}/dcgan"
        others = [name for name in names if name.startswith(f"{group}/") and name != first]
        for name in others:  # each process holds its networks and data, so only a few at a time
            measured |= compare({n: _spec(n, profile) for n in (first, name)}, device, **rounds)
    return measured


def _plain(device: torch.device, profile: str, rounds: Mapping[str, int]) -> Report:
    same: dict[str, Any] = {
        "generator_updates": 1, "head": "bn-relu", "conv_first": 64, "conv_second": 128, "conditional": False,
    }  # fmt: skip
    grey, colour = "mnist/dcgan-carpedm20", "cifar10-32/dcgan-table3"  # the networks of the plain loop
    mnist = {
        "plain mnist": {"plain": "mnist"}, grey: _spec(grey, profile),
        f"{grey} bf16": _spec(grey, profile, precision="bf16"),
        f"{grey}, one update each": _spec(grey, profile, generator_updates=1),
        f"{grey}, one update each, KM-GAN's networks": _spec(grey, profile, **same),
        "mnist/kmgan": _spec("mnist/kmgan", profile),
    }  # fmt: skip
    cifar10 = {
        "plain cifar10-32": {"plain": "cifar10-32"}, colour: _spec(colour, profile),
        f"{colour} bf16": _spec(colour, profile, precision="bf16"),
    }  # fmt: skip
    return compare(mnist, device, **rounds) | compare(cifar10, device, **rounds)


def _kmeans(device: torch.device, profile: str, rounds: Mapping[str, int]) -> Report:
    specs = {
        "mnist/kmgan, penultimate features": _spec("mnist/kmgan", profile, head="penultimate"),
        "mnist/reduced": _spec("mnist/reduced", profile),
    }
    shares: Report = {}
    for name, result in compare(specs, device, **rounds).items():
        d = 784 if name == "mnist/reduced" else scale_width(1024, presets.resolve("mnist/kmgan", profile).width)
        seconds = kmeans_seconds(64, 10, d, device)
        shares[name] = {"b": 64, "k": 10, "d": d, "seconds": seconds, "iteration": result["seconds"]}
        shares[name]["share"] = seconds / result["seconds"]
    return shares


def measure(*, quick: bool = False, only: Sequence[str] = (), device: str = "auto") -> Report:
    """Measure the speed of this library on this machine.

    Parameters
    ----------
    quick : bool
        The profile ``quick`` instead of ``paper``, and fewer repeats.
    only : sequence of str
        Some of ``methods`` (images per second of each), ``plain`` (against the plain loop), ``kmeans`` (its share of an
        iteration), ``growth`` (of K-Means with b, k, d and the number of images) and ``startup``; all by default.
    device : str
        ``auto``, ``cpu``, ``cuda`` ...

    Returns
    -------
    dict
        Ready for JSON, with the machine, versions and commit. Seconds are those of one iteration, ``utilisation`` is
        the counted floating-point operations per second over the rate of a matrix product on this device in this type.
    """
    target, profile = pick_device(device), "quick" if quick else "paper"
    rounds = {"repeats": 3, "iterations": 2} if quick else {"repeats": 7, "iterations": 3}
    wanted = only or SECTIONS
    rates = {"float32": matmul_rate(target, torch.float32), "bf16": matmul_rate(target, torch.bfloat16)}
    report: Report = {
        "schema": SCHEMA, "device": device_name(target), "machine": platform.machine(), "profile": profile,
        "threads": torch.get_num_threads(), "commit": commit(), **rounds, "matmul_flops": rates,
        "tf32": {"plain loop": torch.backends.cudnn.allow_tf32, "matmul": torch.backends.cuda.matmul.allow_tf32},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }  # fmt: skip
    work: dict[str, Callable[[], Report]] = {
        "methods": lambda: _methods(target, profile, rounds), "plain": lambda: _plain(target, profile, rounds),
        "kmeans": lambda: _kmeans(target, profile, rounds), "growth": lambda: _growth(target, rounds["repeats"]),
        "startup": startup,
    }  # fmt: skip
    for section in wanted:
        report[section] = work[section]()
    for result in (r for section in ("methods", "plain") for r in report.get(section, {}).values()):
        if result.get("flops"):
            result["utilisation"] = result["flops"] / result["seconds"] / rates[result["precision"]]
    return report
