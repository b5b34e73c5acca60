"""Print the book as one PDF: ``python -m book.tools.pdf [--profile smoke|quick|paper]``, after ``make book``.

All chapters become one page, which a headless Chromium prints. Exit status 2 where there is no book or no Chromium.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from book.tools import browser, render
from book.tools.execute import PROJECT

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


def print_page(chromium: str, page: Path, target: Path) -> None:
    """Let Chromium print a page once its mathematics is set."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        options = [f"--user-data-dir={profile}", "--no-pdf-header-footer", "--virtual-time-budget=60000"]
        browser.run(chromium, *options, f"--print-to-pdf={target}", page.as_uri())


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book.tools.pdf", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--profile", default="smoke", help="the profile that the book was built under (default: smoke)")
    parser.add_argument("--root", type=Path, default=PROJECT, help="the folder that holds _toc.yml")
    options = parser.parse_args(arguments)
    root: Path = options.root.resolve()
    staged = root / "build" / "book" / options.profile / "stage"
    chromium = browser.chromium()
    if chromium is None:
        sys.stderr.write("pdf: needs Chromium, for example Debian's package: apt-get install chromium\n")
        return 2
    if not (staged / "_toc.yml").exists():
        sys.stderr.write(f"pdf: no book of profile {options.profile} yet: make book PROFILE={options.profile}\n")
        return 2
    try:
        print_page(chromium, one_page(staged), root / PDF)
    except (render.RenderFailed, subprocess.SubprocessError) as error:
        sys.stderr.write(f"pdf: {error}\n")
        return 1
    sys.stdout.write(f"{root / PDF}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
