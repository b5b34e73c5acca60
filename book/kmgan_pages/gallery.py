"""Recorded runs as images, failed ones framed, in HTML, and when one could have known that they would fail."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kmgan_book.conditions import FAILED, SCORE
from kmgan_book.conditions import has_failed as failed
from kmgan_book.records import Record
from kmgan_book.report import Html, badge_html, data_url
from kmgan_lib.sheets import sheet
from kmgan_pages import script

SHEET = 8  # recorded samples are a grid of 8 x 8
SIDE = 4  # images in a row of a tile
SHOWN = {
    SCORE: "classifier score (of 10)", "classifier_frechet.value": "Fréchet distance",
    "clustering.nmi": "NMI of the features", "clustering.raw_nmi": "NMI of the data",
    "class_frequency.frequency.min": "share of the rarest class",
    "fid768.value": "Fréchet distance on 768 features", "centers.used": "centers in use",
}  # fmt: skip


def rounded(score: float, digits: int) -> str:
    """A classifier score as text; one that failed by a hair is not rounded up to `FAILED`."""
    text = f"{score:.{digits}f}"
    return text if (float(text) < FAILED) == (score < FAILED) else f"{score - 0.5 * 10**-digits:.{digits}f}"


def count_failed(group: Sequence[Record]) -> str:
    """How many runs of a group failed: ``1 of 3 runs failed``, or how many there are where no score tells."""
    runs = f"{len(group)} {'run' if len(group) == 1 else 'runs'}"
    told = any(record.diverged or record.has(SCORE) for record in group)
    return f"{sum(map(failed, group))} of {runs} failed" if told else runs


def every_seed(
    groups: Mapping[str, Sequence[Record]], provenance: str, *, caption: str, measure: str = SCORE, side: int = 4,
    large: bool = False,
) -> Html:  # fmt: skip
    """Samples of every recorded seed, a row of tiles a group; failed runs are framed and say so.

    Groups of one run share a row, and those without any are named at the end. Under each tile stands its `measure`, as
    `Record.value` names it. A tile shows the first `side` by `side` of the recorded samples, at most 8; `large` puts
    two tiles in a row of a page, for images that need it.
    """
    rows = ""
    for alone, some in itertools.groupby(groups.items(), lambda item: len(item[1]) <= 1):
        if alone:
            tiles = "".join(
                _tile(title, record, measure, side, named=True) for title, group in some for record in group
            )
            rows += f'<div class="tiles">{tiles}</div>' if tiles else ""
            continue
        for title, group in some:
            rows += f'<p class="group"><strong>{escape(title)}</strong> {count_failed(group)}</p>'
            rows += f'<div class="tiles">{"".join(_tile(title, record, measure, side) for record in group)}</div>'
    if missing := "; ".join(escape(title) for title, group in groups.items() if not group):
        rows += f'<p class="group">Not yet recorded: {missing}.</p>'
    return Html(
        f'<figure class="kmgan-gallery{" large" if large else ""}">{rows}'
        f"<figcaption>{escape(caption)} {badge_html(provenance)}</figcaption></figure>"
    )


def strips(rows: Sequence[Tensor], provenance: str, *, caption: str, alt: str) -> Html:
    """Rows of images (n, c, h, w), as for interpolations (Fig. 8)."""
    image = Image.fromarray(sheet(torch.cat(list(rows)), columns=len(rows[0])))
    return Html(
        f'<figure class="kmgan-gallery"><img class="pixels" src="{data_url(image, quality=80, method=4)}" '
        f'alt="{escape(alt)}"><figcaption>{escape(caption)} {badge_html(provenance)}</figcaption></figure>'
    )


def _tile(title: str, record: Record, measure: str, side: int, *, named: bool = False) -> str:
    value = f" · {rounded(record.value(measure), 2)}" if record.has(measure) else ""
    wrong = failed(record)
    text = f"seed {record.seed}{value}" + (" · failed" if wrong else "")
    alt = escape(f"{title}, {text}: {side * side} generated images")
    shown = picture(record, side, f'alt="{alt}"')
    said = f"<strong>{escape(title)}</strong><br>{text}" if named else text
    return f'<div class="tile{" failed" if wrong else ""}">{shown}<span>{said}</span></div>'


def picture(record: Record, side: int, attributes: str, *, quality: int = 80) -> str:
    """The first images of a recorded grid as one image with these attributes, or a word in its place."""
    if not record.samples.exists():
        return f'<span class="nothing">{"diverged" if record.diverged else "no images"}</span>'
    with Image.open(record.samples) as file:
        tile = (file.width + 1) // SHEET  # images lie a pixel apart
        first = file.crop((0, 0, side * tile - 1, side * tile - 1))
        shown = first.convert("L" if record.result["preset"]["channels"] == 1 else "RGB")
    return f'<img class="pixels" src="{data_url(shown, quality=quality, method=4)}" {attributes}>'


def _choice(name: str, text: str, values: Iterable[str]) -> str:
    options = "".join(f"<option>{escape(value)}</option>" for value in values)
    return f'<label>{text} <select name="{name}"><option value="">all</option>{options}</select></label>'


def _wall_tile(record: Record) -> str:
    result, wrong, minutes = record.result, failed(record), round(record.result["wall_seconds"] / 60)
    name, method = result["preset"]["name"], result["preset"]["method"]
    image = picture(record, SIDE, 'alt="" loading="lazy"', quality=55)
    text = re.sub(r"(?<=[/_])", "<wbr>", escape(name)) + f", seed {record.seed}"
    text += f" · {rounded(record.value(SCORE), 1)}" if record.has(SCORE) else ""
    text += f" · {'diverged' if record.diverged else 'failed'}" if wrong else ""
    facts = {
        "command": f"<code>{escape(result['command'])}</code>",
        **{shown: f"{record.value(measure):.3g}" for measure, shown in SHOWN.items() if record.has(measure)},
        "iterations": f"{result['iterations']:,}",
        "time": f"{minutes or 'under a'} minute{'s' if minutes > 1 else ''}, {escape(record.device)}",
        "commit": f"<code>{escape(str(result['commit'])[:12])}</code>",
    }
    return (
        f'<details class="tile{" failed" if wrong else ""}" data-set="{escape(name.partition("/")[0])}" '
        f'data-method="{escape(method)}"><summary>{image}<span>{text}</span></summary>'
        f"<dl>{''.join(f'<dt>{key}</dt><dd>{value}</dd>' for key, value in facts.items())}</dl></details>"
    )


def wall(everything: Sequence[Record]) -> Html:
    """Every record as a tile, about 4 KB: its first images, its name, and when opened its command, measures and commit.

    Tiles open without JavaScript; the filters need it.
    """
    presets = [record.result["preset"] for record in everything]
    data = _choice("set", "data", dict.fromkeys(preset["name"].partition("/")[0] for preset in presets))
    method = _choice("method", "method", sorted({preset["method"] for preset in presets}))
    return Html(
        f'<div class="kmgan-live kmgan-wall"><div class="live-controls" hidden>{data}{method}'
        '<label><input type="checkbox"> failed only</label><output aria-live="polite"></output></div>'
        f'<div class="tiles">{"".join(map(_wall_tile, everything))}</div></div>\n{script("wall.js")}'
    )


class Sign(NamedTuple):
    """From `iteration` on a column tells all failed runs, which have the `lower` values or not, from all others."""

    iteration: int
    lower: bool
    threshold: float


def told_apart(group: Sequence[Record], column: str, *, rows: int = 10) -> Sign | None:
    """The first iteration from which a mean over the last `rows` rows tells failed runs from good ones, or None.

    The threshold describes these runs and predicts nothing. A run without the column counts as not told apart.
    """
    wrong = np.asarray([failed(record) for record in group])
    if not wrong.any() or wrong.all() or any(column not in record.history[-1] for record in group):
        return None
    length = min(len(record.history) for record in group)
    values = np.asarray([[row.get(column, np.nan) for row in record.history[:length]] for record in group])
    means = np.asarray([values[:, max(0, end - rows) : end].mean(1) for end in range(1, length + 1)]).T
    for lower in (True, False):
        signed = means if lower else -means
        high, low = signed[wrong].max(0), signed[~wrong].min(0)
        first = length - int(np.logical_and.accumulate((high < low)[::-1]).sum())  # from which they stay apart
        if first < length:
            threshold = (high[first] + low[first]) / 2 * (1 if lower else -1)
            return Sign(int(group[0].history[first]["iteration"]), lower, float(threshold))
    return None


def when_known(group: Sequence[Record], columns: Mapping[str, str], *, rows: int = 10) -> str:
    """One to three sentences: which columns of the history told failed runs from good ones, from when on.

    `columns` maps the name of a column to its name in the text.
    """
    wrong = sum(map(failed, group))
    if not 0 < wrong < len(group):
        return f"{count_failed(group)}: there is nothing to tell apart."
    signs = {text: told_apart(group, column, rows=rows) for column, text in columns.items()}
    span = group[0].history[rows]["iteration"] - group[0].history[0]["iteration"]
    known = "; ".join(
        f"{text} is {'lower' if sign.lower else 'higher'} in every failed run than in every good one from iteration "
        f"{sign.iteration:,} on (about {sign.threshold:.3g} lies between them)"
        for text, sign in signs.items()
        if sign
    )
    unknown = " or ".join(text for text, sign in signs.items() if not sign)
    texts = {
        f"{count_failed(group)}.": True,
        f"Averaged over {span:,.0f} iterations, {known}.": known,
        f"No threshold on {unknown} separates failed runs from the others until the end.": unknown,
        "Such a threshold was found afterwards, on these very runs: it shows where to look first.": known,
    }
    return " ".join(text for text, told in texts.items() if told)
