"""The commands of the library: what they do, what they refuse in one line, and how they print."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

import kmgan_lib
from kmgan_lib import cli, presets
from kmgan_lib.metrics import METRICS
from kmgan_lib.training.run import Run

from .conftest import Command, Quick, contents
from .test_data import write_mnist

TINY = [f"--set={pair}" for pair in ("batch=16", "iterations=3", "eval_samples=20", "snapshots=1", "init_images=100")]


# One of each way to be wrong: what only the command line refuses, and what the library refuses through it.
BAD: list[tuple[list[str], str]] = [
    (["train", "mnist/kmgann"], "did you mean mnist/kmgan?"), (["train"], "preset"), (["garbage"], "garbage"),
    (["train", "synthetic/kmgan", "--profile", "tiny"], "unknown profile tiny"),
    (["train", "synthetic/kmgan", "--set", "learningrate=1"], "did you mean learning_rate?"),
    (["train", "synthetic/kmgan", "--set", "k"], "--set k: write key=value, such as --set k=20"),
    (["train", "synthetic/kmgan", "--set", "seed=3"], "seed"),
    (["train", "synthetic/kmgan", "--seed", "one"], "--seed"),
    (["train", "synthetic/kmgan", "--seed", "-1"], "seed=-1"),
    (["train", "digits/kmgan", "--set", "k=1798"], "k=1798"),
    (["train", "digits/kmgan", "--set", "batch=1798"], "1797 images"), (["train", "folder:."], "no images"),
    (["list", "nothing"], "unknown preset nothing"), (["list", "mnist"], "did you mean mnist/kmgan?"),
    (["data", "eat"], "data eat"), (["data", "show", "imagenet"], "imagenet"),
    (["data", "fetch", "celeba"], "no reliable download"), (["data", "fetch"], "needs a name"),
    (["data", "fetch", "digits"], "digits is no data set"), (["sample", "nowhere"], "does not exist"),
    (["evaluate", "nowhere"], "is not a run"),
    (["evaluate", "nowhere", "--only", "fid", "--all"], "exclude each other"),
    (["train", "synthetic/kmgan", "--set", "k=50", "--set", "init_images=40"], "k=50"),
    (["train", "../work"], "did you mean folder:../work?"),
    (["sample", "RUN", "-n", "0"], "at least 1"), (["interpolate", "RUN", "--steps", "1"], "at least 2"),
    (["sample", "RUN", "-o", "grid.xyz"], "unknown image format"),
    (["interpolate", "RUN", "-o", "strip"], "unknown image format"),
    (["train", "digits/kmgan", "--out", "RUN"], "--resume"),
    (["train", "digits/kmgan", "--out", "RUN/config.json"], "is a file"),
    (["train", "digits/kmgan", "--out", "RUN/config.json/x"], "cannot be made (Not a directory)"),
    (["data", "check", "celeba"], "no celeba"),
    (["evaluate", "RUN", "--only", "fidd"], "did you mean fid?"),
    (["evaluate", "RUN", "--only", "fid768"], "--inception-weights"),
    (["evaluate", "RUN", "--only", "fid", "--inception-weights", "RUN/config.json"], "SHA-256"),
    (["records", "eat"], "choose ledger, table, check, add or replay"), (["records", "add"], "needs a run directory"),
    (["records", "check", "mnist/kmgan"], "leave out mnist/kmgan"),
    (["records", "add", "nowhere"], "nowhere is not a run"),
    (["records", "--results", "nowhere"], "nowhere is not a folder of records"),
    (["records", "table", "imagenet/*"], "no quick record matches imagenet/*"),
    (["records", "table", "--profile", "tiny"], "unknown profile tiny"),
    *((["sweep", *words.split()], message) for words, message in (
        ("--shard 5/4", "write i/n"), ("--shard half", "write i/n"), ("--profile tiny", "unknown profile tiny"),
        ("--only mnist/kmgann", "no preset matches mnist/kmgann"), ("--seeds=", "write whole numbers"),
        ("--seeds 0,-1", "--seeds 0,-1: write whole numbers"),
        ("--only mnist/* --seeds 9999999999", "must be between 0 and 2147483647"),
        ("--jobs 0 --only digits/kmgan", "jobs=0 must be at least 1"),
    )),
]  # fmt: skip


@pytest.fixture
def run_directory(pictures: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pictures.directory, tmp_path / "run"))


def test_bad_input_is_one_line_and_status_2_and_nothing_written(kmgan: Command, run_directory: Path) -> None:
    before = contents(run_directory)
    for arguments, message in BAD:
        status, out, err = kmgan(*[a.replace("RUN", str(run_directory)) for a in arguments])
        assert (status, out) == (2, ""), arguments
        assert err.startswith("kmgan: ")
        assert (err.count("\n"), err[-1]) == (1, "\n")
        assert message in err
    assert list(Path().iterdir()) == []
    assert contents(run_directory) == before


def test_help_and_version(kmgan: Command) -> None:
    status, out, err = kmgan()
    assert status in (0, 2)
    assert ("Usage" in out, err) == (True, "")
    for command in ("", "list", "data", "train", "sample", "interpolate", "evaluate", "sweep", "records"):
        status, out, err = kmgan(*command.split(), "-h")
        assert (status, "Usage" in out, err) == (0, True, "")
    assert kmgan("--version") == (0, f"kmgan {kmgan_lib.__version__}\n", "")


def test_list_has_presets_measures_and_fields_with_source(kmgan: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")  # of the terminal behind the pipe
    status, out, err = kmgan("list")
    assert (status, err) == (0, "")
    for name in [*presets.PRESETS, *METRICS, "folder:PATH"]:
        (line,) = [line for line in out.splitlines() if line.startswith(f"│ {name} ")]
        assert ("center_loss=False" in line) == name.endswith("-nocenter")
    out = kmgan("list", "digits/kmgan")[1]
    assert all(name in out for name in presets.PRESETS["digits/kmgan"].fields())
    assert "Eq. (4)" in out


def test_data_shows_what_is_there_and_checks(kmgan: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMGAN_CACHE", str(Path.cwd()))
    status, out, err = kmgan("data")
    assert (status, err) == (0, "")
    lines = {line.split()[1]: line for line in out.splitlines() if line.startswith("│")}
    assert "with the library" in lines["digits"]
    assert "no" in lines["mnist"].split()
    assert set(lines) == {"synthetic", "digits", "mnist", "fashion", "cifar10", "celeba"}
    for name, standin in (("fashion", "10,000 real test images"), ("celeba", "drawn faces")):
        assert standin in lines[name]
    write_mnist(tmp_path / "MNIST" / "raw")
    status, out, _ = kmgan("data", "check", "mnist", "--data-root", str(tmp_path))
    assert (status, "data root" in out) == (0, True)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"garbage")
    status, _, err = kmgan("data", "check", "mnist", "--data-root", str(tmp_path))
    assert (status, err.count("\n"), "train-images-idx3-ubyte" in err) == (2, 1, True)


@pytest.mark.usefixtures("digits_classifier")
def test_train_sample_interpolate_and_evaluate_a_run_on_digits(kmgan: Command) -> None:
    words = ["train", "digits/kmgan", "--profile", "smoke", "--seed", "4", *TINY]
    status, out, err = kmgan(*words)
    assert (status, err) == (0, "")
    assert "3 iterations" in out
    assert "classifier_score" in out
    run = "runs/digits/kmgan/smoke-seed4"
    command = json.loads(Path(run, "result.json").read_text())["command"]
    assert command.replace("--set ", "--set=").split()[1:] == words  # it repeats the run
    status, out, err = kmgan("sample", run, "-n", "6", "-o", "grid.png")
    assert (status, out.strip(), err) == (0, "grid.png", "")
    with Image.open("grid.png") as grid:
        assert grid.size == (2 * (3 * 29 - 1), 2 * (2 * 29 - 1))

    status, out, err = kmgan("interpolate", run, "--steps", "4", "--seed-a", "1", "--seed-b", "2", "-o", "strip.webp")
    assert (status, out.strip(), err) == (0, "strip.webp", "")
    with Image.open("strip.webp") as strip:
        assert strip.size == (2 * (4 * 29 - 1), 2 * 28)

    status, out, err = kmgan("evaluate", run, "--only", "memorisation", "--only", "centers")
    assert (status, err) == (0, "")
    assert [word in out for word in ("centers", "smallest", "clustering")] == [True, True, False]


def test_a_garbled_run_is_one_line(kmgan: Command, run_directory: Path) -> None:
    for name in ("config.json", "result.json"):
        before = (run_directory / name).read_bytes()
        for content in ("{", "{}", "[]"):
            (run_directory / name).write_text(content)
            status, _, err = kmgan("evaluate", str(run_directory))
            assert (status, err.count("\n")) == (2, 1)
        (run_directory / name).write_bytes(before)
    (run_directory / "result.json").unlink()
    status, _, err = kmgan("evaluate", str(run_directory))
    assert (status, "--resume" in err) == (2, True)


def test_points_are_no_pictures(kmgan: Command, quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "points", iterations=1)
    status, _, err = kmgan("sample", str(run.directory))
    assert (status, "points, not images" in err, list(Path().iterdir())) == (2, True, [])


def test_a_run_that_diverges_is_status_1_and_one_line(kmgan: Command) -> None:
    words = ["train", "synthetic/kmgan", "--profile", "smoke", "--device", "cpu", "--out", "run"]
    status, out, err = kmgan(*words, "--set", "learning_rate=1e30", "--set", "init_images=100")
    assert (status, out) == (1, "")
    assert re.fullmatch(r"kmgan: a loss was not finite at iteration \d+.*no checkpoint yet.*\n", err)
    assert json.loads(Path("run/result.json").read_text())["status"] == "diverged"


def test_a_start_imports_nothing_heavy_and_no_jupyter_and_an_output_without_utf_8_or_a_reader_is_no_error() -> None:
    heavy = "torchvision matplotlib seaborn sklearn scipy PIL rich typer IPython ipykernel ipywidgets jupyter papermill"
    forbidden = ["IPython", "ipykernel", "ipywidgets", "papermill", "jupyter_book", "nbformat", "nbclient"]
    code = f"""
import sys, kmgan_lib
assert not [name for name in {heavy.split()} if name in sys.modules]
for name in {forbidden}:
    sys.modules[name] = None  # importing it fails
import kmgan_lib.training.trainer, kmgan_lib.metrics, kmgan_lib.generator, kmgan_lib.cli
import kmgan_book.records, kmgan_book.explore
kmgan_lib.cli.main(["list"])
"""
    command = shlex.join([sys.executable, "-W", "error", "-c", code]) + " | grep -m 1 chet"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=environment)
    assert answer.stderr == ""
    assert answer.stdout.count("\n") == 1
    assert r"Fr\xe9chet" in answer.stdout


def test_eighty_columns_cut_no_name(kmgan: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = Console(width=80, force_terminal=True, color_system=None, markup=False, emoji=False)
    monkeypatch.setattr(cli, "console", narrow)
    for words in ("list", "list mnist/kmgan", "data"):
        out = kmgan(*words.split())[1]
        assert max(map(len, out.splitlines())) <= 80
        assert "…" not in out
