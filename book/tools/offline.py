"""Check what built pages load: nothing from another host (plain hyperlinks are fine), and not too much."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from urllib.parse import unquote

from bs4 import BeautifulSoup

PAGE, SITE = 3_000_000, 35_000_000  # bytes
PICTURE = re.compile(r"""<(?:img|source)\b[^>]*?\ssrc=["'](?!data:|https?:|//)([^"'?#]+)""")
# Attributes whose address a browser fetches by itself, except in a hyperlink.
LOADED = ("src", "srcset", "href", "xlink:href", "poster", "data")
HYPERLINKS = ("a", "area")
# A <link> of these kinds only names a related page.
NAMING_LINKS = {"alternate", "author", "canonical", "help", "index", "license", "next", "prev", "search"}
EXTERNAL = re.compile(r"^\s*(?:https?:|wss?:|ftp:)?//", re.IGNORECASE)
CSS_LOAD = re.compile(r"""(?:url\(\s*|@import\s+)["']?\s*((?:https?:)?//[^"')\s;]+)""", re.IGNORECASE)
SCRIPT_LOAD = re.compile(
    r"""(?:\bimport\s*\(?|\bfrom|importScripts\(|fetch\(|\.src\s*=|\.href\s*=\s*(?=["'`][^"'`]*\.css)|require\(\[?)"""
    r"""\s*["'`]((?:https?:)?//[^"'`\s]+)""",
)
CSS_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def _loads(page: str) -> Iterator[str]:
    """Yield ``element address`` for every load of a page from another host."""
    for element in BeautifulSoup(page, "html.parser", multi_valued_attributes=None).find_all(True):
        tag, values = element.name, cast("dict[str, str]", element.attrs)
        addresses = {f"{tag} {name}": values.get(name, "") for name in LOADED}
        if tag in HYPERLINKS or (tag == "link" and set(values.get("rel", "").lower().split()) <= NAMING_LINKS):
            addresses = {}
        if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            addresses["meta refresh"] = values.get("content", "").partition("=")[2]
        for what, address in addresses.items():
            # srcset lists several addresses; a data: address may hold commas of its own.
            parts = address.split(",") if what.endswith("srcset") else [address]
            yield from (f"{what} {part.strip()}" for part in parts if EXTERNAL.match(part))
        css = values.get("style", "") + (CSS_COMMENT.sub("", element.get_text()) if tag == "style" else "")
        yield from (f"style {address}" for address in CSS_LOAD.findall(css))
        if tag == "script":
            yield from (f"script {address}" for address in SCRIPT_LOAD.findall(element.get_text()))


def external_loads(site: Path) -> Iterator[str]:
    """Yield ``page: element address`` for every load from another host in a folder of pages."""
    for path in sorted(site.rglob("*.html")):
        found = dict.fromkeys(_loads(path.read_text(encoding="utf8")))
        yield from (f"{path.relative_to(site)}: {each}" for each in found)
    for path in sorted(site.rglob("*.css")):
        text = CSS_COMMENT.sub("", path.read_text(encoding="utf8"))
        yield from (f"{path.relative_to(site)}: {found}" for found in dict.fromkeys(CSS_LOAD.findall(text)))


def weight(page: Path) -> int:
    """Return the size in bytes of a page and of the pictures that it shows; all pages share scripts and fonts."""
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
