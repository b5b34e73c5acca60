"""The wall of evidence: every recorded run as a tile that opens, failed ones framed."""

import re
from collections.abc import Iterable, Sequence
from html import escape

from kmgan_book import gallery
from kmgan_book.conditions import SCORE, has_failed, rounded
from kmgan_book.records import Record
from kmgan_book.report import Html, script

SIDE = 4  # images in a row of a tile
SHOWN = {
    SCORE: "classifier score (of 10)", "classifier_frechet.value": "Fréchet distance",
    "clustering.nmi": "NMI of the features", "clustering.raw_nmi": "NMI of the data",
    "class_frequency.frequency.min": "share of the rarest class",
    "fid768.value": "Fréchet distance on 768 features", "centers.used": "centers in use",
}  # fmt: skip


def _choice(name: str, text: str, values: Iterable[str]) -> str:
    options = "".join(f"<option>{escape(value)}</option>" for value in values)
    return f'<label>{text} <select name="{name}"><option value="">all</option>{options}</select></label>'


def _tile(record: Record) -> str:
    result, failed = record.result, has_failed(record)
    preset = result["preset"]
    data, method = preset["name"].split("/")[0], preset["method"]
    name = re.sub(r"(?<=[/_])", "<wbr>", escape(preset["name"])) + f", seed {record.seed}"
    state = "diverged" if record.diverged else "failed" if failed else ""
    picture = gallery.picture(record, SIDE, 'alt="" loading="lazy"')
    score = f" · {rounded(record.value(SCORE), 1)}" if record.has(SCORE) else ""
    facts = {"command": f"<code>{escape(result['command'])}</code>"}
    facts |= {name: f"{record.value(measure):.3g}" for measure, name in SHOWN.items() if record.has(measure)}
    minutes = round(result["wall_seconds"] / 60)
    facts["iterations"] = f"{result['iterations']:,}"
    took = f"{minutes or 'under a'} minute{'s' if minutes > 1 else ''}"
    facts["time"] = f"{took}, {escape(str(result['device']).partition(',')[0])}"
    facts["commit"] = f"<code>{escape(str(result['commit'])[:12])}</code>"
    listed = "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in facts.items())
    return (
        f'<details class="tile{" failed" if failed else ""}" data-set="{escape(data)}" data-method="{escape(method)}">'
        f"<summary>{picture}<span>{name}{score}{f' · {state}' if state else ''}</span></summary>"
        f"<dl>{listed}</dl></details>"
    )


def wall(everything: Sequence[Record]) -> Html:
    """Every record as a tile, about 4 KB: its first images, its name, and when opened its command, measures and commit.

    Tiles open without JavaScript; the filters need it.
    """
    presets = [record.result["preset"] for record in everything]
    data = _choice("set", "data", dict.fromkeys(preset["name"].split("/")[0] for preset in presets))
    method = _choice("method", "method", sorted({preset["method"] for preset in presets}))
    return Html(
        f'<div class="kmgan-live kmgan-wall"><div class="live-controls" hidden>{data}{method}'
        '<label><input type="checkbox"> failed only</label><output aria-live="polite"></output></div>'
        f'<div class="tiles">{"".join(map(_tile, everything))}</div></div>\n{script("wall.js")}'
    )
