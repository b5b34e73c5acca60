"""Write today's answer into the README and draw it as an image."""

import base64
import hashlib
import html
import re
import tempfile
import textwrap
from pathlib import Path

from PIL import Image, PngImagePlugin

from book.tools import browser
from kmgan_book import claims, report, tables
from kmgan_lib.errors import UsageError
from kmgan_lib.files import write_atomically
from kmgan_pages import answer

ABSTRACT, PREVIEW = "book/_static/abstract.svg", "book/_static/abstract.png"
SIZE = 1120, 500
BEGIN, END = "<!-- {}: written by `make readme` -->", "<!-- end of the {} -->"
STYLE = """
  svg { --ink: #1f2530; --soft: #5a6472; --paper: #fff; --line: #d5dae1;
        --verdict-holds: #0b7a4b; --verdict-partly: #0f6f8a; --verdict-fails: #a35400; --verdict-open: #5b4b9a }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e8ebf0; --soft: #9aa4b2; --paper: #14181e; --line: #333a44;
          --verdict-holds: #63d3a1; --verdict-partly: #6fc7de; --verdict-fails: #f0aa5c; --verdict-open: #b3a5ee } }
  text { font-family: system-ui, sans-serif; fill: var(--ink) }
"""


def between(text: str, name: str, new: str) -> str:
    """Return the text with new content between the two marks of this name."""
    begin, end = BEGIN.format(name), END.format(name)
    block = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    if len(block.findall(text)) != 1:
        raise UsageError(f"the README needs the lines {begin} and {end}")
    return block.sub(lambda _: f"{begin}\n\n{new}\n\n{end}", text)


def with_answer(text: str) -> str:
    """Return the text with the answer and the ledger of today's records between their marks."""
    verdicts = {verdict.claim.name: verdict for verdict in claims.verdicts()}
    said = f"**{answer.headline(verdicts)}** {answer.counted(verdicts)} {answer.repaired(verdicts)}"
    text = between(text, "answer", said.strip())
    return between(text, "ledger", tables.markdown([found for name, found in verdicts.items() if name.startswith("C")]))


def abstract() -> str:
    """Return the answer as an SVG image: what was found, three numbers, a mark per claim, and recorded digits."""
    verdicts = {verdict.claim.name: verdict for verdict in claims.verdicts()}
    parts: list[str] = []

    def write(text: str, x: float, y: float, size: int, width: int = 99, style: str = "") -> float:
        for line in textwrap.wrap(text, width):
            parts.append(f'<text x="{x:g}" y="{y:g}" font-size="{size}" style="{style}">{html.escape(line)}</text>')
            y += 1.35 * size
        return y

    write("KM-GAN: does it work?", 40, 66, 36, style="font-weight: 700")
    write(answer.headline(verdicts), 40, 108, 20, 60)
    for place, (number, what) in enumerate(answer.numbers()):
        x = 40 + 205 * place
        parts.append(f'<path d="M{x} 190h185" style="stroke: var(--line); stroke-width: 3"/>')
        write(number, x, 226, 26, style="font-weight: 700")
        write(what, x, 250, 14, 24, "fill: var(--soft)")
    for place, (name, verdict) in enumerate(verdicts.items()):
        x, y = 40 + 63 * (place % 10), 368 + 40 * (place // 10)
        color = f"fill: var(--{report.anchor(verdict.word)}); font-weight: 700"
        write(f"{claims.MARKS[verdict.word]} {name}", x, y, 16, style=color)
    write(answer.counted(verdicts), 40, 462, 14, 90, "fill: var(--soft)")
    image = base64.b64encode(answer.samples().read_bytes()).decode()
    parts.append(f'<image x="680" y="40" width="400" height="400" href="data:image/webp;base64,{image}"/>')
    write("Digits of a recorded run that never saw a label", 680, 462, 14, style="fill: var(--soft)")
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1120 500" role="img" aria-label="The answer of the book">'
        f'<style>{STYLE}</style><rect width="1120" height="500" style="fill: var(--paper)"/>{"".join(parts)}</svg>\n'
    )


def preview(drawn: str, target: Path) -> None:
    """Write the image as pixels, too, for previews of links, which show no SVG."""
    with tempfile.TemporaryDirectory(prefix="kmgan-") as folder:
        source, shot = Path(folder) / "abstract.svg", Path(folder) / "abstract.png"
        source.write_text(drawn, encoding="utf8")
        size = f"--window-size={SIZE[0]},{SIZE[1]}"
        browser.run("--hide-scrollbars", size, f"--screenshot={shot}", str(source))
        made_from = PngImagePlugin.PngInfo()
        made_from.add_text("made from", hashlib.sha256(drawn.encode()).hexdigest())
        with Image.open(shot) as image:
            small = image.convert("RGB").quantize(192)
            write_atomically(target, lambda partial: small.save(partial, "PNG", optimize=True, pnginfo=made_from))


def write(root: Path) -> None:
    """Write the README, the image and its preview."""
    files = {"README.md": with_answer((root / "README.md").read_text(encoding="utf8")), ABSTRACT: abstract()}
    for name, text in files.items():
        write_atomically(root / name, lambda partial, text=text: partial.write_text(text, encoding="utf8"))
    preview(files[ABSTRACT], root / PREVIEW)
