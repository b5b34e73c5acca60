"""What a built page loads: nothing from another host (plain hyperlinks are fine), and not too much."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

PAGE, SITE = 3_000_000, 35_000_000  # bytes
PICTURE = re.compile(r"""<(?:img|source)\b[^>]*?\ssrc=["'](?!data:|https?:|//)([^"'?#]+)""")
# Attributes whose address a browser fetches by itself, by element.
LOADED: dict[str, tuple[str, ...]] = {
    "audio": ("src",), "base": ("href",), "embed": ("src",), "iframe": ("src",), "img": ("src", "srcset"),
    "input": ("src",), "object": ("data",), "script": ("src",), "source": ("src", "srcset"), "track": ("src",),
    "video": ("src", "poster"), **dict.fromkeys(("feimage", "image", "use"), ("href", "xlink:href")),
}  # fmt: skip
# A <link> of these kinds only names a related page.
NAMING_LINKS = {"alternate", "author", "canonical", "help", "index", "license", "next", "prev", "search"}
EXTERNAL = re.compile(r"^\s*(?:https?:|wss?:|ftp:)?//", re.IGNORECASE)
CSS_LOAD = re.compile(r"""(?:url\(\s*|@import\s+)["']?\s*((?:https?:)?//[^"')\s;]+)""", re.IGNORECASE)
SCRIPT_LOAD = re.compile(
    r"""(?:\bimport\s*\(?|\bfrom|importScripts\(|fetch\(|\.src\s*=|\.href\s*=\s*(?=["'`][^"'`]*\.css)|require\(\[?)"""
    r"""\s*["'`]((?:https?:)?//[^"'`\s]+)""",
)
CSS_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


class _Page(HTMLParser):
    """Collects the external loads of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at the element's loading attributes and its style."""
        values = {name: value or "" for name, value in attrs}
        self.inside = tag if tag in ("script", "style") else ""
        if tag == "link" and not set(values.get("rel", "").lower().split()) <= NAMING_LINKS:
            self._check("link", values.get("href", ""))
        if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            self._check("meta refresh", values.get("content", "").partition("=")[2])
        for name in LOADED.get(tag, ()):
            # srcset lists several addresses; a data: address may hold commas of its own.
            parts = values.get(name, "").split(",") if name == "srcset" else [values.get(name, "")]
            for address in parts:
                self._check(f"{tag} {name}", address)
        self.found += [f"style {address}" for address in CSS_LOAD.findall(values.get("style", ""))]

    def handle_data(self, data: str) -> None:
        """Look into style sheets and scripts written in the page."""
        if self.inside == "style":
            self.found += [f"style {address}" for address in CSS_LOAD.findall(CSS_COMMENT.sub("", data))]
        elif self.inside == "script":
            self.found += [f"script {address}" for address in SCRIPT_LOAD.findall(data)]

    def handle_endtag(self, tag: str) -> None:
        """Leave a style sheet or script."""
        self.inside = ""

    def _check(self, what: str, address: str) -> None:
        if EXTERNAL.match(address):
            self.found.append(f"{what} {address.strip()}")


def external_loads(site: Path) -> Iterator[str]:
    """Yield ``page: element address`` for every load from another host in a folder of pages."""
    for path in sorted(site.rglob("*.html")):
        page = _Page()
        page.feed(path.read_text(encoding="utf8"))
        page.close()
        yield from (f"{path.relative_to(site)}: {found}" for found in dict.fromkeys(page.found))
    for path in sorted(site.rglob("*.css")):
        text = CSS_COMMENT.sub("", path.read_text(encoding="utf8"))
        yield from (f"{path.relative_to(site)}: {found}" for found in dict.fromkeys(CSS_LOAD.findall(text)))


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
