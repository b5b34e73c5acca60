"""A progress bar, shown only where somebody can watch it."""

import os
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(items: Iterable[Any] | None, text: str, total: int, *, shown: bool = True, **more: Any) -> Any:
    """A `tqdm` bar for work of over two seconds, on a terminal or in a notebook, unless ``$KMGAN_PROGRESS`` is 0."""
    # A windowed Python has no standard error, and a logger in its place may lack `isatty`.
    watched = getattr(sys.stderr, "isatty", bool)() or (sys.stderr is not None and "ipykernel" in sys.modules)
    hidden = not (shown and watched) or os.environ.get("KMGAN_PROGRESS") == "0"
    return tqdm(items, text, total, disable=hidden, **{"delay": 2, **more})
