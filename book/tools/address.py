"""Write the repository's address where readers need it.

It goes into `_config.yml` (Binder and Colab buttons), `CITATION.cff` and the first cell of every chapter, which fetches
the library if it is not installed. Without an argument the address in `_config.yml` is kept, and chapters that lack the
cell get it.
"""

import re
from pathlib import Path

import nbformat

from book.tools import profiles
from kmgan_book.strict import read_yaml

ID, TAG = "fetch-library", "remove-cell"  # readers of the page do not need it
CELL = """\
# Where the library is not installed, take it from a folder above, or fetch it with the book, as on Colab.
import importlib.util
import subprocess
import sys
from pathlib import Path

repository = "{address}"
if importlib.util.find_spec("kmgan_lib") is None:
    here = Path.cwd()
    folder = next((place for place in (here, *here.parents) if (place / "kmgan_lib").is_dir()), here / "kmgan-book")
    if repository and not folder.exists():
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", repository, folder], check=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "-e", folder, "-e", folder / "book"], check=True)
    sys.path[:0] = [str(folder), str(folder / "book")]
    importlib.invalidate_caches()
if not (importlib.util.find_spec("kmgan_lib") and importlib.util.find_spec("torch")):
    command = sys.executable + " -m pip install -e . -e ./book"
    raise ModuleNotFoundError("this kernel lacks the library: in the book's checkout run `" + command + "`")"""
KNOWN = re.compile(r"https://github\.com/[\w-]+/[\w.-]+")


def configured(root: Path) -> str:
    """Return the address in `_config.yml`, empty if there is none."""
    return read_yaml(root / "_config.yml")["repository"]["url"]


def give_cell(chapter: Path, address: str) -> None:
    """Put the cell, with this address, in front of a chapter's first cell of code."""
    notebook = nbformat.read(chapter, as_version=4)
    rest = [cell for cell in notebook.cells if cell.id != ID]
    place = next(index for index, cell in enumerate(rest) if cell.cell_type == "code")
    first = nbformat.v4.new_code_cell(CELL.format(address=address), id=ID, metadata={"tags": [TAG]})
    notebook.cells = [*rest[:place], first, *rest[place:]]
    nbformat.write(notebook, chapter)


def write(root: Path, url: str | None) -> None:
    """Write the address, by default the present one, into the configuration, the citation and the chapters."""
    address = url or configured(root)
    known = not address or KNOWN.fullmatch(address)
    profiles.need(bool(known), f"{address} is not of the form https://github.com/owner/name")
    config, citation = root / "_config.yml", root / "CITATION.cff"
    text = config.read_text(encoding="utf8")
    config.write_text(re.sub(r'^  url: ".*"$', f'  url: "{address}"', text, flags=re.MULTILINE), encoding="utf8")
    lines = [line for line in citation.read_text(encoding="utf8").splitlines() if "repository-code:" not in line]
    if address:
        place = next(index for index, line in enumerate(lines) if line.startswith("license:"))
        lines.insert(place, f'repository-code: "{address}"')
    citation.write_text("\n".join(lines) + "\n", encoding="utf8")
    for chapter in profiles.chapters(root).values():
        give_cell(chapter, address)
