"""A bar for somebody who watches."""

import os
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(
    items: Iterable[Any] | None, text: str, total: int | None = None, *, shown: bool = True, **options: Any
) -> Any:
    """A bar on standard error for what takes over two seconds; `tqdm` has these and further ``options``.

    It shows on a terminal, which a window has not and a logger may replace, and in a notebook, unless ``shown`` is
    false or ``$KMGAN_PROGRESS`` is 0.
    """
    watched = getattr(sys.stderr, "isatty", bool)() or (sys.stderr is not None and "ipykernel" in sys.modules)
    shown = shown and watched and os.environ.get("KMGAN_PROGRESS") != "0"
    return tqdm(items, text, total, disable=not shown, **{"delay": 2, **options})
