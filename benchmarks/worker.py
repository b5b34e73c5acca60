"""One candidate of `kmgan bench`: a process that reads a number of iterations per line and answers with their time."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import plain_loop
from kmgan_lib import methods, presets
from kmgan_lib.data import Images
from kmgan_lib.training.graph import WARM_UP, Stepper
from kmgan_lib.training.loop import Batches

PICTURES = 4_096


def candidate(spec: dict[str, Any]) -> tuple[Callable[[], object], dict[str, Any]]:
    """What to call for one iteration, and its ``images``, ``precision`` and counted ``flops``."""
    device = torch.device(spec["device"])
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (PICTURES,), generator=generator)
    if "plain" in spec:
        module = plain_loop
        s = module.SETTINGS[spec["plain"]]
        shape = (PICTURES, s.channels, s.image_size, s.image_size)
        pixels = torch.randint(256, shape, generator=generator).byte()
        loop = module.PlainLoop(s, pixels.numpy(), labels.numpy())
        return loop.iterate, {"images": s.batch, "precision": "float32", "flops": _count(loop.iterate)}

    preset = presets.resolve(spec["preset"], spec["profile"], **spec["overrides"])
    shape = (PICTURES, preset.channels, preset.image_size, preset.image_size)
    images = Images(torch.randint(256, shape, generator=generator).byte(), labels).to(device)
    method = methods.create(preset, device=device)
    method.setup(images.tensor[: max(512, preset.batch)])
    batches, step, count = Batches(images, preset, device, 0), Stepper(method), method.batches_per_step(100)

    def iterate() -> None:
        method.before_step(1)
        step(*batches.draw(count))
        method.update_average(1)

    flops = _count(lambda: method.step(*batches.draw(count)))
    return iterate, {"images": count * preset.batch, "precision": preset.precision, "flops": flops}


def _count(iterate: Callable[[], object]) -> int:
    counter = FlopCounterMode(display=False)
    with counter:
        iterate()
    return counter.get_total_flops()


def peak_megabytes() -> float:
    """The most memory that this process has held: on the GPU if there is one, else in total."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def serve(spec: dict[str, Any], inputs: TextIO, outputs: TextIO) -> None:
    """Build the candidate, then answer each line with the time of so many iterations."""

    def say(answer: dict[str, Any]) -> None:
        outputs.write(json.dumps({**answer, "peak_megabytes": peak_megabytes()}) + "\n")
        outputs.flush()

    iterate, about = candidate(spec)
    for _ in range(WARM_UP + 1 if torch.cuda.is_available() else 1):
        iterate()
    say(about)
    for line in inputs:
        begun, processor = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            iterate()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        say({"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - processor})


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("KMGAN_THREADS", torch.get_num_threads())))
    wanted = json.loads(sys.argv[1])
    torch.backends.cudnn.allow_tf32 = "plain" in wanted  # a training rounds no convolution
    serve(wanted, sys.stdin, sys.stdout)
