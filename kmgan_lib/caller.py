"""What a caller's process has set: put aside while the library computes, and found again afterwards."""

import contextlib
import functools
import importlib
import os
import random
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from tqdm import tqdm


@contextlib.contextmanager
def put_aside() -> Iterator[None]:
    """Within the block, or the function that it decorates, PyTorch has its own defaults.

    They are float32, gradients, no inference mode, and the CPU for tensors that name no device.
    """
    dtype = torch.get_default_dtype()
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":  # not always: within it every operation takes a little longer
            stack.enter_context(torch.device("cpu"))
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        yield


@functools.cache
def import_untraced() -> None:
    """Import what a training would import on its way and what leaves traces.

    rich, which scikit-learn takes along, draws from Python's ``random``; what PyTorch's optimisers import at their
    first step sets an environment variable.
    """
    name, state = "TORCHINDUCTOR_CACHE_DIR", random.getstate()
    before = os.environ.get(name)
    for module in ("rich.style", "torch._dynamo"):
        importlib.import_module(module)
    random.setstate(state)
    if before is None:
        os.environ.pop(name, None)


def progress(items: Iterable[Any] | None, text: str, total: int | None = None) -> Any:
    """A bar on standard error for what takes over two seconds, where somebody watches."""
    return tqdm(items, text, total, delay=2, disable=not on_terminal())


def on_terminal() -> bool:
    """Whether somebody watches standard error, which a window has not and a logger may replace."""
    try:
        return bool(sys.stderr.isatty())
    except (AttributeError, ValueError):  # None, or an object that only writes; closed
        return False
