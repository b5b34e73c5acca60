"""Sphinx extension: a narrow page shows the second image that a figure carries, drawn for a phone; charts are light.

`kmgan_book.phone` puts it into the notebook's output beside the first; a page's `<img>` becomes a `<picture>` of both.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from kmgan_book import PHONE

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FOLDER = "phone"  # of the staged book
CHART = 30_000  # colors, those of smoothed edges included
IMAGE = re.compile(r'<img\b[^>]*?\bsrc="(?P<folder>[^"]*_images/)(?P<name>[0-9a-f]{64})\.png"[^>]*>')


def take(chapter: Path, folder: Path) -> None:
    """Make a staged chapter's figures lighter, and move their second images into a folder.

    There they have the name that MyST-NB gives to the first.
    """
    notebook = json.loads(chapter.read_text(encoding="utf8"))
    for data in (output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", [])):
        second = data.pop(PHONE, None)
        if "image/png" in data:
            first = lighter(base64.b64decode("".join(data["image/png"])))
            data["image/png"] = base64.b64encode(first).decode()
            if second:
                folder.mkdir(exist_ok=True)
                name = hashlib.sha256(first).hexdigest()
                (folder / f"{name}.webp").write_bytes(base64.b64decode("".join(second)))
    chapter.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


def lighter(image: bytes) -> bytes:
    """Return a chart with at most 256 colors, where that saves something; photographs, of many colors, stay."""
    with Image.open(io.BytesIO(image)) as file:
        opaque = file.convert("RGB")
    if opaque.getcolors(CHART) is None:
        return image
    buffer = io.BytesIO()
    opaque.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return min(image, buffer.getvalue(), key=len)


def offer(app: Sphinx, failure: Exception | None) -> None:
    """Copy the second images to the pages and name them there."""
    if failure or app.builder.name != "html":
        return
    images = {path.stem: path for path in (Path(app.srcdir) / FOLDER).glob("*.webp")}

    def both(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in images:
            return match[0]
        shutil.copy2(images[name], Path(app.outdir) / "_images")
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
