"""Whole builds of tiny books: what is shown, what is kept, what a failure says."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from .conftest import Build, MakeBook, write_chapter

# `interact` with an `Output` widget: nbclient's own widget support hangs on it now and then.
WIDGET = """import ipywidgets
ipywidgets.interact(lambda n: print("frame", n), n=(0, 4))
with ipywidgets.Output() as out:
    print("inside")
out"""

FOREIGN = """HTML('<script src="https://cdn.example/x.js"></script>')"""


def test_book(make_book: MakeBook, build: Build) -> None:
    root = make_book({"one": [WIDGET], "two": ["print('size is', size)"]}, {"two": {"size": 7}})
    status, out, err = build(root)
    assert (status, err) == (0, ""), out
    assert out.rstrip().endswith(str(root / "_build" / "html" / "index.html"))
    pages = root / "_build" / "html"
    two = (pages / "book" / "two.html").read_text(encoding="utf8")
    assert "size is 7" in two
    assert "tag_injected-parameters" not in two
    assert "tag_parameters" not in two
    assert "This page was run with <code>size = 7</code>, <code>name = &#x27;a&#x27;</code>." in two
    assert "frame 2" in (pages / "book" / "one.html").read_text(encoding="utf8")
    assert (pages / "_static" / "mathjax" / "tex-chtml-full.js").exists()
    staged = root / "build/book/smoke/stage/book"
    assert "| executed |" in (staged / "status.md").read_text(encoding="utf8")
    assert "`size = 7`" in (staged / "status.md").read_text(encoding="utf8")

    downloaded = (pages / "_sources" / "book" / "two.ipynb").read_text(encoding="utf8")
    assert str(root) not in downloaded
    notebook = nbformat.reads(downloaded, as_version=4)
    assert "papermill" not in notebook.metadata
    assert any("injected-parameters" in cell.metadata.get("tags", []) for cell in notebook.cells)

    # One chapter anew: the other is shown as it was, and the statistics say so. What it shows now loads a script
    # from another host, which nobody offline would see.
    write_chapter(root / "book" / "two.ipynb", "from IPython.display import HTML", FOREIGN)
    first = (root / "build/book/smoke/executed/one.ipynb").stat().st_mtime_ns
    status, out, _ = build(root, "--only", "two")
    assert (status, out.count("done")) == (1, 1)
    assert "pages load from other hosts:\nbook/two.html: script src https://cdn.example/x.js" in out
    assert not pages.exists()
    assert (root / "build/book/smoke/executed/one.ipynb").stat().st_mtime_ns == first
    assert "frame 2" in (staged / "one.ipynb").read_text(encoding="utf8")
    assert "executed earlier" in (staged / "status.md").read_text(encoding="utf8")


def test_chapters_leave_no_folders_behind(
    make_book: MakeBook, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    root = make_book({"one": ["import tempfile\nprint(tempfile.mkdtemp())"], "two": ["1 / 0"]})
    build(root)
    cells = nbformat.read(root / "build/book/smoke/executed/one.ipynb", as_version=4).cells
    (output,) = [cell for cell in cells if cell.cell_type == "code"][-1].outputs
    assert output.text.startswith(str(tmp_path / "temporary"))
    assert list((tmp_path / "temporary").iterdir()) == []


def test_failures_name_chapter_and_cell(make_book: MakeBook, build: Build) -> None:
    chapters = {
        "good": ["1 + 1"],
        "wrong": ["x = 1", "\ny = x / 0\nprint(y)"],
        "slow": ["import time\ntime.sleep(60)"],
        "dead": ["import os\nos._exit(3)"],
    }
    root = make_book(chapters, {"wrong": {"size": 1}}, cell_timeout=3)
    old = root / "_build" / "html" / "index.html"
    old.parent.mkdir(parents=True)
    old.write_text("an earlier build", encoding="utf8")
    status, out, _ = build(root)
    assert status == 1
    lines = {line.split()[0]: line for line in out.splitlines() if "FAILED" in line or " done " in line}
    assert " done " in lines["good"]
    assert "cell 4 (y = x / 0): ZeroDivisionError: division by zero" in lines["wrong"]
    assert "cell 3 (import time): took longer than 3 s" in lines["slow"]
    assert "cell 3 (import os): DeadKernelError" in lines["dead"]
    assert "book not built: 3 of 4 chapters failed" in out

    folder = root / "build" / "book" / "smoke"
    assert {path.name for path in (folder / "executed").glob("*.ipynb")} == {"good.ipynb"}
    for name in ("wrong", "slow", "dead"):
        assert (folder / "failed" / f"{name}.ipynb").exists()
        assert str(folder / "failed" / f"{name}.ipynb") in out
    assert "ZeroDivisionError" in (folder / "failed" / "wrong.txt").read_text(encoding="utf8")
    # The pages of the earlier build are not where this one's would be.
    assert not old.exists()
    assert (root / "_build" / "html.previous" / "index.html").read_text(encoding="utf8") == "an earlier build"


def test_warnings_fail_the_build(make_book: MakeBook, build: Build) -> None:
    root = make_book({"one": ["1 + 1"]})
    page = root / "book" / "status.md"
    (root / "book" / "one.ipynb").write_text(
        (root / "book" / "one.ipynb").read_text(encoding="utf8").replace("# one", "# one {doc}`nowhere`"), "utf8"
    )
    status, out, _ = build(root)
    assert status == 1
    assert "book/one.ipynb" in out
    assert "nowhere" in out
    assert not (root / "_build" / "html").exists()
    assert page.read_text(encoding="utf8") == "# Status\n"
