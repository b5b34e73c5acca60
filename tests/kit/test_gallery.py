"""Tiles of every seed, when failed runs could be told from good ones, and the wall of all records."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from kmgan_book import figures, gallery, records
from kmgan_book.gallery import told_apart, when_known
from kmgan_book.records import Record
from kmgan_lib.pictures import sheet


def record(folder: Path, seed: int, score: float | None, column: list[float] | None = None) -> Record:
    metrics = {} if score is None else {"classifier_score": {"value": score}}
    result: dict[str, Any] = {"seed": seed, "status": "completed", "metrics": metrics, "preset": {"channels": 1}}
    made = Record(folder / str(seed), result)
    made.directory.mkdir(parents=True)
    Image.fromarray(sheet(torch.rand(64, 1, 28, 28))).save(made.samples)
    rows = [{"iteration": float(100 * i), "x": value} for i, value in enumerate(column or [])]
    made.__dict__["history"] = rows
    return made


def test_failed_runs_are_framed_and_counted(tmp_path: Path) -> None:
    runs = [record(tmp_path, 0, 8.5), record(tmp_path, 1, 1.0), record(tmp_path, 2, 3.0)]
    html = gallery.every_seed({"ours": runs, "theirs": []}, "recorded · quick", caption="Digits.").text
    assert re.findall(r'<div class="(tile(?: failed)?)">', html) == ["tile", "tile failed", "tile"]
    assert "1 of 3 runs failed" in html
    assert "<span>seed 1 · 1.00 · failed</span>" in html
    assert "Not yet recorded: theirs." in html
    assert len(re.findall(r'<img [^>]*alt="ours, seed \d[^"]*16 generated images"', html)) == 3


def test_a_run_without_a_score_cannot_fail_and_a_diverged_one_has_no_images(tmp_path: Path) -> None:
    run = record(tmp_path, 0, None)
    html = gallery.every_seed({"faces": [run]}, "recorded", caption="Faces.").text
    assert "<strong>faces</strong><br>seed 0<" in html
    assert "failed" not in html
    run.result["status"] = "diverged"
    run.samples.unlink()
    html = gallery.every_seed({"a": [run]}, "recorded", caption="x").text
    assert '<span class="nothing">diverged</span>' in html
    assert "<strong>a</strong><br>seed 0 · failed" in html


def test_groups_of_one_run_share_a_row(tmp_path: Path) -> None:
    one, two = ([record(tmp_path / name, 0, 8.0)] for name in "ab")
    three = [record(tmp_path / "c", seed, 8.0) for seed in range(2)]
    html = gallery.every_seed({"a": one, "b": two, "c": three, "d": one}, "recorded", caption="x").text
    assert [row.count("<img") for row in html.split('<div class="tiles">')[1:]] == [2, 2, 1]


def test_failed_runs_are_told_apart_from_the_first_row_on_that_stays_so(tmp_path: Path) -> None:
    good, bad = [1.0, 3.0, 1.0, 3.0, 3.0], [1.0, 2.0, 2.0, 2.0, 1.0]
    for scores, lower in (((8.0, 1.0), True), ((1.0, 8.0), False)):
        folder = tmp_path / str(lower)
        runs = [record(folder, 0, scores[0], good), record(folder, 1, scores[1], bad)]
        assert told_apart(runs, "x", rows=1) == (300, lower, 2.5)


def test_the_sentence_names_what_tells_and_what_does_not(tmp_path: Path) -> None:
    runs = [record(tmp_path, 0, 8.0, [1.0, 3.0, 3.0]), record(tmp_path, 1, 1.0, [1.0, 2.0, 2.0])]
    said = when_known(runs, {"x": "the loss", "y": "the other"}, rows=1)
    assert "1 of 2 runs failed. Averaged over 100 iterations, the loss is lower in every failed run" in said
    assert "from iteration 100 on (about 2.5 lies" in said
    assert "No threshold on the other tells them from the others" in said
    assert when_known(runs[:1], {"x": "the loss"}) == "0 of 1 run failed: there is nothing to tell apart."


@pytest.mark.parametrize("column", ["x", "missing"])
def test_nothing_is_told_apart_where_there_is_nothing_to_tell(tmp_path: Path, column: str) -> None:
    same = [record(tmp_path, 0, 8.0, [1.0, 2.0]), record(tmp_path, 1, 1.0, [2.0, 2.0])]
    assert told_apart(same, column, rows=1) is None
    assert told_apart(same[:1], "x", rows=1) is None


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
    for (style, data, method, text), record in zip(tiles, everything, strict=True):
        assert ("failed" in style) == gallery.failed(record)
        assert record.result["preset"]["name"].startswith(data)
        assert record.result["preset"]["method"] == method
        assert f"<code>{record.result['command']}</code>" in text
        assert record.result["commit"][:12] in text
        assert ('<img class="pixels" src="data:image/webp' in text) == record.samples.exists()
    assert len(html) < 2_000_000
    assert 'src="http' not in html
    (first, *_) = records.load("mnist/kmgan", "quick")
    diverged = Record(first.directory.parent / "nowhere", {**first.result, "status": "diverged", "metrics": {}})
    html = gallery.wall([diverged]).text
    assert 'class="tile failed"' in html
    assert "seed 0 · diverged" in html
