"""Charts get lighter, and the second image that a figure carries, drawn for a phone, gets a file of its own.

`kmgan_book.phone` puts it into the notebook's output beside the first; `page_parts` shows it on narrow pages.
"""

import base64
import hashlib
import io
import json
from pathlib import Path

from PIL import Image

from kmgan_book import PHONE

FOLDER = "phone"  # of the staged book
CHART = 30_000  # colors, those of smoothed edges included


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
