"""Stage the book with its executed chapters, render it with Jupyter Book, publish the pages."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

from kmgan_book import PHONE
from kmgan_lib.errors import RunFailed

SOURCES, PHONES = "sources", "phone"  # folders of the staged book
CHART = 30_000  # colors, including those of smoothed edges
PAGES = Path("_build") / "html"
PREVIOUS = Path("_build") / "html.previous"
NOT_STAGED = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")


def stage(root: Path, folder: Path, status: str) -> Path:
    """Copy what Jupyter Book reads into ``folder/stage``, executed chapters in place of their sources.

    The copy has the project's layout, so page addresses, links to downloads and literal includes of the library
    are those of the sources. The sources go to ``sources/``, for readers to download.
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
            take_phone_images(staged / "book" / executed.name, staged / PHONES)
    (staged / "book" / "status.md").write_text(status, encoding="utf8")
    return staged


def take_phone_images(chapter: Path, folder: Path) -> None:
    """Make a staged chapter's figures smaller, and move their second images (`kmgan_book.phone`) into a folder.

    There they have the name that MyST-NB gives to the first image: `page_parts` shows them on narrow pages.
    """
    notebook = json.loads(chapter.read_text(encoding="utf8"))
    for data in (output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", [])):
        second = data.pop(PHONE, None)
        if "image/png" in data:
            first = lighter(base64.b64decode("".join(data["image/png"])))
            data["image/png"] = base64.b64encode(first).decode()
            if second:
                folder.mkdir(exist_ok=True)
                name = hashlib.sha256(first).hexdigest()
                (folder / f"{name}.webp").write_bytes(base64.b64decode("".join(second)))
    chapter.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


def lighter(image: bytes) -> bytes:
    """Return a chart with at most 256 colors, if that makes it smaller; photographs, with many colors, stay."""
    with Image.open(io.BytesIO(image)) as file:
        opaque = file.convert("RGB")
    if opaque.getcolors(CHART) is None:
        return image
    buffer = io.BytesIO()
    opaque.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return min(image, buffer.getvalue(), key=len)


def render(staged: Path, builder: str = "html") -> Path:
    """Run Jupyter Book on the staged sources, with warnings as errors; return the folder of the pages.

    A `RunFailed` says why there are none.
    """
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
    raise RunFailed("\n".join([f"Jupyter Book failed; its whole output: {log}", *list(dict.fromkeys(found))[:20]]))


def publish(pages: Path, root: Path) -> None:
    """Put the finished pages in place of the old ones in one step."""
    (root / PAGES).parent.mkdir(exist_ok=True)
    withdraw(root)
    pages.rename(root / PAGES)
    shutil.rmtree(root / PREVIOUS, ignore_errors=True)


def withdraw(root: Path) -> bool:
    """Move the pages of an earlier build aside, so that they are not taken for new ones; return if there were any."""
    target, previous = root / PAGES, root / PREVIOUS
    if not target.exists():
        return False
    shutil.rmtree(previous, ignore_errors=True)
    target.rename(previous)
    return True
