"""The primer's figures show what their captions say, whatever the seed."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver

from kmgan_book import primer


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    plt.switch_backend("agg")
    yield
    plt.close("all")


def titles(figure: Figure) -> list[str]:
    return [ax.get_title() for ax in figure.axes]


def dots(figure: Figure, panel: int, which: int) -> np.ndarray:
    return np.asarray(figure.axes[panel].collections[which].get_offsets())


@pytest.mark.parametrize("seed", range(3))
def test_the_generator_comes_to_the_real_points_when_it_learns_too(seed: int) -> None:
    figure = primer.two_networks(seed)

    def distance(panel: int) -> float:
        real, fake = dots(figure, panel, 0), dots(figure, panel, 1)
        return float(np.linalg.norm(fake[:, None] - real, axis=2).min(0).mean())  # of a real point to the nearest

    assert distance(2) < 0.5 * distance(1)


@pytest.mark.parametrize("seed", range(5))
def test_centers_move_to_means_and_the_collapsed_generator_has_the_same_loss(seed: int) -> None:
    figure = primer.k_means(seed)
    first, last = dots(figure, 0, 1), dots(figure, 3, 1)
    assert not np.allclose(first, last)
    good, bad = titles(primer.collapse(seed))
    assert good.partition("loss of G")[2].split(",")[0] == bad.partition("loss of G")[2].split(",")[0]
    assert good.endswith("1.39")
    assert bad.endswith("0.00")


def test_the_pulls_are_gradients_of_the_library() -> None:
    each, together = primer.pulls(0).axes
    arrows = [next(c for c in ax.collections if isinstance(c, Quiver)) for ax in (each, together)]
    angles = [np.arctan2(arrow.V, arrow.U) for arrow in arrows]
    assert np.ptp(angles[1]) < 0.1  # one direction
    assert np.ptp(angles[0]) > 1
