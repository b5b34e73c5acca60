from __future__ import annotations

import re

from kmgan_book import gallery, records, wall
from kmgan_book.records import Record


def test_every_record_is_on_the_wall_and_failures_are_framed() -> None:
    everything = records.everything()
    html = wall.wall(everything)._repr_html_()
    tiles = re.findall(r'<details class="(.*?)" data-set="(.*?)" data-method="(.*?)">(.*?)</details>', html, re.DOTALL)
    assert len(tiles) == len(everything)
    for (style, data, method, text), record in zip(tiles, everything, strict=True):
        assert ("failed" in style) == gallery.failed(record)
        assert record.result["preset"]["name"].startswith(data)
        assert record.result["preset"]["method"] == method
        assert f"<code>{record.result['command']}</code>" in text
        assert record.result["commit"][:12] in text
        assert ('<img class="pixels" src="data:image/webp' in text) == record.samples.exists()
    assert len(html) < 2_000_000
    assert 'src="http' not in html


def test_a_run_that_diverged_says_so() -> None:
    (first, *_) = records.load("mnist/kmgan", "quick")
    diverged = Record(first.directory.parent / "nowhere", {**first.result, "status": "diverged", "metrics": {}})
    html = wall.wall([diverged]).text
    assert 'class="tile failed"' in html
    assert "seed 0 · diverged" in html
