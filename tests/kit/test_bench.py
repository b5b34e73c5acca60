"""The structure of a speed report, at tiny sizes; no time is judged."""

import io
import json
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch

from benchmarks import bench, tf32
from benchmarks import worker as bench_worker
from kmgan_pages import bench_figure

CPU = torch.device("cpu")
TINY: dict[str, Any] = {"width": 0.125, "batch": 8}


def spec(name: str, **overrides: Any) -> dict[str, Any]:
    return {"preset": name, "profile": "smoke", "overrides": {**TINY, **overrides}, "device": "cpu"}


@pytest.mark.parametrize("what", [spec("mnist/kmgan", init_images=50), spec("mnist/wgan"), {"plain": "mnist"}], ids=str)
def test_a_worker_answers_every_line(what: dict[str, Any]) -> None:
    outputs = io.StringIO()
    bench_worker.serve({**what, "device": "cpu"}, io.StringIO("1\n2\n"), outputs)
    about, *answers = map(json.loads, outputs.getvalue().splitlines())
    assert about["images"] == {"mnist/kmgan": 8, "mnist/wgan": 40}.get(what.get("preset", ""), 64)
    assert about["flops"] > 0
    assert [answer["seconds"] > 0 and answer["peak_megabytes"] > 0 for answer in answers] == [True, True]


def test_a_report_has_what_its_sections_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "matmul_rate", lambda *_: 1e9)
    monkeypatch.setattr(bench, "kmeans_seconds", lambda *_, **__: 1e-3)
    report = bench.measure(quick=True, only=["growth"], device="cpu")
    assert report["schema"] == bench.SCHEMA
    assert {"device", "threads", "commit", "versions", "tf32", "matmul_flops", "growth"} <= set(report)
    assert set(report["growth"]) == {"b", "k", "d", "images"}
    assert json.loads(json.dumps(report)) == report


def test_the_figure_has_a_panel_a_section_and_tables_say_what_was_measured() -> None:
    result = {"images_per_second": 10.0, "speed": 1.0, "utilisation": 0.25}
    report = {"device": "a CPU", "commit": None, "profile": "quick", "methods": {"<kmgan>": result}}
    text = bench_figure.table([report])._repr_html_()
    assert "<td>&lt;kmgan&gt;</td><td>10</td><td>25%</td>" in text
    assert "plain" not in text
    figure = bench_figure.speed({**report, "plain": {"mnist": result}, "growth": {"b": [[1, 0.1], [2, 0.2]]}})
    assert [ax.get_title() for ax in figure.axes] == ["Images per second", "Speed relative to plain loop", "K-Means"]
    plt.close(figure)
    scores = {"mnist/kmgan": {"scores": {"float32": [8.5, 8.25], "bf16": [7.125, None]}, "as_good": False}}
    report = {"rule": "<rule>", "profile": "quick", "part": "all", "device": "a CPU", "commit": "abc"}
    text = bench_figure.precision([{**report, "presets": scores}] * 2)._repr_html_()
    for part in ("8.50, 8.25", "7.12, diverged", "not as good", "recorded · quick · a CPU · abc"):
        assert part in text
    assert text.count("&lt;rule&gt;") == 1
    for empty in (bench_figure.precision, bench_figure.table):
        assert "Not yet recorded" in empty([])._repr_html_()


@pytest.mark.parametrize(
    ("name", "options"), [("conv2d", {"stride": 2, "padding": 1}), ("conv_transpose2d", {"stride": 2, "groups": 2})]
)
def test_convolutions_are_those_of_rounded_operands(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(*shape).requires_grad_() for shape in ((2, 4, 6, 6), (4, 4, 3, 3), (4,)))
    bias = None if "groups" in options else bias
    plain, ours = getattr(torch.nn.functional, name), getattr(tf32, name)
    exact = [tf32.rounded(part).requires_grad_() for part in (x, weight)]
    assert 0 < (exact[0] - x).abs().max() < x.abs().max() * 2**-11 * 1.01
    expected, found = plain(*exact, bias, **options), ours(x, weight, bias, **options)
    assert torch.equal(found, expected)
    gradient = torch.randn_like(found)
    for mine, theirs in zip(
        torch.autograd.grad(found, (x, weight), gradient),
        torch.autograd.grad(expected, exact, tf32.rounded(gradient)), strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(mine, theirs)
