"""A chapter whose kernel is killed, or that hangs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..book.conftest import Build, MakeBook, build, make_book  # noqa: F401 - fixtures

CHAPTERS = {
    "killed": ["x = 1", "import os\nos.kill(os.getpid(), 9)"],
    "hangs": ["import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    time.sleep(1)"],
}


def test_a_killed_kernel_and_a_cell_that_hangs_end_the_build_with_one_line(
    make_book: MakeBook,  # noqa: F811
    build: Build,  # noqa: F811
) -> None:
    root = make_book(CHAPTERS, cell_timeout=5)
    old = root / "_build" / "html" / "index.html"
    old.parent.mkdir(parents=True)
    old.write_text("an earlier build", encoding="utf8")
    before = {"cells": [], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}
    executed = root / "build" / "book" / "smoke" / "executed" / "killed.ipynb"
    executed.parent.mkdir(parents=True)
    executed.write_text(json.dumps(before), encoding="utf8")
    status, out, err = build(root)
    assert (status, err) == (1, "")
    last = out.splitlines()[-1]
    assert last.startswith("book not built: 2 of 2 chapters failed: ")
    assert "killed, cell 4 (import os): DeadKernelError" in last
    assert "hangs, cell 3 (import signal, time): took longer than 5 s" in last
    assert (root / "_build" / "html.previous" / "index.html").read_text(encoding="utf8") == "an earlier build"
    assert json.loads(executed.read_text(encoding="utf8")) == before


def test_an_engine_killed_within_a_line_is_a_failed_chapter(
    make_book: MakeBook,  # noqa: F811
    build: Build,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = make_book({"one": ["1 + 1"]})
    engine = tmp_path / "python"
    engine.write_text(
        """#!/bin/sh
cat > /dev/null
echo '{"cell": 3, "of": 3, "line": "1 + 1"}'
printf '{"do'
kill -9 $$
"""
    )
    engine.chmod(0o755)
    monkeypatch.setattr("book.tools.execute.sys.executable", str(engine))
    status, out, _ = build(root)
    assert status == 1
    assert out.splitlines()[-1].endswith("one, cell 3 (1 + 1): its process ended with status -9")
