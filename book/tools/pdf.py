"""Print the book that was built as one PDF: all chapters become one page, which a headless Chromium prints."""

import re
import tempfile
from pathlib import Path

from book.tools import browser, render
from book.tools.profiles import need

PDF = Path("_build") / "kmgan.pdf"


def one_page(staged: Path) -> Path:
    """Return the whole book as one page with every folded solution open."""
    pages = render.render(staged, "singlehtml")
    (source,) = [page for page in pages.rglob("*.html") if page.parent != pages and "_static" not in page.parts]
    text = re.sub(r"<details\b", "<details open", source.read_text(encoding="utf8"))
    text = re.sub(r"\b(toggle)-hidden\b", r"\1", text)
    # Its links to style sheets and pictures are those of a page in the top folder.
    target = pages / "book.html"
    target.write_text(text, encoding="utf8")
    return target


def make(root: Path, profile: str) -> Path:
    """Return the file that Chromium printed once the mathematics of the page was set."""
    staged, target = root / "build" / "book" / profile / "stage", root / PDF
    need((staged / "_toc.yml").exists(), f"no book of profile {profile} yet: make book PROFILE={profile}")
    page = one_page(staged)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as user:
        options = [f"--user-data-dir={user}", "--no-pdf-header-footer", "--virtual-time-budget=60000"]
        browser.run(*options, f"--print-to-pdf={target}", page.as_uri())
    return target
