"""Machines unlike the developer's: no git, no home, another user's cache, Windows, a wheel without its checkout."""

import fcntl
import json
import logging
import math
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import torch

import kmgan_lib
from kmgan_lib import files, train
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import Judge
from kmgan_lib.metrics.classifier import judge
from kmgan_lib.metrics.neighbours import memorisation_scores
from kmgan_lib.training import run

from ..conftest import Quick

LIBRARY = Path(kmgan_lib.__file__).parent


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with something of the library in it, from which it seems to run."""
    root = tmp_path / "checkout"
    (root / "kmgan_lib" / "training").mkdir(parents=True)
    (root / "kmgan_lib" / "training" / "run.py").write_text("pass\n", encoding="utf8")
    (root / "pyproject.toml").write_text('[project]\nname = "kmgan"\n', encoding="utf8")
    name = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "--quiet"], ["add", "."], [*name, "commit", "--quiet", "-m", "one"]):
        subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True)
    monkeypatch.setattr(run, "__file__", str(root / "kmgan_lib" / "training" / "run.py"))
    return root


def test_the_commit_says_whether_the_library_is_that_of_the_commit(checkout: Path) -> None:
    clean = run.commit()
    assert clean is not None
    assert len(clean) == 12
    (checkout / "notes.txt").write_text("of the reader's own")
    (checkout / "kmgan_lib" / "compiled.pyc").write_text("")
    assert run.commit() == clean
    new = checkout / "kmgan_lib" / "method.py"
    new.write_text("new = 1\n", encoding="utf8")
    assert run.commit() == f"{clean}+edited"
    new.unlink()
    (checkout / "kmgan_lib" / "training" / "run.py").write_text("edited = 1\n", encoding="utf8")
    assert run.commit() == f"{clean}+edited"
    shutil.rmtree(checkout / ".git")
    assert run.commit() is None


def test_a_training_needs_no_git(quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, error in enumerate((FileNotFoundError("git"), PermissionError(), subprocess.TimeoutExpired("git", 1))):

        def missing(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(subprocess, "run", missing)
        result = quick(tmp_path / str(place), iterations=3).result
        assert (result["commit"], result["status"]) == (None, "completed")


def test_files_have_the_mode_that_the_umask_gives(quick: Quick, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        quick(tmp_path / "run", iterations=2)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {"generator.safetensors", "checkpoint.pt", "config.json"} <= set(modes)
    assert set(modes.values()) == {0o640}, modes


def test_nothing_is_flushed_through_a_descriptor_for_reading(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, flushed = os.fsync, []

    def windows(descriptor: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(9, "Bad file descriptor")
        flushed.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", windows)
    assert quick(tmp_path / "run", iterations=2).result["status"] == "completed"
    assert flushed


def test_json_has_no_nan_and_no_infinity(tmp_path: Path) -> None:
    numbers = {"a": [math.inf, 1.5, (-math.inf, "x")], "b": {"c": math.nan, "d": None, "e": True}, "f": 2}
    files.write_json(tmp_path / "numbers.json", numbers)
    text = (tmp_path / "numbers.json").read_text(encoding="utf8")
    plain = {"a": [None, 1.5, [None, "x"]], "b": {"c": None, "d": None, "e": True}, "f": 2}
    assert json.loads(text, parse_constant=pytest.fail) == plain


def test_a_ratio_to_a_distance_of_zero_is_none() -> None:
    real = torch.zeros(6, 1, 4, 4)
    for samples in (torch.ones(3, 1, 4, 4), real[:3]):
        result = files.finite(memorisation_scores(samples, real, real[:3], real[3:]))
        assert (result["typical"], result["ratio"], result["smallest"]) == (0, None, None)
        assert result["ratios"] == [None] * 3


def test_a_cache_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, digits_judge: Judge
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("kmgan_lib.metrics.classifier._fit", lambda *_: digits_judge.net)  # trained once is enough
    judge.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            made = judge("digits")
    finally:
        judge.cache_clear()
    assert made.accuracy == digits_judge.accuracy
    (message,) = [record.getMessage() for record in caplog.records if "file/cache" in record.getMessage()]
    assert "could not be written" in message
    assert "KMGAN_CACHE" in message


def test_two_processes_keep_the_same_file_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "judge"

    def slowly(partial: Path) -> None:
        with partial.open("w") as file:
            file.write("one, ")
            file.flush()
            with monkeypatch.context() as other:
                other.setattr(os, "getpid", lambda: 1)
                files.keep(path, lambda p: p.write_text("two"))
            file.write("whole")
            file.flush()
            assert path.read_text() == "two"

    files.keep(path, slowly)
    assert path.read_text() == "one, whole"
    assert list(tmp_path.iterdir()) == [path]
    assert caplog.records == []


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KMGAN_CACHE", "")
    for values in ({"XDG_CACHE_HOME": ""}, {}):
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        assert files.cache_root() == tmp_path / ".cache" / "kmgan"
    monkeypatch.setenv("KMGAN_CACHE", "~/mine")
    assert files.cache_root() == tmp_path / "mine"


def test_without_a_home_the_cache_is_a_temporary_folder_and_none_is_called_tilde(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def nobody(_: int) -> None:
        raise KeyError("uid not found")

    for name in ("HOME", "KMGAN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert files.cache_root() == tmp_path / f"kmgan-{os.getuid()}"
    with pytest.raises(UsageError, match=r"^~/x: this user has no home folder: write the whole path$"):
        train("digits/kmgan", profile="smoke", out="~/x")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment that has a wheel of the library and what it depends on, and neither checkout nor kit."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    shutil.copytree(LIBRARY, source / "kmgan_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(LIBRARY.parent / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", place, source]
    subprocess.run(build, check=True)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {name.split("/")[0].split("-")[0] for name in archive.namelist()} == {"kmgan_lib", "kmgan"}
        archive.extractall(place / "site")
    (place / "packages").mkdir()
    for package in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not package.name.startswith(("kmgan", "__editable__")):
            (place / "packages" / package.name).symlink_to(package)
    paths = os.pathsep.join((str(place / "site"), str(place / "packages")))
    return {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}


def python(installed: dict[str, str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The interpreter under the virtual environment, with the wheel, in a folder of its own."""
    command = [getattr(sys, "_base_executable", sys.executable), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=installed)


