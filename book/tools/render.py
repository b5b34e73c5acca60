"""Stage the book with its executed chapters, render it with Jupyter Book, publish the pages."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from book.tools import phone_images
from book.tools.page_parts import SOURCES

PAGES = Path("_build") / "html"
PREVIOUS = Path("_build") / "html.previous"
NOT_STAGED = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")


class RenderFailed(Exception):
    """Jupyter Book did not make the pages; the text says why."""


def stage(root: Path, folder: Path, status: str) -> Path:
    """Copy what Jupyter Book reads into ``folder/stage``, executed chapters in place of their sources.

    The copy has the project's layout, so page addresses, links to downloads and literal includes of the library
    are those of the sources. These go to ``sources/``: they are what readers download.
    """
    staged = folder / "stage"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    for path in sorted(root.iterdir()):
        if path.is_file() and path.suffix in (".yml", ".md", ".cff"):
            shutil.copy2(path, staged)
    for name in ("book", "kmgan_lib"):
        if (root / name).is_dir():
            shutil.copytree(root / name, staged / name, ignore=NOT_STAGED)
    for executed in (folder / "executed").glob("*.ipynb"):
        source = staged / "book" / executed.name
        if source.exists():
            (staged / SOURCES / "book").mkdir(parents=True, exist_ok=True)
            shutil.move(source, staged / SOURCES / "book")
            shutil.copy2(executed, staged / "book")
            phone_images.take(staged / "book" / executed.name, staged / phone_images.FOLDER)
    (staged / "book" / "status.md").write_text(status, encoding="utf8")
    return staged


def render(staged: Path, builder: str = "html") -> Path:
    """Run Jupyter Book on the staged sources, every warning an error; return the folder of the pages."""
    site = staged.with_name("site" if builder == "html" else builder)
    shutil.rmtree(site, ignore_errors=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "."]
    options = ["-W", "-n", "--keep-going", "--builder", builder, "--path-output", str(site)]
    finished = subprocess.run(
        command + options, cwd=staged, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
        text=True, encoding="utf8", check=False,
    )  # fmt: skip
    # Readers look for the file in the project, not for its staged copy.
    text = re.sub(r"\x1b\[[0-9;]*m", "", finished.stdout).replace(f"{staged}/", "")
    log = staged.with_name("render.log")
    log.write_text(text, encoding="utf8")
    pages = site / "_build" / builder
    if finished.returncode == 0 and (pages / "index.html").exists():
        return pages
    found = [line for line in text.splitlines() if re.search(r"WARNING|ERROR|Error", line)]
    found = found or text.splitlines()[-10:]
    raise RenderFailed("\n".join([f"Jupyter Book failed; its whole output: {log}", *list(dict.fromkeys(found))[:20]]))


def publish(pages: Path, root: Path) -> None:
    """Put the finished pages in place of the old ones in one step."""
    target, previous = root / PAGES, root / PREVIOUS
    target.parent.mkdir(exist_ok=True)
    withdraw(root)
    pages.rename(target)
    shutil.rmtree(previous, ignore_errors=True)


def withdraw(root: Path) -> bool:
    """Move the pages of an earlier build aside, so that they are not taken for this one's; tell if there were any."""
    target, previous = root / PAGES, root / PREVIOUS
    if not target.exists():
        return False
    shutil.rmtree(previous, ignore_errors=True)
    target.rename(previous)
    return True
