"""Every seed of recorded runs as images, failed ones framed, in HTML that fits a phone and a dark page."""

from collections.abc import Mapping, Sequence
from html import escape

import torch
from PIL import Image
from torch import Tensor

from kmgan_book.conditions import SCORE, rounded
from kmgan_book.conditions import has_failed as failed
from kmgan_book.records import Record
from kmgan_book.report import Html, badge_of, webp
from kmgan_lib.pictures import sheet

SHEET = 8  # recorded samples are a grid of 8 x 8


def count_failed(group: Sequence[Record]) -> str:
    """How many runs of a group failed: ``1 of 3 runs failed``, or how many there are where no score tells."""
    runs = f"{len(group)} {'run' if len(group) == 1 else 'runs'}"
    told = any(record.diverged or record.has(SCORE) for record in group)
    return f"{sum(map(failed, group))} of {runs} failed" if told else runs


def every_seed(
    groups: Mapping[str, Sequence[Record]], made_by: str, *, caption: str, measure: str = SCORE, side: int = 4,
    large: bool = False,
) -> Html:  # fmt: skip
    """Samples of every recorded seed, a row of tiles a group; failed runs are framed and say so.

    Groups of one run share a row, and those without any are named at the end. Under each tile stands its `measure`, as
    `Record.value` names it. A tile shows the first `side` by `side` of the recorded samples, at most 8; `large` puts
    two tiles in a row of a page, for images that need it.
    """
    rows, single = list[str](), list[str]()
    for title, group in groups.items():
        if len(group) > 1:
            tiles = [_tile(title, record, measure, side) for record in group]
            head = f'<p class="group"><strong>{escape(title)}</strong> {count_failed(group)}</p>'
            rows += [_tiles(single), head, _tiles(tiles)]
            single = []
        single += [_tile(title, record, measure, side, named=True) for record in group if len(group) == 1]
    rows.append(_tiles(single))
    missing = [escape(title) for title, group in groups.items() if not group]
    if missing:
        rows.append(f'<p class="group">Not yet recorded: {"; ".join(missing)}.</p>')
    return Html(
        f'<figure class="kmgan-gallery{" large" if large else ""}">{"".join(rows)}'
        f"<figcaption>{escape(caption)} {badge_of(made_by)}</figcaption></figure>"
    )


def strips(rows: Sequence[Tensor], made_by: str, *, caption: str, alt: str) -> Html:
    """Rows of images (n, c, h, w), as for interpolations (Fig. 8)."""
    image = Image.fromarray(sheet(torch.cat(list(rows)), columns=len(rows[0])))
    return Html(
        f'<figure class="kmgan-gallery"><img class="pixels" src="{webp(image, quality=80, method=4)}" '
        f'alt="{escape(alt)}"><figcaption>{escape(caption)} {badge_of(made_by)}</figcaption></figure>'
    )


def _tiles(tiles: Sequence[str]) -> str:
    return f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ""


def _tile(title: str, record: Record, measure: str, side: int, *, named: bool = False) -> str:
    value = f" · {rounded(record.value(measure), 2)}" if record.has(measure) else ""
    wrong = failed(record)
    text = f"seed {record.seed}{value}" + (" · failed" if wrong else "")
    alt = escape(f"{title}, {text}: {side * side} generated images")
    shown = picture(record, side, f'alt="{alt}"')
    said = f"<strong>{escape(title)}</strong><br>{text}" if named else text
    return f'<div class="tile{" failed" if wrong else ""}">{shown}<span>{said}</span></div>'


def picture(record: Record, side: int, attributes: str) -> str:
    """The first images of a recorded grid as one image with these attributes, or a word in its place."""
    if not record.samples.exists():
        return f'<span class="nothing">{"diverged" if record.diverged else "no images"}</span>'
    with Image.open(record.samples) as file:
        tile = (file.width + 1) // SHEET  # images lie a pixel apart
        first = file.crop((0, 0, side * tile - 1, side * tile - 1))
        shown = first.convert("L" if record.result["preset"]["channels"] == 1 else "RGB")
    return f'<img class="pixels" src="{webp(shown, quality=80, method=4)}" {attributes}>'
