"""The README and its image say what the records say; in the prose of chapters no result is typed by hand."""

import hashlib
import re
import xml.etree.ElementTree as ET

import nbformat
import pytest
from PIL import Image

from book.tools import readme
from book.tools.execute import PROJECT
from kmgan_book import claims
from kmgan_lib import presets
from kmgan_lib.errors import UsageError
from kmgan_pages import answer

TEXT = (PROJECT / "README.md").read_text(encoding="utf8")


def test_the_readme_gives_the_answer_of_the_records_first() -> None:
    assert readme.with_answer(TEXT) == TEXT, "`make readme` writes it anew"
    first = next(line for line in TEXT.splitlines() if line and line[0] not in "#<")
    verdicts = {verdict.claim.name: verdict for verdict in claims.verdicts()}
    assert first.startswith(f"**{answer.headline(verdicts)}**")
    with pytest.raises(UsageError, match="needs the lines"):
        readme.with_answer("# A book\n")


def test_the_image_of_the_answer_is_that_of_the_records_and_the_preview_of_links_is_made_from_it() -> None:
    drawn = readme.abstract()
    assert (PROJECT / readme.ABSTRACT).read_text(encoding="utf8") == drawn, "`make readme` draws it anew"
    texts = " ".join(ET.fromstring(drawn).itertext())
    assert all(number in texts for number, _ in answer.numbers())
    path = PROJECT / readme.PREVIEW
    assert path.stat().st_size < 150_000
    with Image.open(path) as image:
        assert image.size == readme.SIZE
        assert image.info["made from"] == hashlib.sha256(drawn.encode()).hexdigest(), "`make readme` draws it anew"


def test_the_readme_is_short_whatever_is_decided() -> None:
    """At most 800 words, also once every claim has its sentence of at most 30 words."""
    own = re.sub(r"<!-- ledger.*end of the ledger -->|<!--.*?-->", "", TEXT, flags=re.DOTALL)
    assert len(own.split()) + 30 * sum(claim.name.startswith("C") for claim in claims.load()) <= 800


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


def test_no_result_is_typed_into_the_prose() -> None:
    for chapter in sorted((PROJECT / "book").glob("*.ipynb")):
        cells = nbformat.read(chapter, as_version=4).cells
        found = [number for cell in cells if cell.cell_type == "markdown" for number in typed(prose(cell.source))]
        assert found == [], chapter.stem
    assert typed(prose("KM-GAN scores 8.52 here.")) == ["8.52"]
    assert typed(prose("clipped to 0.01, step 0.0002, Section 4.2, `8.52` and $8.52$")) == []
    assert typed(prose(":::{admonition} Paper says\n:class: paper-says\n5.39\n:::\n5.40")) == ["5.40"]
