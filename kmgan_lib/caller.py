"""Whether somebody watches, and a bar for them."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(items: Iterable[Any] | None, text: str, total: int | None = None) -> Any:
    """A bar on standard error for what takes over two seconds, where somebody watches."""
    return tqdm(items, text, total, delay=2, disable=not on_terminal())


def on_terminal() -> bool:
    """Whether somebody watches standard error, which a window has not, and which a logger may replace."""
    return getattr(sys.stderr, "isatty", bool)()
