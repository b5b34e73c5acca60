"""Sphinx extension: a narrow page shows the second image that a figure carries, drawn for a phone.

`kmgan_book.phone` puts it into the notebook's output beside the first; a page's `<img>` becomes a `<picture>` of both.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PHONE = "application/vnd.kmgan.phone+webp"
IMAGE = re.compile(r'<img\b[^>]*?\bsrc="(?P<folder>[^"]*_images/)(?P<name>[0-9a-f]{64})\.png"[^>]*>')


def carried(chapters: Path) -> dict[str, bytes]:
    """Return the second images of executed chapters, by the name that MyST-NB gives to the first."""
    found = {}
    for path in chapters.glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf8"))["cells"]:
            for data in (output.get("data", {}) for output in cell.get("outputs", [])):
                if PHONE in data and "image/png" in data:
                    first = base64.b64decode("".join(data["image/png"]))
                    found[hashlib.sha256(first).hexdigest()] = base64.b64decode("".join(data[PHONE]))
    return found


def offer(app: Sphinx, failure: Exception | None) -> None:
    """Write the second images and name them on the pages."""
    if failure or app.builder.name != "html":
        return
    images = carried(Path(app.srcdir) / "book")

    def both(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in images:
            return match[0]
        (Path(app.outdir) / "_images" / f"{name}.webp").write_bytes(images[name])
        source = f'<source media="(max-width: 40rem)" srcset="{match["folder"]}{name}.webp">'
        return f"<picture>{source}{match[0]}</picture>"

    for page in Path(app.outdir).rglob("*.html") if images else ():
        text = page.read_text(encoding="utf8")
        if (mended := IMAGE.sub(both, text)) != text:
            page.write_text(mended, encoding="utf8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("build-finished", offer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
