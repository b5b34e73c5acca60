"""What the commands print: whole names on a narrow terminal, whole lines in a pipe, whatever the encoding."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from kmgan_lib import cli, cli_output, presets
from kmgan_lib.training.run import Run

from .conftest import Command


def test_a_pipe_gets_a_line_for_each_preset(kmgan: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")  # of the terminal behind the pipe
    lines = kmgan("list")[1].splitlines()
    for name in presets.PRESETS:
        (line,) = [line for line in lines if f" {name} " in line]
        assert ("center_loss=False" in line) == name.endswith("-nocenter")


def test_a_pipe_gets_a_path_in_one_line(kmgan: Command, pictures: Run) -> None:
    long = Path(*["a folder with a name of some length"] * 5) / "grid.png"
    assert kmgan("sample", str(pictures.directory), "-n", "1", "-o", str(long)) == (0, f"{long}\n", "")


@pytest.mark.parametrize("words", [["list"], ["list", "mnist/kmgan"], ["data"]])
def test_eighty_columns_cut_no_name(kmgan: Command, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    whole = kmgan(*words)[1]
    narrow = Console(width=80, force_terminal=True, color_system=None, markup=False, emoji=False)
    monkeypatch.setattr(cli, "console", narrow)
    monkeypatch.setattr(cli_output, "console", narrow)
    lines = kmgan(*words)[1].splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    cells = {cell.strip() for line in whole.splitlines() for cell in line.split("│")}
    words_there = {word for line in lines for word in line.replace("│", " ").split()}
    assert {word for cell in cells for word in cell.split() if "━" not in word and "─" not in word} <= words_there | {
        "┃"
    }


def test_an_output_without_utf_8_takes_everything_and_a_reader_who_has_enough_is_no_error() -> None:
    command = f"{sys.executable} -W error -m kmgan_lib list | grep -m 1 chet"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=environment)
    assert answer.stderr == ""
    assert answer.stdout.count("\n") == 1
    assert r"Fr\xe9chet" in answer.stdout
