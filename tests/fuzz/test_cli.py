"""Every option of every command, given anything: a status and one line, nothing written elsewhere or started."""

import os
import shlex
import shutil
from pathlib import Path
from typing import Any, NoReturn

import pytest
import typer.main
from hypothesis import strategies as st

from benchmarks import bench
from kmgan_book import records, sweep
from kmgan_lib import cli as library
from kmgan_lib import data, methods
from kmgan_lib.errors import RunFailed
from kmgan_lib.training.run import Run

from ..conftest import Command
from .conftest import WORDS, Watch, cases

COMMANDS: dict[str, Any] = typer.main.get_command(library.app).commands  # pyright: ignore[reportAttributeAccessIssue]
OPTIONS = {
    name: sorted({"--help", *(o for p in command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("-"))})
    for name, command in COMMANDS.items()
}
# Presets whose data come with the library; words that are right somewhere, so that a line may get far.
RIGHT = (
    "digits/kmgan", "synthetic/kmgan", "folder:run", "smoke", "paper", "cpu", "auto", "0", "0,1", "run",
    "run/generator.safetensors", "empty", "here/results", "new", "a.png", "c.txt", "[/x].png", "[red]x.webp", "digits",
    "mnist", "show", "fetch", "check", "ledger", "table", "add", "1/4", "25m", "0.1s", "k=3", "width=1e300",
    "batch=99999999", "image_size=100000000", "k=0", "iterations=1", "method=wgan", "center_loss=false",
    "classifier_score", "fid", "mnist/*", "99999999999999999999", "1000000000", "-5", "64", "2",
)  # fmt: skip
WORD = st.sampled_from(RIGHT) | WORDS.filter(lambda word: "9" * 5000 not in word and ".." not in word)


def no(what: str) -> Any:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise RunFailed(f"no {what} in this test")

    return refuse


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Run) -> Path:
    """A folder with a run, in a folder of its own; nothing is trained, downloaded, measured or started from it."""
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    shutil.copytree(pictures.directory, place / "run")
    (place / "empty").mkdir()
    for name in ("HOME", "KMGAN_CACHE", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(place)
    monkeypatch.setattr(methods, "create", no("training"))
    monkeypatch.setattr(data, "fetch", no("download"))
    monkeypatch.setattr(data, "load", no("data"))
    monkeypatch.setattr(bench, "measure", no("measurement"))
    monkeypatch.setattr(sweep._Children, "run", no("process"))
    monkeypatch.setattr("kmgan_lib.metrics.evaluate", no("measure"))
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    return place


@pytest.fixture
def line(kmgan: Command, work: Path, watch: Watch) -> Command:
    """Return a function that gives exit status, output and errors of a command line, which ends as command lines do."""

    def run(*arguments: str) -> tuple[int, str, str]:
        os.chdir(work)
        watch.seen.clear()
        status, out, said = kmgan(*arguments)
        assert status in (0, 1, 2), arguments
        if status:
            assert said.splitlines()[-1].startswith("kmgan: ")
            assert sum(line.startswith("kmgan: ") for line in said.splitlines()) == 1
            assert len(said.splitlines()[-1]) < 1500
        assert "Traceback" not in said
        assert watch.outside(work.parent.parent) == []
        return status, out, said

    return run


@pytest.mark.parametrize("command", COMMANDS)
@cases(12, drawn=st.data())
def test_a_command_with_any_options(line: Command, command: str, drawn: st.DataObject) -> None:
    words = drawn.draw(st.lists(WORD, max_size=2))
    option = st.sampled_from(OPTIONS[command])
    for name, value in drawn.draw(st.lists(st.tuples(option, WORD), max_size=3)):
        words += drawn.draw(st.sampled_from([[name, value], [f"{name}={value}"], [name]]))
    words = [
        word for word in words if not Path(word.partition("=")[2] or word).is_absolute() or word.startswith("/proc")
    ]
    line(command, *words)


def test_numbers_that_are_too_large_are_one_line_and_a_file_of_any_name_is_written(line: Command, work: Path) -> None:
    for option in ("-n", "--seed"):
        status, out, said = line("sample", "run", option, "9" * 20)
        assert (status, said.count("\n"), out) == (2, 1, "")
    for name in ("[/x].png", "[red]x[/red].png", ":smile:.png"):  # to rich these are markup
        status, out, _ = line("sample", "run", "-n", "2", "-o", name)
        assert (status, out.replace("\n", "")) == (0, name)
        assert (work / name).is_file()


@cases(2, WORD, WORD, WORD)
def test_printed_runs_of_a_sweep_are_one_command_each(line: Command, root: str, results: str, runs: str) -> None:
    """A shell splits the line into the words that were given, whatever stands in them."""
    folders = [f"--data-root={root}", f"--results={results}", f"--runs={runs}"]
    status, out, _ = line("sweep", "--print", "--only", "digits/kmgan", "--seeds", "3", *folders)
    if status == 0:
        given = shlex.split(out)
        assert given[:3] == ["kmgan", "sweep", "--profile"]
        for name, value in (("--data-root", root), ("--results", results)):
            assert name not in given or given[given.index(name) + 1] == str(Path(value))
