"""Whole builds of tiny books: what is shown, what is kept, what a failure says."""

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest

from book.tools import browser, page_parts, render
from kmgan_lib.errors import RunFailed

from .conftest import Build, MakeBook, Patch, write_chapter

# `interact` with an `Output` widget: nbclient's own widget support hangs on it now and then.
INTERACT = """import ipywidgets
ipywidgets.interact(lambda n: print("frame", n), n=(0, 4))
with ipywidgets.Output() as out:
    print("inside")
out"""
TRANSPORT = "from ipykernel.kernelapp import IPKernelApp\nprint(IPKernelApp.instance().transport)"
# Noise, as a chart with its second image for phones.
FIGURE = """import base64, io
from IPython.display import display
from PIL import Image
buffer = io.BytesIO()
Image.effect_noise((200, 100), 50).convert("RGBA").save(buffer, "PNG")
first, second = (base64.b64encode(image).decode() for image in (buffer.getvalue(), b"second"))
display({"image/png": first, "application/vnd.kmgan.phone+webp": second}, raw=True)
print(len(buffer.getvalue()))"""
EXPLORER = """from kmgan_book import explore
explore.explore_gate([{"iteration": i, "loss_center": i} for i in range(1, 10)], "live · smoke · points · seed 0")"""


def test_book(make_book: MakeBook, build: Build, tmp_path: Path, monkeypatch: Patch, request: Any) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/kmgan")
    chapters = {"one": [INTERACT, EXPLORER], "two": ["print('size is', size)", FIGURE]}
    root = make_book(chapters, {"one": {"profile": "quick"}, "two": {"size": 7, "profile": "smoke"}})
    status, out, err = build(root)
    assert (status, err) == (0, ""), out
    assert out.rstrip().endswith(str(root / "_build" / "html" / "index.html"))
    pages = root / "_build" / "html"
    two = (pages / "book" / "two.html").read_text(encoding="utf8")
    assert "size is 7" in two
    assert re.search("tag_injected-parameters|tag_parameters|thebe_selector", two) is None
    assert "This page was run with <code>size = 7</code>, <code>profile = &#x27;smoke&#x27;</code>." in two
    one = (pages / "book" / "one.html").read_text(encoding="utf8")
    assert "frame 2" in one
    # What a test of the build has run is folded.
    assert f'<details class="run-it"><summary>{page_parts.SMOKE}</summary>' in two
    assert f'<details class="run-it" open><summary>{page_parts.LIVE}</summary>' in one
    # A chart is light, and a phone gets its second image.
    shown = r'<picture><source media="\(max-width: 40rem\)" srcset="../(_images/(\w+)\.webp)"><img [^>]*/\2\.png"'
    (found,) = re.finditer(shown, two)
    assert (pages / found[1]).read_bytes() == b"second"
    (before,) = re.findall(r"^(\d+)$", re.sub("<[^>]*>", "", two), re.MULTILINE)
    assert (pages / "_images" / f"{found[2]}.png").stat().st_size < 0.8 * int(before)
    assert (pages / "_static" / "mathjax" / "tex-chtml-full.js").exists()
    staged = root / "build/book/smoke/stage/book"
    assert re.search(r"\| executed \|.*`size = 7`", (staged / "status.md").read_text(encoding="utf8"), re.DOTALL)
    assert (pages / "_sources/book/two.ipynb").read_bytes() == (root / "book/two.ipynb").read_bytes()
    if browser.chromium() is not None:
        look_at_the_widget(request.getfixturevalue("open_page"), pages)

    # One chapter anew: the other is shown as it was, and the statistics say so. A page that loads a script from another
    # host, which nobody offline would see, is not published.
    write_chapter(root / "book" / "two.ipynb", "1 + 1")
    foreign = tmp_path / "foreign" / "book"
    foreign.mkdir(parents=True)
    (foreign / "two.html").write_text('<script src="https://cdn.example/x.js"></script>')
    monkeypatch.setattr(render, "render", lambda staged: foreign.parent)
    status, out, _ = build(root, "--only", "two")
    assert (status, out.count("done")) == (1, 1)
    assert "pages load from other hosts:\nbook/two.html: script src https://cdn.example/x.js" in out
    assert not pages.exists()
    assert "frame 2" in (staged / "one.ipynb").read_text(encoding="utf8")
    assert "executed earlier" in (staged / "status.md").read_text(encoding="utf8")


