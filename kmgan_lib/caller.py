"""What a caller's process has set: put aside while the library computes, and found again afterwards."""

import contextlib
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
    elsewhere = torch.get_default_device().type != "cpu"  # within a device's block every operation takes a bit longer
    torch.set_default_dtype(torch.float32)
    try:
        device = torch.device("cpu") if elsewhere else contextlib.nullcontext()
        with torch.inference_mode(False), torch.enable_grad(), device:
            yield
    finally:
        torch.set_default_dtype(dtype)


def progress(items: Iterable[Any] | None, text: str, total: int | None = None) -> Any:
    """A bar on standard error for what takes over two seconds, where somebody watches."""
    return tqdm(items, text, total, delay=2, disable=not on_terminal())


def on_terminal() -> bool:
    """Whether somebody watches standard error, which a window has not, and which a logger may replace."""
    return getattr(sys.stderr, "isatty", bool)()
