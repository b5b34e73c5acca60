"""Machines unlike the developer's: no git, no home, another cache, a wheel without its checkout, half a network."""

import json
import math
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import datasets

import kmgan_lib
from kmgan_lib import data, files, train
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics.neighbours import memorisation_scores
from kmgan_lib.training import run

from ..conftest import Command, Quick
from ..kit.conftest import commit

Patch = pytest.MonkeyPatch
LIBRARY = Path(kmgan_lib.__file__).parent


def test_the_commit_says_whether_the_library_is_that_of_the_commit(tmp_path: Path, monkeypatch: Patch) -> None:
    root = tmp_path / "checkout"
    code = root / "kmgan_lib" / "training" / "run.py"  # from which the library seems to run
    code.parent.mkdir(parents=True)
    code.write_text("pass\n")
    (root / "pyproject.toml").write_text('[project]\nname = "kmgan"\n')
    clean = commit(root)[:12]
    monkeypatch.setattr(run, "__file__", str(code))
    (root / "notes.txt").write_text("of the reader's own")
    (root / "kmgan_lib" / "compiled.pyc").write_text("")
    assert run.commit() == clean
    new = root / "kmgan_lib" / "method.py"
    new.write_text("new = 1\n")
    assert run.commit() == f"{clean}+edited"
    new.unlink()
    code.write_text("edited = 1\n")
    assert run.commit() == f"{clean}+edited"
    shutil.rmtree(root / ".git")
    assert run.commit() is None


def test_a_training_needs_no_git(quick: Quick, tmp_path: Path, monkeypatch: Patch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    result = quick(tmp_path / "run", iterations=3).result
    assert (result["commit"], result["status"]) == (None, "completed")


def test_json_has_no_nan_and_no_infinity_and_a_ratio_to_a_distance_of_zero_is_none(tmp_path: Path) -> None:
    numbers = {"a": [math.inf, 1.5, (-math.inf, "x")], "b": {"c": math.nan, "d": None, "e": True}, "f": 2}
    files.write_json(tmp_path / "numbers.json", numbers)
    plain = {"a": [None, 1.5, [None, "x"]], "b": {"c": None, "d": None, "e": True}, "f": 2}
    assert files.read_json(tmp_path / "numbers.json") == plain
    real = torch.zeros(6, 1, 4, 4)
    result = files.finite(memorisation_scores(torch.ones(3, 1, 4, 4), real, real[:3], real[3:]))
    assert (result["typical"], result["ratio"], result["ratios"]) == (0, None, [None] * 3)


def test_a_cache_is_written_by_two_at_once_or_not_at_all(monkeypatch: Patch, tmp_path: Path, caplog: Any) -> None:
    path = tmp_path / "judge"

    def slowly(partial: Path) -> None:
        partial.write_text("whole")
        with monkeypatch.context() as other:
            other.setattr(os, "getpid", lambda: 1)
            files.keep(path, lambda p: p.write_text("of the other process"))
        assert path.read_text() == "of the other process"

    files.keep(path, slowly)
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]
    assert caplog.text == ""
    files.keep(path / "no folder" / "x", lambda p: p.write_text("x"))
    assert "could not be written" in caplog.text
    assert "set KMGAN_CACHE to another folder" in caplog.text


def test_the_cache_has_its_place_whatever_is_set_and_without_a_home(monkeypatch: Patch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KMGAN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
    assert files.cache_root() == tmp_path / ".cache" / "kmgan"
    monkeypatch.setenv("KMGAN_CACHE", "~/mine")
    assert files.cache_root() == tmp_path / "mine"

    def nobody(_: int) -> None:
        raise KeyError("uid not found")

    for name in ("HOME", "KMGAN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert files.cache_root() == tmp_path / f"kmgan-{os.getuid()}"
    with pytest.raises(UsageError, match=r"^~/x: this user has no home folder: write the whole path$"):
        train("digits/kmgan", profile="smoke", out="~/x")
    assert not list(tmp_path.iterdir())


def installed(place: Path) -> dict[str, str]:
    """An environment that has a wheel of the library and what it depends on, and neither checkout nor kit."""
    source = place / "source"
    shutil.copytree(LIBRARY, source / "kmgan_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(LIBRARY.parent / name, source)
    build = "from setuptools import build_meta; build_meta.build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
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


AGAIN = """
from kmgan_lib import data
from kmgan_lib.cli import main
assert len(data.load('mnist', standin='always')) == 8_000
for words, status in {lines}:
    try:
        main(words)
    except SystemExit as ended:
        assert ended.code == status, words
"""


@pytest.mark.usefixtures("digits_classifier")  # it is in the cache then
def test_a_wheel_trains_samples_and_evaluates_and_only_a_checkout_has_commands_of_the_book(tmp_path: Path) -> None:
    train = ["train", "digits/kmgan", "--profile", "smoke", "--out", "run", "--set"]
    works = (
        [*train, "iterations=2"], [*train, "iterations=3", "--resume"], ["sample", "run", "--out", "digits.png"],
        ["evaluate", "run", "--only", "kmeans_cost"],
    )  # fmt: skip
    refused = (["records", "add", "x"], ["sweep", "--only", "mnist/*"], ["bench", "--only", "growth"])
    lines = [(words, 0) for words in works] + [(words, 2) for words in refused]
    # The interpreter under the virtual environment, which minds the encoding of every file: it is UTF-8 everywhere.
    python = [getattr(sys, "_base_executable", sys.executable), "-X", "warn_default_encoding"]
    command = [*python, "-W", "error::EncodingWarning", "-c", AGAIN.format(lines=lines)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=installed(tmp_path))
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "digits.png").is_file()
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "completed"
    assert "kmeans_cost" in result["metrics"]
    for words in refused:
        assert f"kmgan: kmgan {words[0]} needs a checkout of the book" in answer.stderr


PROMISED, SENT = 100_000, 30_000


class Server(BaseHTTPRequestHandler):
    """Promises a file and sends a part of it, or another file, by the first part of the address."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(PROMISED))
        self.end_headers()
        self.wfile.write(bytes(SENT if self.path.startswith("/cut/") else PROMISED))
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the class above
        """Be silent."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("name", "how"), [("mnist", "cut"), ("mnist", "another"), ("cifar10", "cut")])
def test_a_download_that_is_not_the_file_is_one_line_and_nothing_is_kept(
    kmgan: Command, address: str, monkeypatch: Patch, tmp_path: Path, name: str, how: str
) -> None:
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path / "cache"))
    known = getattr(datasets, data.DATASETS[name].torchvision)
    if name == "cifar10":
        monkeypatch.setattr(known, "url", f"{address}/{how}/cifar-10-python.tar.gz")
    else:
        monkeypatch.setattr(known, "mirrors", [f"{address}/{how}/"])
    status, _, err = kmgan("data", "fetch", name)
    assert status == 2
    (said,) = [line for line in err.splitlines() if line.startswith("kmgan: ")]
    assert f"{name} cannot be downloaded" in said
    assert err.endswith(said + "\n")
    assert [path for path in files.cache_root().rglob("*") if path.is_file()] == []
