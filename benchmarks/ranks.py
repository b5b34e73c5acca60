"""Two processes with one thread each against one process with two: the time of an iteration, side by side.

``python benchmarks/ranks.py [--out FILE]`` starts itself under torchrun, in turn with a single process, and reports the
median ratio of images a second over the rounds, for small networks and for the paper's width.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from kmgan_lib import distributed, methods, presets
from kmgan_lib.checkpoint import write_json
from kmgan_lib.graph import Stepper
from kmgan_lib.machine import prepare
from kmgan_lib.methods.base import draw_noise
from kmgan_lib.run import commit

CASES = {  # preset, profile, batch, iterations
    "mnist/kmgan, quick, b = 64": ("mnist/kmgan", "quick", 64, 60),
    "mnist/kmgan, paper, b = 64": ("mnist/kmgan", "paper", 64, 12),
    "mnist/kmgan, paper, b = 256": ("mnist/kmgan", "paper", 256, 6),
    "cifar10-32/kmgan, paper, b = 64": ("cifar10-32/kmgan", "paper", 64, 6),
    "celeba/generalized, paper, b = 64": ("celeba/generalized", "paper", 64, 3),
}
ROUNDS, WARM_UP = 5, 2


def work() -> None:
    """One process of a measurement: seconds of an iteration of each case, printed by rank 0."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    device, found = torch.device("cpu"), {}
    with distributed.joined(device):
        prepare(device)
        for name, (preset_name, profile, batch, iterations) in CASES.items():
            preset = presets.resolve(preset_name, profile, batch=batch, init_images=256)
            method = methods.create(preset, device=device, seed=0)
            generator, shape = torch.Generator().manual_seed(0), (preset.channels, preset.image_size, preset.image_size)
            method.setup(torch.randint(0, 256, (256, *shape), generator=generator, dtype=torch.uint8))
            images, noise = torch.rand(batch, *shape, generator=generator), draw_noise(preset, batch, generator)
            step = Stepper(method)
            for _ in range(WARM_UP):
                step(images, None, noise)
            distributed.wait()
            begun = time.perf_counter()
            for _ in range(iterations):
                step(images, None, noise)
            distributed.wait()
            found[name] = (time.perf_counter() - begun) / iterations
    if distributed.rank() == 0:
        sys.stdout.write(json.dumps(found) + "\n")


def measured(ranks: int, threads: int) -> dict[str, float]:
    """Seconds of an iteration of each case, on so many processes."""
    start = [sys.executable]
    if ranks > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [*start, __file__, "--worker"], env=environment, check=True, text=True, stdout=subprocess.PIPE
    )
    return json.loads(done.stdout)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="write the report there, as JSON")
    options = parser.parse_args()
    if options.worker:
        work()
        return
    rounds = [(measured(1, 2), measured(2, 1)) for _ in range(ROUNDS)]
    report = {
        name: {
            "one_process_seconds": statistics.median(one[name] for one, _ in rounds),
            "two_ranks_seconds": statistics.median(two[name] for _, two in rounds),
            "ratio": statistics.median(one[name] / two[name] for one, two in rounds),
            "ratios": [one[name] / two[name] for one, two in rounds],
        }
        for name in CASES
    }
    for name, result in report.items():
        sys.stdout.write(f"{name}: two ranks at {result['ratio']:.2f} times the images a second of one process\n")
    if options.out:
        device = f"{platform.machine()} CPU, {os.cpu_count()} cores"
        write_json(options.out, {"rounds": ROUNDS, "device": device, "commit": commit(), "cases": report})


if __name__ == "__main__":
    main()
