"""Sphinx extension: what a chapter's pages show differently from its source.

Sections titled "Run it yourself" are folded where the chapter was executed as a test only (profile smoke), and
``bare-code`` prints a function without its docstring and types.
"""

import ast
import json
import re
import textwrap
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RUN = "Run it yourself"
SMOKE = "Live runs: here only a smoke test of this build, too short to mean anything"
LIVE = "Live runs of this page"
SIGNATURE = 50  # characters of a line


def profile(path: Path) -> str:
    """Return the profile that a chapter was executed under, or nothing where it was not."""
    if not path.exists():
        return ""
    for cell in json.loads(path.read_text(encoding="utf8"))["cells"]:
        if "injected-parameters" in cell["metadata"].get("tags", []):
            found = re.search(r'^profile = "(\w+)"', "".join(cell["source"]), re.MULTILINE)
            return found[1] if found else ""
    return ""


def fold(app: Sphinx, doctree: nodes.document) -> None:
    """Put what follows the heading of each section to be run into an element that opens and closes."""
    for section in list(doctree.findall(nodes.section)):
        if section[0].astext() != RUN:
            continue
        smoke = profile(Path(app.srcdir) / f"{app.env.docname}.ipynb") == "smoke"
        opened = "" if smoke else " open"
        text = f'<details class="run-it"{opened}><summary>{SMOKE if smoke else LIVE}</summary>'
        section.insert(1, nodes.raw("", text, format="html"))
        section.append(nodes.raw("", "</details>", format="html"))


def bare(source: str, name: str) -> str:
    """Return a function or a method (``Class.method``) of a module's source as its bare lines.

    Without decorators, docstring and types; long signatures are wrapped.
    """
    node: Any = ast.parse(source)
    for part in name.split("."):
        node = next(child for child in node.body if getattr(child, "name", None) == part)
    first = node.body[0]
    begin = first.lineno - 1 if ast.get_docstring(node) is None else first.end_lineno
    code = textwrap.dedent("\n".join(source.splitlines()[begin : node.end_lineno])).strip("\n")
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    head = textwrap.wrap(f"def {node.name}({ast.unparse(node.args)}):", SIGNATURE, subsequent_indent=" " * 8)
    return "\n".join([*head, textwrap.indent(code, " " * 4)])


class BareCode(SphinxDirective):
    """``{bare-code} FILE`` with ``:pyobject: NAME``: the function's code without its docstring."""

    required_arguments = 1
    option_spec = {"pyobject": directives.unchanged_required}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """Return the block of code."""
        _, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        code = bare(Path(path).read_text(encoding="utf8"), self.options["pyobject"])
        return [nodes.literal_block(code, code, language="python")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-read", fold)
    app.add_directive("bare-code", BareCode)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
