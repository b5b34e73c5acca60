from pathlib import Path

import pytest

from book.tools import browser, pdf, render

from .conftest import MakeBook


def test_what_is_missing_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(browser, "chromium", lambda: None)
    assert pdf.main(["--root", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "pdf: needs Chromium, for example Debian's package: apt-get install chromium\n"
    monkeypatch.setattr(browser, "chromium", lambda: "chromium")
    assert pdf.main(["--root", str(tmp_path), "--profile", "quick"]) == 2
    assert capsys.readouterr().err == "pdf: no book of profile quick yet: make book PROFILE=quick\n"


@pytest.mark.skipif(browser.chromium() is None, reason="no Chromium: apt-get install chromium")
def test_the_book_is_printed(make_book: MakeBook) -> None:
    root = make_book({"one": ["1 + 1"]})
    hidden = (root / "book" / "one.ipynb").read_text(encoding="utf8").replace('"parameters"', '"hide-input"')
    (root / "book" / "one.ipynb").write_text(hidden, encoding="utf8")
    render.stage(root, root / "build" / "book" / "smoke", "# Status\n")
    assert pdf.main(["--root", str(root)]) == 0
    assert (root / pdf.PDF).read_bytes().startswith(b"%PDF")
