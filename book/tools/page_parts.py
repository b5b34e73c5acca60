"""Sphinx extension: what the theme does not do on a page, and where pages differ from their sources.

Nothing loads from another host: Thebe's scripts, which Jupyter Book puts on every page, are dropped, and MathJax is
served from the build.
"""

import ast
import json
import os
import re
import shutil
import textwrap
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sphinx_thebe
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

from book.tools.render import PHONES, SOURCES

DESCRIPTION = "An executable book that rebuilds KM-GAN from its paper and judges each claim by a written rule"
PREVIEW = "_static/abstract.png"
LAUNCH = {
    "colab_url": "https://colab.research.google.com",
    "binderhub_url": "https://mybinder.org",
    "notebook_interface": "jupyterlab",
}
# A list of references has list items; a signature of several lines is no list of definitions; an arrow has a name.
ROLES = (
    (' role="doc-biblioentry"', ' role="listitem"'),
    ("<dl>\n<dd><em", '<dl role="none">\n<dd role="none"><em'),
    ('<summary><span class="toctree-toggle"', '<summary aria-label="Pages below"><span class="toctree-toggle"'),
)
SIGNATURE = re.compile(r'<dl role="none">.*?</dl>', re.DOTALL)
IMAGE = re.compile(r'<img\b[^>]*?\bsrc="(?P<folder>[^"]*_images/)(?P<name>[0-9a-f]{64})\.png"[^>]*>')
# Of the 24 MB of sphinx-mathjax-offline only the renderer in use and its fonts.
MATHJAX = ("tex-chtml-full.js", "output/chtml/fonts/woff-v2")
RUN = "Run it yourself"
SMOKE = "Live runs: here only a smoke test of this build, too short to mean anything"
LIVE = "Live runs of this page"
CODE_WIDTH = 50  # characters of a line


def address(configured: str) -> str:
    """Return the repository's address: that of `_config.yml` or, if GitHub builds the book, that repository's."""
    repository = os.environ.get("GITHUB_REPOSITORY")
    if configured or not repository:
        return configured
    return f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{repository}"


def offer_launch(app: Sphinx, config: Config) -> None:
    """Switch on the buttons of Binder and Colab if there is a repository that they can open."""
    options: dict[str, Any] = config.html_theme_options
    options["repository_url"] = address(options.get("repository_url", ""))
    if options["repository_url"]:
        options["launch_buttons"] = {**options.get("launch_buttons", {}), **LAUNCH}
        options["use_repository_button"] = True


def drop_thebe(app: Sphinx, config: Config) -> None:
    """Keep Thebe's scripts and settings off the pages."""
    for listener in [listener for listeners in app.events.listeners.values() for listener in listeners]:
        if listener.handler in (sphinx_thebe.init_thebe_core, sphinx_thebe.update_thebe_context):
            app.disconnect(listener.id)


def offer_preview(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Say in a page's head what a link to it should show: title, description, and the image of the book's answer."""
    base = str(app.config.html_baseurl).rstrip("/")
    texts = {
        "title": re.sub("<[^>]*>", "", context.get("title") or app.config.html_title), "type": "article",
        "description": DESCRIPTION, "image": f"{base}/{PREVIEW}" if base else context["pathto"](PREVIEW, 1),
    }  # fmt: skip
    tags = "".join(f'<meta property="og:{name}" content="{escape(text)}">\n' for name, text in texts.items())
    tags += '<meta name="twitter:card" content="summary_large_image">\n'
    tags += f'<meta name="description" content="{DESCRIPTION}">\n'
    context["metatags"] = context.get("metatags", "") + tags


def copy_mathjax(app: Sphinx, failure: Exception | None) -> None:
    """Copy MathJax beside the pages, and leave out the theme's source maps, 3.5 MB that only a debugger would load."""
    if failure or app.builder.format != "html":
        return
    spec = find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("sphinx-mathjax-offline is not installed: pip install 'kmgan[book]'")
    static = Path(app.outdir) / "_static"
    for name in MATHJAX:
        source, target = Path(spec.origin).parent / "static" / "mathjax" / name, static / "mathjax" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
    for path in static.glob("**/*.map"):
        path.unlink()


def finish(app: Sphinx, failure: Exception | None) -> None:
    """Copy sources and second images beside the pages, and correct the ARIA roles of the pages' elements."""
    if failure or app.builder.name != "html":
        return
    source, target = Path(app.srcdir), Path(app.outdir)
    if (source / SOURCES).is_dir():
        shutil.copytree(source / SOURCES, target / "_sources", dirs_exist_ok=True)
    images = {path.stem: path for path in (source / PHONES).glob("*.webp")}

    def both(match: re.Match[str]) -> str:
        """The ``<picture>`` of an image and its second one, if it has one."""
        name = match["name"]
        if name not in images:
            return match[0]
        shutil.copy2(images[name], target / "_images")
        second = f'<source media="(max-width: 40rem)" srcset="{match["folder"]}{name}.webp">'
        return f"<picture>{second}{match[0]}</picture>"

    for page in target.rglob("*.html"):
        text = page.read_text(encoding="utf8")
        mended = IMAGE.sub(both, text)
        for old, new in ROLES:
            mended = mended.replace(old, new)
        mended = SIGNATURE.sub(lambda found: found[0].replace("\n<dd>", '\n<dd role="none">'), mended)
        if mended != text:
            page.write_text(mended, encoding="utf8")


def share_handlers(app: Sphinx) -> None:
    """Let the one-page book write every element that pages can: extensions register most of them only for pages."""
    handlers = app.registry.translation_handlers
    handlers["singlehtml"] = {**handlers.get("html", {}), **handlers.get("singlehtml", {})}


def profile(path: Path) -> str:
    """Return the profile that a chapter was executed under, or nothing if it was not."""
    if not path.exists():
        return ""
    for cell in json.loads(path.read_text(encoding="utf8"))["cells"]:
        if "injected-parameters" in cell["metadata"].get("tags", []):
            found = re.search(r'^profile = "(\w+)"', "".join(cell["source"]), re.MULTILINE)
            return found[1] if found else ""
    return ""


def fold(app: Sphinx, doctree: nodes.document) -> None:
    """Put what follows the heading of each "Run it yourself" section into an element that opens and closes."""
    for section in list(doctree.findall(nodes.section)):
        if section[0].astext() != RUN:
            continue
        smoke = profile(Path(app.srcdir) / f"{app.env.docname}.ipynb") == "smoke"
        opened = "" if smoke else " open"
        text = f'<details class="run-it"{opened}><summary>{SMOKE if smoke else LIVE}</summary>'
        section.insert(1, nodes.raw("", text, format="html"))
        section.append(nodes.raw("", "</details>", format="html"))


def bare(source: str, name: str) -> str:
    """Return the bare lines of a function or a method (``Class.method``) in a module's source.

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
    head = textwrap.wrap(f"def {node.name}({ast.unparse(node.args)}):", CODE_WIDTH, subsequent_indent=" " * 8)
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
    """Register with Sphinx; the theme makes its buttons at the usual priority."""
    app.config.mathjax_path = f"mathjax/{MATHJAX[0]}"
    app.connect("doctree-read", fold)
    app.add_directive("bare-code", BareCode)
    app.connect("config-inited", offer_launch, priority=100)
    app.connect("builder-inited", share_handlers)
    app.connect("config-inited", drop_thebe)
    app.connect("html-page-context", offer_preview)
    app.connect("build-finished", copy_mathjax, priority=900)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
