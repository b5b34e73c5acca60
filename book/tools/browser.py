"""Find and start Chromium, for the PDF, for the preview of links and for the tests of the pages."""

import shutil
import subprocess

from kmgan_lib.errors import UsageError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Without a sandbox of its own, which containers do not allow, and without calls to the maker's servers.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def chromium() -> str | None:
    """Return the path of the browser, or None if there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def run(*options: str) -> None:
    """Run the browser without a window; raises `subprocess.SubprocessError` if it fails."""
    path = chromium()
    if path is None:
        raise UsageError("Chromium is needed, for example Debian's package: apt-get install chromium")
    subprocess.run([path, "--headless", *FLAGS, *options], check=True, capture_output=True, timeout=300)
