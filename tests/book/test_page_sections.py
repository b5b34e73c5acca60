"""Sections that are folded on a page, and functions printed without their docstrings."""

import base64
import hashlib
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docutils import nodes
from PIL import Image

from book.tools import page_sections, phone_images
from book.tools.execute import PROJECT
from kmgan_book import phone

MODULE = '''
class A:
    @staticmethod
    def f(x: int) -> int:
        """Say.

        More.
        """
        y = x
        return y


def g():
    return 1
'''


def test_bare_code_has_no_docstring_no_decorator_and_no_types() -> None:
    assert page_sections.bare(MODULE, "A.f") == "def f(x):\n    y = x\n    return y"
    assert page_sections.bare(MODULE, "g") == "def g():\n    return 1"


def test_bare_code_of_the_library_still_parses_to_the_same_body() -> None:
    source = (PROJECT / "kmgan_lib" / "losses.py").read_text(encoding="utf8")
    names: dict[str, Any] = {}
    for name in ("_check", "center_loss"):
        exec(compile("from __future__ import annotations\n" + page_sections.bare(source, name), name, "exec"), names)
    assert names["center_loss"].__doc__ is None


@pytest.mark.parametrize(("profile", "opened"), [("smoke", False), ("quick", True), ("", True)])
def test_the_section_to_be_run_is_folded_under_smoke(tmp_path: Path, profile: str, opened: bool) -> None:
    cell = {"metadata": {"tags": ["injected-parameters"]}, "source": ["# x\n", f'profile = "{profile}"']}
    (tmp_path / "one.ipynb").write_text(json.dumps({"cells": [cell] if profile else []}), encoding="utf8")
    doctree = nodes.document(None, None)  # pyright: ignore[reportArgumentType]
    for title in ("Why", page_sections.RUN):
        doctree += nodes.section("", nodes.title("", title), nodes.paragraph("", "text"))
    app: Any = SimpleNamespace(srcdir=tmp_path, env=SimpleNamespace(docname="one"))
    page_sections.fold(app, doctree)
    why, run = doctree.findall(nodes.section)
    assert len(why) == 2
    assert [type(child) for child in run] == [nodes.title, nodes.raw, nodes.paragraph, nodes.raw]
    assert ("<details" in run[1].astext(), " open>" in run[1].astext()) == (True, opened)
    assert run[-1].astext() == "</details>"


def test_a_page_shows_a_phone_the_second_image_of_a_figure(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((200, 100), 50).convert("RGBA").save(buffer, "PNG")
    first, second = buffer.getvalue(), b"second"
    light = phone_images.lighter(first)
    assert len(light) < 0.8 * len(first)
    name = hashlib.sha256(light).hexdigest()
    data = {kind: base64.b64encode(each).decode() for kind, each in (("image/png", first), (phone.PHONE, second))}
    (tmp_path / "book").mkdir()
    cells = [{"cell_type": "markdown"}, {"outputs": [{"data": data}, {"name": "stdout"}]}]
    chapter = tmp_path / "book" / "a.ipynb"
    chapter.write_text(json.dumps({"cells": cells}), encoding="utf8")
    phone_images.take(chapter, tmp_path / phone_images.FOLDER)
    assert phone.PHONE not in chapter.read_text(encoding="utf8")
    (tmp_path / "_images").mkdir()
    page, other = tmp_path / "a.html", f'<img src="_images/{"0" * 64}.png">'
    page.write_text(f'<img alt="x" src="_images/{name}.png" class="y">{other}', encoding="utf8")
    app: Any = SimpleNamespace(srcdir=tmp_path, outdir=tmp_path, builder=SimpleNamespace(name="html"))
    phone_images.offer(app, None)
    assert page.read_text(encoding="utf8") == (
        f'<picture><source media="(max-width: 40rem)" srcset="_images/{name}.webp">'
        f'<img alt="x" src="_images/{name}.png" class="y"></picture>{other}'
    )
    assert (tmp_path / "_images" / f"{name}.webp").read_bytes() == second
