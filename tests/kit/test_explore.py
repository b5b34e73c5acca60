"""Explorers: widgets, moved as messages of a browser would move them; frames without JavaScript; kept trainings."""

import base64
import re
import sys
import time
from pathlib import Path

import pytest

from kmgan_book import explore
from kmgan_book.explore import WIDGET, Explorer, Moments, frames_html, training_frames
from kmgan_lib import data
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import Judge
from kmgan_lib.training.run import Run

from ..conftest import Quick

MAKE = {
    "clusters": "explore.explore_clusters(run)",
    "interpolation": "explore.explore_interpolation(run.generator, run.label)",
    "classes": "explore.explore_classes(run)",
    "gate": "explore.explore_gate(run.history, run.label)",
}


@pytest.fixture(scope="module")
def run(pictures: Run, digits_judge: Judge) -> Run:
    """A run from its directory, with the classifier in the cache."""
    return Run.open(pictures.directory)


@pytest.mark.parametrize("name", MAKE)
def test_without_a_kernel_there_are_images_and_with_one_a_widget_that_reacts_within_a_second(
    run: Run, name: str
) -> None:
    explorer: Explorer = eval(MAKE[name], {"explore": explore, "run": run})
    frames = re.findall(r"<img [^>]*>", explorer.html)
    assert len(frames) == len(explorer.frames) >= 4
    assert sum("hidden" not in frame for frame in frames) == 1
    assert len(explorer.html) < 400_000
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/html"] == explorer.html
    assert bundle[WIDGET]["model_id"] == explorer.widget.model_id
    (slider, *_), shown = explorer.widget.children[:-1], explorer.widget.children[-1]
    before, begun = shown.value, time.process_time()
    slider.set_state({"index": 3})  # what a message of the browser does
    assert time.process_time() - begun < 1
    assert 'src="data:image/webp;base64,' in shown.value
    assert shown.value != before


def test_the_gate_counts_the_steps_and_needs_no_ipywidgets(monkeypatch: pytest.MonkeyPatch) -> None:
    history = [{"iteration": float(step), "loss_center": float(step)} for step in range(1, 11)]
    explorer = explore.explore_gate(history, "live · smoke · digits · seed 0")
    (axes,) = explorer.draw(d_round=7.0).axes
    assert axes.get_title().endswith("30% of the center steps are taken")
    with pytest.raises(UsageError, match="no center loss"):
        explore.explore_gate([{"iteration": 1.0, "loss_d": 1.0}], "live")
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert list(explorer._repr_mimebundle_()) == ["text/plain", "text/html"]


def labels(html: str) -> list[str]:
    return re.findall(r'data-label="([^"]*)"', html)


def test_a_training_with_what_it_has_kept(quick: Quick, tmp_path: Path) -> None:
    kept = Moments(data.load("digits"), most=100)
    run = quick(tmp_path / "run", "digits/kmgan", iterations=4, callback=kept)
    assert list(kept.features) == list(kept.centers) == [0, 2, 4]
    assert kept.features[4].shape == (100, 20)
    html = training_frames(run, kept).text
    assert labels(html) == ["iteration 2", "iteration 4"]
    assert "samples, features and losses" in html
    assert len(html) < 300_000

    kept = Moments(data.load("synthetic"), most=100)
    points = quick(tmp_path / "points", callback=kept)  # of which there are no samples
    assert labels(training_frames(points, kept).text) == ["iteration 0", "iteration 10", "iteration 20"]


@pytest.mark.parametrize(("poster", "shown", "figure"), [(None, 2, '-frames" data-autoplay>'), (1, 1, '-frames">')])
def test_frames_show_one_image_without_javascript(poster: int | None, shown: int, figure: str) -> None:
    html = frames_html([b"one", b"two", b"three"], ["a", "b", "c"], "A cloud", poster=poster)
    images = re.findall(r"<img [^>]*>", html)
    assert ["hidden" in image for image in images] == [place != shown for place in range(3)]
    assert f"data:image/webp;base64,{base64.b64encode(b'one').decode()}" in images[0]
    assert 'alt="A cloud: c"' in images[2]
    assert re.search(rf'<input type="range" min="0" max="2" value="{shown}" [^>]*hidden>', html)
    assert f"<output>{'abc'[shown]}</output>" in html
    assert figure in html  # only the last plays by itself
