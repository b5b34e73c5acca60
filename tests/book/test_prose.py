"""The README and the chapters say what the records say, no result is typed by hand, and terms are linked."""

import functools
import hashlib
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

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


def test_every_reading_that_the_library_cites_is_a_row_of_the_appendix() -> None:
    source = "".join(path.read_text(encoding="utf8") for path in (PROJECT / "kmgan_lib").rglob("*.py"))
    cited = re.findall(r"\brows? (\d+)(?: and (\d+))?", source)
    cells = nbformat.read(PROJECT / "book" / "ablations.ipynb", 4).cells
    (table,) = (cell.source for cell in cells if cell.source.startswith("(all-readings)="))
    assert len(cited) > 30
    assert {number for pair in cited for number in pair if number} <= set(
        re.findall(r"^\| (\d+) \|", table, re.MULTILINE)
    )


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


BOOK = Path(__file__).resolve().parents[2] / "book"
PAGES = sorted(
    page
    for pattern in ("*.ipynb", "*.md")
    for page in BOOK.glob(pattern)
    if page.stem not in ("api", "bibliography", "changelog", "glossary", "library", "status")
)
# How pages mention a term, where it is not the term itself or its plural.
MENTIONS = {
    "Batch": r"batch(?:es)?\b(?! normali)",
    "Center": r"centers?\b(?! loss| step| by center)",
    "Claim": r"claims?\b(?! image)",
    "Cluster label": r"cluster(?:ing)? labels?",
    "Collapse": r"(?:mode )?collaps(?:e|es|ed)",
    "Conditional GAN": r"conditional (?:GAN|model)s?",
    "Corrected share": r"corrected shares?",
    "Deep metric learning (DML)": r"(?:deep )?metric learning",
    "Entropy of assignment": r"entropy(?: of assignment)?",
    "Failed run": r"failed (?:recorded )?runs?",
    "FID on 768 features": r"FID",
    "Feature": r"features?\b(?! space| matching)",
    "Feature space, pixel space": r"(?:feature|pixel) space",
    "K-Means": r"K-Means\b(?!\+\+|-friendly)",
    "KM-GAN": r"(?<!educed )(?<!eneralized )KM-GAN\b(?!\+)",
    "Last weights, running average": r"last weights|running average",
    "Reading": r"(?<!for )readings?\b(?! (?:the|a)\b)",
    "Record": r"records?",
    "Spread": r"in spreads|spreads away",
    "Undecided": r"(?<=\*)undecided(?=\*)",
    "Weight clipping": r"(?:weight )?clipping",
}
NO_LINK = {"$d_{round}$"}  # a role cannot hold a formula
# What is no prose: boxes with the paper's words, code and formulas, roles, links, headings, tables.
NO_PROSE = re.compile(
    r":::\{admonition\} Paper says\n.*?\n:::|^`{3,}(?!`*\{(?:exercise|solution|container)).*?^`{3,}\s*$|\$\$.*?\$\$"
    r"|\{[\w:-]+\}`[^`]*`|`[^`\n]*`|\$[^$]*\$|\[[^\]]*\]\([^)]*\)|^:{3,}.*?$|^`{3,}.*?$|^:\w+:.*?$|^\s*#.*?$|^\|.*?$|^\(\S+\)=$",
    re.DOTALL | re.MULTILINE,
)


def terms() -> dict[str, re.Pattern[str]]:
    """Each term of the glossary with a pattern of its mentions."""
    body = (BOOK / "glossary.md").read_text(encoding="utf8").partition("```{glossary}\n")[2]
    names = [line for line in body.splitlines() if line and not line.startswith((" ", "`"))]
    return {
        name: re.compile(rf"(?<![\w-])(?:{MENTIONS.get(name, re.escape(name) + 's?')})(?![\w-])", re.IGNORECASE)
        for name in names
        if name not in NO_LINK
    }


def text_of(page: Path) -> str:
    text = page.read_text(encoding="utf8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return text


@functools.cache
def blanked(text: str) -> str:
    """The text with everything else blank, at the same places."""
    return NO_PROSE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def unlinked(text: str, name: str, mention: re.Pattern[str]) -> re.Match[str] | None:
    """The first mention of a term that no link precedes."""
    first = mention.search(blanked(text))
    link = re.search(rf"\{{term\}}`(?:[^`]*<)?{re.escape(name)}>?`", text, re.IGNORECASE)
    return first if first and (link is None or first.start() < link.start()) else None


def test_terms_are_linked_at_their_first_use() -> None:
    known = terms()
    for page in PAGES:
        text = text_of(page)
        found = {name: match for name, mention in known.items() if (match := unlinked(text, name, mention))}
        lines = {name: text[: match.start()].count("\n") for name, match in found.items()}
        assert {name: text.splitlines()[line].strip() for name, line in lines.items()} == {}, page.stem
    seed = known["Seed"]
    assert unlinked("## Seeds\n`seed` of $seed$\n\nTwo seeds, {term}`seeds <Seed>`.", "Seed", seed)
    assert not unlinked("Two {term}`seeds <Seed>`, three seeds.", "Seed", seed)
