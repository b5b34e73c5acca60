"""How long the library takes to start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from kmgan_lib.errors import RunFailed


def startup() -> dict[str, float]:
    """Seconds to import torch, then this package, then its trainer; and until a training run shows its progress."""
    script = (
        "import time; a = time.perf_counter(); import torch; b = time.perf_counter(); import kmgan_lib; "
        "c = time.perf_counter(); import kmgan_lib.training.trainer; print(b - a, c - b, time.perf_counter() - c)"
    )
    words = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    names = ("import_torch", "import_kmgan_lib", "import_trainer")
    result = {name: float(word) for name, word in zip(names, words, strict=True)}
    with tempfile.TemporaryDirectory() as folder:
        train = ["train", "digits/kmgan", "--profile", "smoke", "--out", f"{folder}/run"]
        result["first_progress"] = _until_progress([sys.executable, "-m", "kmgan_lib", *train])
    return result


def _until_progress(command: Sequence[str]) -> float:
    """Seconds until a command shows a progress bar, which it does only on a terminal."""
    import pty  # both exist only where there are terminals
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))  # a bar needs some width
    environment = {k: v for k, v in os.environ.items() if k != "KMGAN_PROGRESS"}
    begun, seen = time.perf_counter(), b""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment) as process:
        os.close(theirs)
        while not re.search(rb"\d+%\|", seen):
            try:
                seen += os.read(ours, 4096)
            except OSError:  # the terminal's other end is closed
                raise RunFailed(f"{' '.join(command)} showed no progress: {seen.decode()[-300:]}") from None
        seconds = time.perf_counter() - begun
        process.kill()
    os.close(ours)
    return seconds