def look_at_the_widget(open_page: Any, pages: Path) -> None:
    """An explorer without a kernel is its images; the ways to run the chapter are on its page."""
    page = open_page(pages / "book" / "one.html")
    assert page.locator(".kmgan-frames img:not([hidden])").count() == 1
    links = page.evaluate("[...document.querySelectorAll('.article-header-buttons a')].map((link) => link.href)")
    assert "https://colab.research.google.com/github/someone/kmgan/blob/main/book/one.ipynb" in links
    assert "https://mybinder.org/v2/gh/someone/kmgan/main?urlpath=lab/tree/book/one.ipynb" in links
    assert (pages / "_sources" / "book" / "one.ipynb").as_uri() in links
    executed = nbformat.read(pages.parents[1] / "build/book/smoke/executed/one.ipynb", as_version=4)
    # A page without its kernel would show an error in the place of the widget.
    assert list(executed.cells[-3].outputs[0].data) == ["text/html", "text/plain"]


def test_failures_name_chapter_and_cell(make_book: MakeBook, build: Build, tmp_path: Path, monkeypatch: Patch) -> None:
    """A cell that raises, a kernel that is killed, a cell that hangs and is deaf; the earlier build stays as it was."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    hangs = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    time.sleep(1)"
    chapters = {
        "good": ["import tempfile\nprint(tempfile.mkdtemp())", TRANSPORT], "wrong": ["x = 1", "\ny = x / 0\nprint(y)"],
        "hangs": [hangs], "killed": ["x = 1", "import os\nos.kill(os.getpid(), 9)"],
    }  # fmt: skip
    root = make_book(chapters, {"wrong": {"size": 1}}, cell_timeout=5)
    folder = root / "build" / "book" / "smoke"
    earlier = {root / "_build" / "html" / "index.html": "a build", folder / "executed" / "killed.ipynb": "a run"}
    for path, text in earlier.items():
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf8")
    status, out, err = build(root)
    assert (status, err) == (1, "")
    lines = {line.split()[0]: line for line in out.splitlines() if "FAILED" in line or " done " in line}
    assert " done " in lines.pop("good")
    said = {
        "wrong": "cell 4 (y = x / 0): ZeroDivisionError: division by zero",
        "hangs": "cell 3 (import signal, time): took longer than 5 s", "killed": "cell 4 (import os): DeadKernelError",
    }  # fmt: skip
    for name, line in lines.items():
        assert said.pop(name) in line
        assert (folder / "failed" / f"{name}.ipynb").exists()
        assert str(folder / "failed" / f"{name}.ipynb") in out
    assert said == {}
    assert out.splitlines()[-1].startswith("book not built: 3 of 4 chapters failed: ")
    assert {path.name for path in (folder / "executed").glob("*.ipynb")} == {"good.ipynb", "killed.ipynb"}
    assert (folder / "executed" / "killed.ipynb").read_text(encoding="utf8") == "a run"
    assert "ZeroDivisionError" in (folder / "failed" / "wrong.txt").read_text(encoding="utf8")
    # The pages of the earlier build are not where this one's would be.
    assert not (root / "_build" / "html").exists()
    assert (root / "_build" / "html.previous" / "index.html").read_text(encoding="utf8") == "a build"
    # What chapters wrote for a while is gone.
    cells = nbformat.read(folder / "executed" / "good.ipynb", as_version=4).cells
    folder_made, transport = (cell.outputs[0].text for cell in cells if cell.get("outputs"))
    assert folder_made.startswith(str(temporary))
    assert transport.strip() == ("ipc" if sys.platform == "linux" else "tcp")  # no port that another process may take
    assert list(temporary.iterdir()) == []


def test_an_interrupted_build_leaves_no_kernel_behind(make_book: MakeBook, build: Build, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    cell = f"import os, pathlib\npathlib.Path({str(pid)!r}).write_text(str(os.getpid()))\nwhile True:\n    pass"
    root = make_book({"one": [cell]})

    def interrupt() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and not (pid.exists() and pid.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    status, _, err = build(root)
    thread.join()
    assert (status, err) == (130, "book: interrupted; pages of an earlier build are unchanged\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_warnings_fail_the_build(make_book: MakeBook) -> None:
    root = make_book({"one": ["1 + 1"]})
    page = root / "book" / "one.ipynb"
    page.write_text(page.read_text(encoding="utf8").replace("# one", "# one {doc}`nowhere`"), "utf8")
    staged = render.stage(root, root / "build" / "book" / "smoke", "# Status\n")
    with pytest.raises(RunFailed, match=r"(?s)book/one\.ipynb.*nowhere"):
        render.render(staged)
