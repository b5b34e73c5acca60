"""Tiles of every seed, when failed runs could be told from good ones, and the wall of all records."""

import re
from pathlib import Path

import torch
from PIL import Image

from kmgan_book import figures, records
from kmgan_book.conditions import SCORE
from kmgan_book.records import Record
from kmgan_lib.pictures import sheet
from kmgan_pages import gallery
from kmgan_pages.gallery import told_apart, when_known

from .conftest import record


def drawn(folder: Path, seed: int, score: float) -> Record:
    """A record with a sheet of images."""
    made = record(seed, {SCORE: score}, folder / str(seed), preset={"channels": 1})
    made.directory.mkdir(parents=True)
    Image.fromarray(sheet(torch.rand(64, 1, 28, 28))).save(made.samples)
    return made


def learning(seed: int, score: float, column: list[float]) -> Record:
    """A record whose history has a column x."""
    made = record(seed, {SCORE: score})
    made.__dict__["history"] = [{"iteration": float(100 * i), "x": value} for i, value in enumerate(column)]
    return made


def test_failed_runs_are_framed_and_counted(tmp_path: Path) -> None:
    runs = [drawn(tmp_path, seed, score) for seed, score in enumerate((8.5, 1.0, 3.0))]
    html = gallery.every_seed({"ours": runs, "theirs": []}, "recorded · quick", caption="Digits.").text
    assert re.findall(r'<div class="(tile(?: failed)?)">', html) == ["tile", "tile failed", "tile"]
    assert "1 of 3 runs failed" in html
    assert "<span>seed 1 · 1.00 · failed</span>" in html
    assert "Not yet recorded: theirs." in html
    assert len(re.findall(r'<img [^>]*alt="ours, seed \d[^"]*16 generated images"', html)) == 3
    unscored, diverged = record(0, {}, tmp_path / "0", preset={"channels": 1}), record(0, {SCORE: None})
    html = gallery.every_seed({"faces": [unscored]}, "recorded", caption="Faces.").text
    assert "<strong>faces</strong><br>seed 0<" in html
    assert "failed" not in html
    html = gallery.every_seed({"a": [diverged]}, "recorded", caption="x").text
    assert '<span class="nothing">diverged</span>' in html
    assert "<strong>a</strong><br>seed 0 · failed" in html
    html = gallery.every_seed({"a": runs[:1], "b": runs[:1], "c": runs[:2]}, "recorded", caption="x").text
    assert [row.count("<img") for row in html.split('<div class="tiles">')[1:]] == [2, 2], "single runs share a row"


def test_failed_runs_are_told_apart_from_the_first_row_on_that_stays_so() -> None:
    good, bad = [1.0, 3.0, 1.0, 3.0, 3.0], [1.0, 2.0, 2.0, 2.0, 1.0]
    for scores, lower in (((8.0, 1.0), True), ((1.0, 8.0), False)):
        runs = [learning(0, scores[0], good), learning(1, scores[1], bad)]
        assert told_apart(runs, "x", rows=1) == (300, lower, 2.5)
    same = [learning(0, 8.0, [1.0, 2.0]), learning(1, 1.0, [2.0, 2.0])]
    for group, column in ((same, "x"), (same, "missing"), (same[:1], "x")):
        assert told_apart(group, column, rows=1) is None


def test_the_sentence_names_what_tells_and_what_does_not() -> None:
    runs = [learning(0, 8.0, [1.0, 3.0, 3.0]), learning(1, 1.0, [1.0, 2.0, 2.0])]
    said = when_known(runs, {"x": "the loss", "y": "the other"}, rows=1)
    assert "1 of 2 runs failed. Averaged over 100 iterations, the loss is lower in every failed run" in said
    assert "from iteration 100 on (about 2.5 lies" in said
    assert "No threshold on the other tells them from the others" in said
    assert when_known(runs[:1], {"x": "the loss"}) == "0 of 1 run failed: there is nothing to tell apart."


def test_a_method_has_one_color_and_no_two_names_share_one() -> None:
    names = ["DCGAN", "KM-GAN", "DCGAN, with labels", "KM-GAN, no center loss", "KM-GAN, λ = 5"]
    chosen = figures.colors(names)
    assert len(set(chosen)) == len(names)
    assert chosen[0] == figures.colors(["DCGAN without labels"])[0]
    assert chosen[1] == figures.colors(["a", "KM-GAN"])[1]


def test_every_record_is_on_the_wall_and_failures_are_framed() -> None:
    everything = records.everything()
    html = gallery.wall(everything)._repr_html_()
    tiles = re.findall(r'<details class="(.*?)" data-set="(.*?)" data-method="(.*?)">(.*?)</details>', html, re.DOTALL)
    assert len(tiles) == len(everything)
    for (style, data, method, text), made in zip(tiles, everything, strict=True):
        assert ("failed" in style) == gallery.failed(made)
        assert made.result["preset"]["name"].startswith(data)
        assert made.result["preset"]["method"] == method
        assert f"<code>{made.result['command']}</code>" in text
        assert ('<img class="pixels" src="data:image/webp' in text) == made.samples.exists()
    assert len(html) < 2_000_000
    (first, *_) = records.load("mnist/kmgan", "quick")
    diverged = Record(first.directory.parent / "nowhere", {**first.result, "status": "diverged", "metrics": {}})
    html = gallery.wall([diverged]).text
    assert 'class="tile failed"' in html
    assert "seed 0 · diverged" in html
    assert [gallery.rounded(score, 2) for score in (2.9966, 3.0, 3.456)] == ["2.99", "3.00", "3.46"], "not up to 3"
