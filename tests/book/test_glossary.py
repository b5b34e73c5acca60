"""The glossary's terms are linked where a page uses them first."""

import functools
import json
import re
from pathlib import Path

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
    "Judge": r"(?:a|the) judge",
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
def prose(text: str) -> str:
    """The text with everything else blank, at the same places."""
    return NO_PROSE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def unlinked(text: str, name: str, mention: re.Pattern[str]) -> re.Match[str] | None:
    """The first mention of a term that no link precedes."""
    first = mention.search(prose(text))
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
