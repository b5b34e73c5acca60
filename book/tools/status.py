"""The page of execution statistics: what was executed for this build, when, for how long, and on which device."""

import os
import platform
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from book.tools.execute import Outcome
from book.tools.profiles import Profile

Rows = dict[str, tuple[str, Outcome | None]]  # for each chapter: a word about its executed copy, and how it was made
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "matplotlib", "papermill", "jupyter-book")


def _answer(*command: str) -> str:
    """Return what a command prints, or nothing if it is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def device() -> str:
    """Name the GPU, or else the CPU, without importing torch."""
    cards = _answer("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    if cards:
        return cards.splitlines()[0]
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"CPU, {os.cpu_count()} cores ({names[0] if names else platform.machine()})"


def commit(root: Path) -> str:
    """Name the commit, with a note if files differ from it."""
    name = _answer("git", "-C", str(root), "rev-parse", "--short=10", "HEAD")
    if not name:
        return "no commit"
    return f"{name} with local changes" if _answer("git", "-C", str(root), "status", "--porcelain") else name


def _code(text: str) -> str:
    """Return text as code in a table cell: in enough backticks, and without bars or line breaks of its own."""
    line = " ".join(text.split()).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {line} {fence}" if longest else f"{fence}{line}{fence}"


def page(root: Path, profile: Profile, rows: Rows) -> str:
    """Return the page in MyST Markdown."""
    lines = [
        "# Execution statistics",
        "",
        f"This book was built under the profile **{profile.name}**. A chapter runs in a process of its own; "
        f"a cell that takes longer than {profile.cell_timeout} s fails the build. Times are wall-clock seconds and "
        "include starting the kernel.",
        "",
        "| Chapter | State | Seconds | Finished (UTC) | Parameters of this run |",
        "|---|---|--:|---|---|",
    ]
    total = 0.0
    for chapter, (word, outcome) in rows.items():
        cells = ["–", "–", "–"]
        if outcome:
            given = ", ".join(_code(f"{key} = {value!r}") for key, value in outcome.parameters.items())
            when = outcome.finished.replace("T", " ").removesuffix("+00:00")
            cells = [f"{outcome.seconds:.1f}", when, given or "its defaults"]
            total += outcome.seconds
        lines.append("| " + " | ".join([f"{{doc}}`{chapter}`", word, *cells]) + " |")
    lines += [
        "",
        f"Together {total:.0f} s of chapter time, {profile.workers} at a time.",
        "",
        "## Made with",
        "",
        "| What | Which |",
        "|---|---|",
        f"| Device | {_code(device())} |",
        f"| System | {platform.system()} {platform.machine()}, Python {platform.python_version()} |",
        f"| Commit | {commit(root)} |",
    ]
    lines += [f"| {name} | {metadata.version(name)} |" for name in PACKAGES]
    return "\n".join(lines) + "\n"
