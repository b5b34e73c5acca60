"""How much a reader has to load: every page with its pictures, and the whole book."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

PAGE, SITE = 3_000_000, 35_000_000  # bytes
PICTURE = re.compile(r"""<(?:img|source)\b[^>]*?\ssrc=["'](?!data:|https?:|//)([^"'?#]+)""")


def weight(page: Path) -> int:
    """Return the bytes of a page and of the pictures that it shows; scripts and fonts are shared by all pages."""
    shown = {(page.parent / unquote(source)).resolve() for source in PICTURE.findall(page.read_text(encoding="utf8"))}
    return page.stat().st_size + sum(picture.stat().st_size for picture in shown if picture.is_file())


def too_large(site: Path) -> Iterator[str]:
    """Yield ``page: n MB, at most m`` for every page that is too large, and for the whole."""
    weights = {page.relative_to(site): weight(page) for page in sorted(site.rglob("*.html"))}
    for page, size in weights.items():
        if size > PAGE:
            yield f"{page}: {size / 1e6:.1f} MB with its pictures, at most {PAGE / 1e6:.0f}"
    whole = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    if whole > SITE:
        yield f"the whole book: {whole / 1e6:.1f} MB, at most {SITE / 1e6:.0f}"
