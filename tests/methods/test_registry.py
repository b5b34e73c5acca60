"""A tenth method takes one file: the worked example of the book is what is tested here."""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kmgan_lib import load_generator, presets
from kmgan_lib.errors import UsageError

from ..conftest import Command, Quick

PAGE = Path(__file__).resolve().parents[2] / "book" / "new_method.md"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The page's file, imported as a reader would import it."""
    (code,) = re.findall(r"^```python\n(\"\"\".*?)^```", PAGE.read_text(encoding="utf8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "lsgan.py").write_text(code, encoding="utf8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert len(presets.PRESETS)  # the library's methods come first
    before = dict(presets.METHODS)
    yield importlib.import_module("lsgan")
    del sys.modules["lsgan"]
    for name in set(presets.METHODS) - set(before):
        del presets.METHODS[name]


def test_the_worked_example_trains_on_digits_and_resumes(example: Any, quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run", "digits/lsgan", iterations=10, decay=0.3)
    assert isinstance(run.method, example.LSGAN)
    assert run.preset.decay == 0.3
    run = quick(tmp_path / "run", "digits/lsgan", iterations=20, decay=0.3, resume=True)
    assert (run.result["status"], run.result["iterations"]) == ("completed", 20)
    assert run.history[-1]["loss_d"] < run.history[0]["loss_d"]
    assert load_generator(run.directory).sample(2).shape == (2, 1, 28, 28)


def test_the_worked_example_is_listed_and_its_option_is_checked_and_its_own(example: Any, kmgan: Command) -> None:
    assert "mnist/lsgan" in kmgan("list")[1]
    assert "decay" in kmgan("list", "mnist/lsgan")[1]
    assert presets.resolve("mnist/lsgan", decay="0.5").decay == 0.5
    with pytest.raises(UsageError, match=r"decay=.*must be less than 1"):
        presets.resolve("mnist/lsgan", decay=1.5)
    for name, key in (("mnist/kmgan", "decay"), ("mnist/lsgan", "k"), ("mnist/dcgan", "components")):
        with pytest.raises(UsageError, match=f"unknown key {key}"):
            presets.resolve(name, "quick", **{key: 1})


def test_what_an_unknown_method_wrote_says_so(example: Any) -> None:
    fields = presets.resolve("mnist/lsgan").as_dict()
    assert presets.from_dict(fields) == presets.resolve("mnist/lsgan")
    del presets.METHODS["lsgan"]
    with pytest.raises(UsageError, match="is not imported"):
        presets.from_dict(fields)


def test_a_folder_is_trained_by_any_method() -> None:
    preset = presets.resolve("folder:album", method="wgan", clip="0.1")
    assert (preset.method, preset.clip, preset.dataset) == ("wgan", 0.1, "folder:album")
    assert not presets.resolve("folder:album", method="dcgan").conditional
    with pytest.raises(UsageError, match=r"unknown method wgam; did you mean wgan\?"):
        presets.resolve("folder:album", method="wgam")
    with pytest.raises(UsageError, match="unknown key method"):
        presets.resolve("mnist/kmgan", method="wgan")


def test_step_sizes_are_those_that_the_tuning_chose() -> None:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "tuning.json"
    found = json.loads(path.read_text(encoding="utf8"))
    assert all(run["seed"] >= 100 for run in found["runs"])  # seeds that no verdict uses
    chosen = [(profile, *item) for profile, rates in found["chosen"].items() for item in rates.items()]
    for profile, name, rate in chosen:
        runs = [run for run in found["runs"] if (run["preset"], run["profile"], run["changes"]) == (name, profile, [])]
        assert {run["rate"] for run in runs} >= {1e-4, 2e-4, 5e-4, 1e-3}, name
        assert presets.PRESETS[name].learning_rate == rate, name
        assert {run["hash"] for run in runs if run["rate"] == rate} == {presets.PRESETS[name].hash}, name
        for other in ("mnist/", "fashion/"), ("cifar10-32/", "cifar10/"):
            assert presets.PRESETS[name.replace(*other)].learning_rate == rate
