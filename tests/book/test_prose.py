"""No result is typed by hand: what a chapter's prose says in decimals is a setting or stands in the paper's words."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from kmgan_lib import presets

BOOK = Path(__file__).resolve().parents[2] / "book"
CHAPTERS = sorted(BOOK.glob("*.ipynb"))
SETTINGS = {
    f"{value:.10f}".rstrip("0")
    for preset in presets.PRESETS.values()
    for value in preset.as_dict().values()
    if isinstance(value, float)
} | {"0.02"}  # the deviation of the initial weights
LEFT_OUT = [
    r":::\{admonition\} Paper says\n.*?\n:::",  # the paper's own words and numbers
    r"^```.*?^```", r"`[^`]*`", r"\$\$.*?\$\$", r"\$[^$]*\$", r"\]\([^)]*\)", r"\{[a-z:]+\}`[^`]*`",
    r"(?:Section|Sections|Table|Tables|Fig\.|Figs\.|Eq\.|Eqs\.|and|to) \d+\.[\d.]+",  # places in the paper
]  # fmt: skip


def prose(cell: str) -> str:
    """A Markdown cell without code, mathematics and the paper's words."""
    for pattern in LEFT_OUT:
        cell = re.sub(pattern, " ", cell, flags=re.DOTALL | re.MULTILINE)
    return cell


def typed(text: str) -> list[str]:
    """Decimals in a text that are no settings of a preset."""
    return [number for number in re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", text) if number.rstrip("0") not in SETTINGS]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_no_result_is_typed_into_the_prose(chapter: Path) -> None:
    cells = nbformat.read(chapter, as_version=4).cells
    found = [number for cell in cells if cell.cell_type == "markdown" for number in typed(prose(cell.source))]
    assert found == []


def test_a_typed_result_is_found_and_settings_and_the_papers_words_are_not() -> None:
    assert typed(prose("KM-GAN scores 8.52 here.")) == ["8.52"]
    assert typed(prose("clipped to 0.01, step 0.0002, Section 4.2, `8.52` and $8.52$")) == []
    assert typed(prose(":::{admonition} Paper says\n:class: paper-says\n5.39\n:::\n5.40")) == ["5.40"]
