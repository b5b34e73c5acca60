"""Figures: what is drawn is what was passed in or computed, the badge is there, the background is opaque."""

import base64
import io
import re
from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.quiver import Quiver
from PIL import Image

from kmgan_book import diagrams, figures, phone, primer
from kmgan_lib.metrics import class_frequency
from kmgan_lib.pictures import sheet

LIVE = "live · smoke · seed 0"


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_grids_show_the_sheets_of_images() -> None:
    images = torch.rand(9, 1, 8, 8)
    figure = figures.grids({"tensor": images}, LIVE, columns=3)
    assert np.array_equal(np.asarray(figure.axes[0].images[0].get_array()), sheet(images, columns=3))
    assert [ax.get_title() for ax in figure.axes] == ["tensor"]
    assert figure.get_supxlabel() == LIVE
    assert to_rgb(figure.get_facecolor()) == (1, 1, 1)  # for dark pages
    assert plt.rcParams["savefig.facecolor"] == "white"
    assert len(figures.strip(torch.rand(4, 3, 8, 8), LIVE, "").axes[0].images) == 1


def test_feature_moments_draw_the_same_points_in_the_colours_of_their_classes() -> None:
    features, labels = torch.rand(50, 2), torch.arange(50) % 4
    figure = diagrams.feature_moments({"KM-GAN": {"0": features, "1": features + 1}}, labels, LIVE)
    first, second = (ax.collections[0] for ax in figure.axes)
    assert len(np.asarray(first.get_offsets())) == 50
    assert np.allclose(np.asarray(first.get_offsets()) + 1, np.asarray(second.get_offsets()), atol=1e-6)
    assert len({tuple(colour) for colour in np.asarray(first.get_facecolor())}) == 4


def test_histories_leave_out_runs_without_the_column() -> None:
    runs = {"a": [{"iteration": 1, "x": 2.0}, {"iteration": 2, "x": 3.0}], "b": [{"iteration": 1, "y": 1.0}]}
    figure = figures.histories(runs, {"x": "X", "y": "Y"}, LIVE)
    assert [len(ax.lines) for ax in figure.axes] == [1, 1]
    assert np.asarray(figure.axes[0].lines[0].get_ydata()).tolist() == [2.0, 3.0]


def test_class_shares_are_bars_or_numbers_in_percent() -> None:
    share = class_frequency(torch.tensor([0, 0, 0, 1]), 2)
    figure = figures.class_shares({"a": share, "b": share}, ["x", "y"], LIVE)
    heights = [patch.get_height() for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert heights == pytest.approx([75, 25, 75, 25])
    table = figures.shares({"a": share, "b": share}, ["x", "y"], LIVE)
    assert [text.get_text() for text in table.axes[0].texts] == ["75", "25", "75", "25"]


def test_seeds_draw_a_point_a_seed_and_an_empty_group_none() -> None:
    figure = figures.seeds({"a": [1.0, 2.0], "b": []}, "score", LIVE, lines={"real": 3.0})
    assert [len(np.asarray(points.get_offsets())) for points in figure.axes[0].collections] == [2, 0]
    assert figure.axes[0].get_xscale() == "linear"
    far = figures.seeds({"a": [8.0, 12.0], "b": [260.0]}, "distance", LIVE).axes[0]
    assert (far.get_xscale(), far.get_xlabel()) == ("log", "distance, logarithmic")


def test_points_have_the_colors_of_their_classes_and_the_framework_its_boxes() -> None:
    figure = diagrams.points(torch.rand(20, 2), torch.arange(20) % 2, ("A", "B"), LIVE)
    assert [len(np.asarray(drawn.get_offsets())) for drawn in figure.axes[0].collections] == [10, 10]
    texts = " ".join(text.get_text() for text in diagrams.framework().axes[0].texts)
    assert "L_{center}" in texts


def test_slopes_lead_from_one_rank_to_the_other() -> None:
    figure = figures.slopes({"a": (3.0, 1.0), "b": (2.0, 5.0), "c": (1.0, 3.0)}, "theirs", "ours", "recorded · long")
    ends = [np.asarray(line.get_ydata()).tolist() for line in figure.axes[0].lines]
    assert ends == [[0, 2], [1, 0], [2, 1]]


def test_a_phone_gets_the_panels_below_each_other_and_the_figure_stays(capsys: pytest.CaptureFixture[str]) -> None:
    runs = {"KM-GAN": [{"iteration": float(i), "x": i, "y": -i} for i in range(3)]}
    figure = figures.histories(runs, {"x": "X", "y": "Y"}, "recorded · " + " · ".join(["commit abcdefg"] * 6))
    before = [ax.get_position().bounds for ax in figure.axes], tuple(figure.get_size_inches())
    small = phone.narrow(figure)
    small.draw_without_rendering()
    first, second = (ax.get_position() for ax in small.axes)
    assert first.y0 > second.y1
    assert first.x0 < second.x1
    assert small.get_size_inches()[0] == phone.WIDTH
    assert "\n" in small.get_supxlabel()
    assert ([ax.get_position().bounds for ax in figure.axes], tuple(figure.get_size_inches())) == before
    assert plt.get_fignums() == [figure.number]  # pyright: ignore[reportAttributeAccessIssue]
    data = figure._repr_mimebundle_()[phone.PHONE]  # pyright: ignore[reportAttributeAccessIssue]
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.height > image.width
    assert not capsys.readouterr().err
    logarithmic = diagrams.constant_discriminator([], LIVE)
    labels = [label.get_text() for label in phone.narrow(logarithmic).axes[0].get_yticklabels()]
    assert any("$" in label for label in labels)
    assert not any("\n" in label for label in labels)


def dots(figure: Figure, panel: int, which: int) -> np.ndarray:
    return np.asarray(figure.axes[panel].collections[which].get_offsets())


@pytest.mark.parametrize("seed", range(2))
def test_the_generator_comes_to_the_real_points_when_it_learns_too(seed: int) -> None:
    figure = primer.two_networks(seed)

    def distance(panel: int) -> float:
        real, fake = dots(figure, panel, 0), dots(figure, panel, 1)
        return float(np.linalg.norm(fake[:, None] - real, axis=2).min(0).mean())  # of a real point to the nearest

    assert distance(2) < 0.5 * distance(1)


@pytest.mark.parametrize("seed", range(3))
def test_centers_move_to_means_and_the_collapsed_generator_has_the_same_loss(seed: int) -> None:
    figure = primer.k_means(seed)
    first, last = dots(figure, 0, 1), dots(figure, 3, 1)
    assert not np.allclose(first, last)
    good, bad = (ax.get_title() for ax in primer.collapse(seed).axes)
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


@pytest.mark.parametrize("seed", range(5))
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
