"""Figures, tiles of every seed and the wall of all records: what is drawn is what was passed in or computed."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.quiver import Quiver
from PIL import Image
from scipy.spatial.distance import cdist

from kmgan_book import figures, phone, records
from kmgan_book.conditions import SCORE
from kmgan_book.records import Record
from kmgan_lib.metrics import class_frequency
from kmgan_lib.sheets import sheet
from kmgan_pages import diagrams, gallery, primer
from kmgan_pages.gallery import told_apart, when_known

from .conftest import record

LIVE = "live · smoke · seed 0"


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    plt.switch_backend("agg")
    yield
    plt.close("all")


def trained(*rows: dict[str, float]) -> Record:
    """A record with this history."""
    made = record(0, {})
    made.__dict__["history"] = rows
    return made


def test_grids_show_the_sheets_of_images() -> None:
    images = torch.rand(9, 1, 8, 8)
    figure = figures.grids({"tensor": images}, LIVE, columns=3)
    assert np.array_equal(np.asarray(figure.axes[0].images[0].get_array()), sheet(images, columns=3))
    assert [ax.get_title() for ax in figure.axes] == ["tensor"]
    assert figure.get_supxlabel() == LIVE
    long = figures.grids({"tensor": images}, f"recorded · commits {', '.join(['abcdef0'] * 12)}")
    assert long.get_tightbbox().width < long.get_size_inches()[0] + 0.1  # else notebooks show all of it smaller
    assert to_rgb(figure.get_facecolor()) == (1, 1, 1)  # for dark pages
    assert plt.rcParams["savefig.facecolor"] == "white"


def test_what_is_drawn_are_the_numbers_that_were_passed() -> None:
    runs = {"a": [trained({"iteration": 1, "x": 2.0}, {"iteration": 2, "x": 3.0})]}
    runs["b"] = [trained({"iteration": 1, "y": 1.0})]
    history = figures.every_history(runs, {"x": "X", "y": "Y"}, LIVE)
    assert [len(ax.lines) for ax in history.axes] == [1, 1], "runs without the column are left out"
    assert np.asarray(history.axes[0].lines[0].get_ydata()).tolist() == [2.0, 3.0]
    share = class_frequency(torch.tensor([0, 0, 0, 1]), 2)
    bars = figures.class_shares({"a": share, "b": share}, ["x", "y"], LIVE).axes[0].patches
    assert [bar.get_height() for bar in bars if isinstance(bar, Rectangle)] == pytest.approx([75, 25, 75, 25])
    table = figures.shares({"a": share, "b": share}, ["x", "y"], LIVE)
    assert [text.get_text() for text in table.axes[0].texts] == ["75", "25", "75", "25"]
    seeds = figures.seeds({"a": [1.0, 2.0], "b": []}, "score", LIVE, lines={"real": 3.0}).axes[0]
    assert [len(np.asarray(points.get_offsets())) for points in seeds.collections] == [2, 0]
    assert seeds.get_xscale() == "linear"
    far = figures.seeds({"a": [8.0, 12.0], "b": [260.0]}, "distance", LIVE).axes[0]
    assert (far.get_xscale(), far.get_xlabel()) == ("log", "distance, logarithmic")
    slopes = figures.slopes({"a": (3.0, 1.0), "b": (2.0, 5.0), "c": (1.0, 3.0)}, "theirs", "ours", LIVE)
    ranks = [np.asarray(line.get_ydata()).tolist() for line in slopes.axes[0].lines]
    assert ranks == [[0, 2], [1, 0], [2, 1]]


def test_a_phone_gets_the_panels_below_each_other_and_the_figure_stays() -> None:
    runs = {"KM-GAN": [trained(*({"iteration": float(i), "x": i, "y": -i} for i in range(3)))]}
    figure = figures.every_history(runs, {"x": "X", "y": "Y"}, "recorded · " + " · ".join(["commit abcdefg"] * 6))
    before = [ax.get_position().bounds for ax in figure.axes]
    small = phone.narrow(figure)
    small.draw_without_rendering()
    first, second = (ax.get_position() for ax in small.axes)
    assert first.y0 > second.y1
    assert first.x0 < second.x1
    assert small.get_size_inches()[0] == phone.WIDTH
    assert "\n" in small.get_supxlabel()
    assert [ax.get_position().bounds for ax in figure.axes] == before
    data = figure._repr_mimebundle_()[phone.PHONE]  # pyright: ignore[reportAttributeAccessIssue]
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.height > image.width
    logarithmic = diagrams.constant_discriminator([], LIVE)
    labels = [label.get_text() for label in phone.narrow(logarithmic).axes[0].get_yticklabels()]
    assert any("$" in label for label in labels)
    assert not any("\n" in label for label in labels)


def dots(figure: Figure, panel: int, which: int) -> np.ndarray:
    return np.asarray(figure.axes[panel].collections[which].get_offsets())


def test_the_generator_comes_to_the_real_points_when_it_learns_too() -> None:
    figure = primer.two_networks(0)
    _, alone, both = (cdist(dots(figure, panel, 0), dots(figure, panel, 1)).min(1).mean() for panel in range(3))
    assert both < 0.5 * alone  # from a real point to the nearest


def test_centers_move_and_the_collapsed_generator_has_the_same_loss() -> None:
    figure = primer.k_means(0)
    assert not np.allclose(dots(figure, 0, 1), dots(figure, 3, 1))
    good, bad = (ax.get_title() for ax in primer.collapse(0).axes)
    assert good.partition("loss of G")[2].split(",")[0] == bad.partition("loss of G")[2].split(",")[0]
    assert good.endswith("1.39")
    assert bad.endswith("0.00")


def test_the_pulls_are_gradients_of_the_library() -> None:
    each, together = primer.pulls(0).axes
    arrows = [next(c for c in ax.collections if isinstance(c, Quiver)) for ax in (each, together)]
    angles = [np.arctan2(arrow.V, arrow.U) for arrow in arrows]
    assert np.ptp(angles[1]) < 0.1  # one direction
    generated, real = (np.stack([c.U, c.V], 1) for c in together.collections if isinstance(c, Quiver))
    assert (generated @ real.T).max() < 0  # towards each other
    assert np.ptp(angles[0]) > 1


@pytest.mark.parametrize("seed", range(2))
def test_one_center_sees_nothing_behind_batch_normalization_and_four_see_the_collapse(seed: int) -> None:
    title = primer.normalized(seed).axes[1].get_title().replace("−", "-")
    real, copies, four, one = map(float, re.findall(r"-?\d+\.\d+", title))
    assert real > copies + 0.1
    assert four < -1
    assert one == 0


def test_clusters_reach_every_group_and_a_random_partition_does_not() -> None:
    titles = [ax.get_title() for ax in primer.ring(0, seeds=1).axes]  # 8 of 8 groups, 95% of points
    none, random, clusters = ([int(number) for number in re.findall(r"\d+", title)] for title in titles)
    assert clusters[0] == 8
    assert clusters[2] > 90
    assert max(none[0], random[0]) < 8 or max(none[2], random[2]) < clusters[2]


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


def test_failed_runs_are_told_apart_from_the_first_row_on_that_stays_so_and_a_sentence_says_it() -> None:
    good, bad = [1.0, 3.0, 1.0, 3.0, 3.0], [1.0, 2.0, 2.0, 2.0, 1.0]
    for scores, lower in (((8.0, 1.0), True), ((1.0, 8.0), False)):
        runs = [learning(0, scores[0], good), learning(1, scores[1], bad)]
        assert told_apart(runs, "x", rows=1) == (300, lower, 2.5)
    same = [learning(0, 8.0, [1.0, 2.0]), learning(1, 1.0, [2.0, 2.0])]
    for group, column in ((same, "x"), (same, "missing"), (same[:1], "x")):
        assert told_apart(group, column, rows=1) is None
    runs = [learning(0, 8.0, [1.0, 3.0, 3.0]), learning(1, 1.0, [1.0, 2.0, 2.0])]
    said = when_known(runs, {"x": "the loss", "y": "the other"}, rows=1)
    assert "1 of 2 runs failed. Averaged over 100 iterations, the loss is lower in every failed run" in said
    assert "from iteration 100 on (about 2.5 lies" in said
    assert "No threshold on the other separates failed runs from the others" in said
    assert when_known(runs[:1], {"x": "the loss"}) == "0 of 1 run failed: there is nothing to tell apart."


def test_a_method_has_one_color_and_no_two_names_share_one() -> None:
    names = ["DCGAN", "KM-GAN", "DCGAN, with labels", "KM-GAN, no center loss", "KM-GAN, λ = 5"]
    chosen = figures.colors(names)
    assert len(set(chosen)) == len(names)
    assert chosen[0] == figures.colors(["DCGAN without labels"])[0]
    assert chosen[1] == figures.colors(["a", "KM-GAN"])[1]


def test_every_record_is_on_the_wall_and_failures_are_framed() -> None:
    everything = records.all_records()
    html = gallery.wall(everything)._repr_html_()
    tiles = re.findall(r'<details class="(.*?)" data-set="(.*?)" data-method="(.*?)">(.*?)</details>', html, re.DOTALL)
    assert len(tiles) == len(everything)
    for (style, data, method, text), made in zip(tiles, everything, strict=True):
        preset = made.result["preset"]
        assert ("failed" in style, preset["method"]) == (gallery.failed(made), method)
        assert preset["name"].startswith(data)
        assert f"<code>{made.result['command']}</code>" in text
        assert ('<img class="pixels" src="data:image/webp' in text) == made.samples.exists()
    assert len(html) < 2_000_000
    (first, *_) = records.load("mnist/kmgan", "quick")
    diverged = Record(first.directory.parent / "nowhere", {**first.result, "status": "diverged", "metrics": {}})
    html = gallery.wall([diverged]).text
    assert 'class="tile failed"' in html
    assert "seed 0 · diverged" in html
    assert [gallery.rounded(score, 2) for score in (2.9966, 3.0, 3.456)] == ["2.99", "3.00", "3.46"], "not up to 3"
