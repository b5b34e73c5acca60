"""Where Chromium is and how it is started, for the PDF and for the tests of the pages."""

from __future__ import annotations

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Without a sandbox of its own, which containers do not allow, and without calls to the maker's servers.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str | None:
    """Return the path of the browser, or None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)
