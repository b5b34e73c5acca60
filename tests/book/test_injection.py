"""Names of records, presets and files are text on the page, words for a command are words: neither runs anything."""

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt

from book.tools import status
from book.tools.execute import Outcome
from book.tools.profiles import Profile
from kmgan_book import claims, records, report
from kmgan_book.explore import frames_html
from kmgan_lib.errors import UsageError
from kmgan_pages import answer

from ..conftest import MadeUp

ROOT = Path(__file__).resolve().parents[2]
EVIL = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onload='alert(1)", "&lt;b&gt;", "<!-- x",
    "{raw}`<b>x</b>`", "```{raw} html\n<b>\n```",
]  # fmt: skip
ALL = " ".join(EVIL)


def parsed(html: str) -> tuple[set[str], set[str], str]:
    """The names of elements and of attributes, and the text of a piece of HTML."""
    page = BeautifulSoup(html, "html.parser")
    elements = page.find_all()
    return {one.name for one in elements}, {name for one in elements for name in one.attrs}, page.get_text()


OWN = {
    "div", "p", "span", "table", "thead", "tbody", "tr", "td", "th", "ul", "li", "code", "a", "em", "small", "details",
    "summary", "strong",
}  # fmt: skip


def harmless(html: str, text: str) -> None:
    """The HTML holds our own elements alone, and the text as text."""
    elements, attributes, found = parsed(html)
    assert elements <= OWN
    assert attributes <= {"class", "id", "href", "aria-hidden"}
    assert text in found


def test_what_records_say_is_text(made_up: MadeUp, tmp_path: Path) -> None:
    record = made_up(tmp_path, device=ALL, commit=ALL, data={"name": ALL, "kind": "real"})
    badge = records.badge([record])
    harmless(report.we_found(ALL, badge).text, ALL)
    harmless(report.table({ALL: [record]}, {ALL: report.SCORE}, badge).text, ALL)


def test_what_the_ledger_says_is_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    right = yaml.safe_load((ROOT / "book" / "claims.yml").read_text(encoding="utf8"))["C2"]
    path = tmp_path / "claims.yml"
    # Its name and its chapter are words.
    for name, entry in [(text, right) for text in EVIL] + [("C2", {**right, "chapter": text}) for text in EVIL]:
        path.write_text(json.dumps({name: entry}))
        with pytest.raises(UsageError, match="pattern"):
            claims.load(path)
    says = " ".join(text for text in EVIL if not set("{}") & set(text))
    entry = {**right, **dict.fromkeys(("title", "quote", "section", "measure", "rule", "flips"), ALL)}
    path.write_text(json.dumps({"C2": {**entry, "says": dict.fromkeys(right["says"], says)}}))
    (claim,) = claims.load(path)
    monkeypatch.setattr(claims, "load", lambda *_: [claim])
    for made in (report.verdict("C2"), answer.ledger("C2")):
        harmless(made.text, ALL)
        harmless(made.text, says)


def test_labels_of_frames_are_text() -> None:
    for text in EVIL:
        elements, attributes, found = parsed(frames_html([b"x", b"y"], [text, "b"], text, poster=0))
        assert elements == {"style", "figure", "img", "figcaption", "button", "input", "output", "script"}
        assert not {name for name in attributes if name.startswith("on")}
        assert text in found


def test_parameters_are_code_on_the_page_of_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (*EVIL, "a | b", "`x` = {raw}`<b>`", "a\n\n# b", "[x](javascript:alert(1))", "\\|"):
        monkeypatch.setattr(status, "device", lambda text=text: text)
        outcome = Outcome("intro", 1.0, "2026-01-01T00:00:00+00:00", "0", {"dataset": text, "seeds": [text]})
        page = status.page(ROOT, Profile("smoke", 1, 1, 1, {}), {"intro": ("executed", outcome)})
        elements, _, shown = parsed(MarkdownIt("commonmark", {"html": True}).enable("table").render(page))
        assert elements <= {"h1", "h2", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "code"}
        (line,) = [line for line in page.splitlines() if "{doc}`intro`" in line]
        assert shown.count("{doc}") == 1
        assert len([cell for cell in line.replace("\\|", "").split("|") if cell.strip()]) == 5


WORDS = ["$(touch evil)", "'; touch evil; '", '"; touch evil; "', "$(shell touch evil)", "a b"]
VARIABLES = [
    ("book", "PROFILE"), ("book", "ONLY"), ("pdf", "PROFILE"), ("serve", "PORT"), ("address", "URL"), ("fuzz", "SEED"),
]  # fmt: skip


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_words_of_make_run_nothing(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nfor word in "$@"; do printf \'%s\\n\' "$word"; done > {tmp_path}/words\n')
    python.chmod(0o755)
    for name in ("_build/html/index.html", "requirements.lock", "pyproject.toml", "book/pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".venv" / ".installed").touch()
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    for (target, variable), word in itertools.product(VARIABLES, WORDS):
        # What reaches make as the word itself; make's own language is no matter of ours.
        command = ["make", target, f"{variable}={word.replace('$', '$$')}"]
        made = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, check=False)
        assert not (tmp_path / "evil").exists(), made.stdout
        assert made.returncode == 0
        assert any(word in line for line in (tmp_path / "words").read_text(encoding="utf8").splitlines())
