"""A bar for somebody who watches."""

import os
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(items: Iterable[Any] | None, text: str, total: int, *, shown: bool = True, **more: Any) -> Any:
    """A bar of `tqdm` for what takes over two seconds, on a terminal or notebook, unless ``$KMGAN_PROGRESS`` is 0."""
    # A window has no standard error, and a logger in its place may be no terminal.
    watched = getattr(sys.stderr, "isatty", bool)() or (sys.stderr is not None and "ipykernel" in sys.modules)
    hidden = not (shown and watched) or os.environ.get("KMGAN_PROGRESS") == "0"
    return tqdm(items, text, total, disable=hidden, **{"delay": 2, **more})
