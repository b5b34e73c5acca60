"""Tiny books in a temporary folder: chapters without torch, built by the project's own tools; and a browser."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from book.tools import browser
from book.tools.__main__ import main
from book.tools.execute import PROJECT

PARAMETERS = "size: int = 3  # how much\nprofile: str = 'quick'  # how long"
MakeBook = Callable[..., Path]
Build = Callable[..., tuple[int, str, str]]
Open = Callable[..., Any]
Patch = pytest.MonkeyPatch


def write_chapter(path: Path, *sources: str, parameters: str | None = PARAMETERS) -> None:
    """Write a notebook with a title, the parameters cell, code cells and the heading of a section to be run."""
    cells = [nbformat.v4.new_markdown_cell(f"# {path.stem}")]
    if parameters is not None:
        cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    cells.append(nbformat.v4.new_markdown_cell("## Run it yourself"))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


@pytest.fixture
def make_book(tmp_path: Path) -> MakeBook:
    """Return a function that writes a book of chapters with these code cells."""

    def make(chapters: dict[str, list[str]], profile: dict[str, Any] | None = None, **settings: Any) -> Path:
        root = tmp_path / "project"
        for name in ("tools", "_static"):
            shutil.copytree(PROJECT / "book" / name, root / "book" / name)
        for name in ("_config.yml", "book/references.bib"):
            shutil.copy2(PROJECT / name, root / name)
        first, *others = [f"book/{name}" for name in [*chapters, "status"]]
        toc = {"format": "jb-book", "root": first, "chapters": [{"file": page} for page in others]}
        smoke = {"workers": 2, "cell_timeout": 60, "start_timeout": 60, "chapters": profile or {}, **settings}
        for name, content in {"_toc.yml": toc, "book/profiles.yml": {"smoke": smoke}}.items():
            (root / name).write_text(yaml.safe_dump(content), encoding="utf8")
        (root / "book" / "status.md").write_text("# Status\n", encoding="utf8")
        for name, sources in chapters.items():
            write_chapter(root / "book" / f"{name}.ipynb", *sources)
        return root

    return make


@pytest.fixture
def build(capsys: pytest.CaptureFixture[str]) -> Build:
    """Return a function that builds a book and gives exit status, output and errors."""

    def run(root: Path, *options: str) -> tuple[int, str, str]:
        status = main(list(options), root)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"], "preload": False}
CONTRAST = {**WCAG, "runOnly": ["color-contrast"]}


def violations(page: Any, rules: dict[str, Any] = WCAG, context: Any = None) -> list[str]:
    """Return what axe finds: rule and element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: pip install 'kmgan[dev]'")
    found = axe.Axe().run(page, context=context, options=rules).response["violations"]
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]


def drag(page: Any, box: dict[str, float], begin: float, end: float) -> None:
    """Move the mouse across a box, held down, from one share of its width to another."""
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + begin * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], y, steps=3)
    page.mouse.up()


def swipe(page: Any, box: dict[str, float], begin: float, end: float) -> None:
    """Move a finger across a box."""
    finger = page.context.new_cdp_session(page)
    shares = (begin, 0.8 * begin + 0.2 * end, 0.2 * begin + 0.8 * end, end)
    for kind, share in zip(("touchStart", "touchMove", "touchMove", "touchMove"), shares, strict=True):
        place = {"x": box["x"] + share * box["width"], "y": box["y"] + box["height"] / 2}
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [place]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Start the browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install 'kmgan[dev]'")
    path = browser.chromium()
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=list(browser.FLAGS))
        yield started
        started.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Open]:
    """Return a function that opens a file; what its page complains about or asks other hosts for fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, has_touch=True)
    context.set_default_timeout(120_000)  # a busy machine is no wrong page
    said, asked, failed = list[Any](), list[str](), list[str]()
    context.on("console", lambda message: said.append((message.type, message.text)))
    context.on("weberror", lambda error: said.append(("error", str(error.error))))
    context.on("request", lambda request: asked.append(request.url))
    context.on("requestfailed", lambda request: failed.append(request.url))

    def visit(path: Path) -> Any:
        page = context.new_page()
        page.goto(path.as_uri(), wait_until="load")
        return page

    yield visit
    context.close()
    assert [one for one in said if one[0] in ("error", "warning")] == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert failed == []