AGAIN = """
from kmgan_lib.cli import main
for words in {words}:
    try:
        main(words)
    except SystemExit as ended:
        assert ended.code == {status}, words
"""


def test_a_wheel_trains_samples_and_evaluates_and_writes_utf_8_whatever_the_system_does(
    installed: dict[str, str], tmp_path: Path, digits_judge: Judge
) -> None:
    del digits_judge  # it is in the cache
    train = ["train", "digits/kmgan", "--profile", "smoke", "--out", "run", "--set"]
    words = [
        [*train, "iterations=2"], [*train, "iterations=3", "--resume"], ["sample", "run", "--out", "digits.png"],
        ["evaluate", "run", "--only", "kmeans_cost"],
    ]  # fmt: skip
    shipped = "from kmgan_lib import data\nassert len(data.load('mnist', standin='always')) == 8_000"
    strict = ("-X", "warn_default_encoding", "-W", "error::EncodingWarning")
    answer = python(installed, tmp_path, *strict, "-c", AGAIN.format(words=words, status=0) + shipped)
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "digits.png").is_file()
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "completed"
    assert "kmeans_cost" in result["metrics"]


def test_from_a_wheel_the_commands_of_the_book_say_that_they_need_a_checkout(
    installed: dict[str, str], tmp_path: Path
) -> None:
    commands = [["records"], ["records", "add", "x"], ["sweep", "--only", "mnist/*"], ["bench", "--only", "growth"]]
    answer = python(installed, tmp_path, "-c", AGAIN.format(words=commands, status=2))
    assert answer.returncode == 0, answer.stderr
    for words, line in zip(commands, answer.stderr.splitlines(), strict=True):
        assert line.startswith(f"kmgan: kmgan {words[0]} needs a checkout of the book")
    assert list(tmp_path.iterdir()) == []
