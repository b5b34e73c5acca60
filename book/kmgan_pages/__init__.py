"""What single pages of the book show: diagrams, galleries, what moves in the page, the answer, the benchmarks.

It reads records and verdicts with `kmgan_book`, which imports nothing of it.
"""

import json
from typing import Any

from kmgan_book import STATIC


def script(name: str) -> str:
    """A script of the book with the style of its figures, as HTML that a notebook carries in its output."""
    style, text = ((STATIC / file).read_text(encoding="utf8") for file in ("live.css", name))
    return f"<style>{style}</style>\n<script>\n{text}</script>"


def moving(kind: str, body: str, given: Any) -> str:
    """A figure that a script moves, with what the script reads."""
    text = json.dumps(given).replace("<", "\\u003c")
    return f'<figure class="kmgan-live kmgan-{kind}">{body}<script type="application/json">{text}</script></figure>'
