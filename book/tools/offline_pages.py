"""Sphinx extension: pages that load nothing from another host.

Drops Thebe, whose scripts Jupyter Book puts on every page whether it is used or not, and serves MathJax from the
build. Of the 24 MB of sphinx-mathjax-offline only the renderer in use and its fonts are copied.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

MATHJAX = ("tex-chtml-full.js", "output/chtml/fonts/woff-v2")


def mathjax_files() -> Path:
    """Return the folder of MathJax in the package that carries it."""
    spec = find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("sphinx-mathjax-offline is not installed: pip install 'kmgan[book]'")
    return Path(spec.origin).parent / "static" / "mathjax"


def copy_mathjax(app: Sphinx, failure: Exception | None) -> None:
    """Copy MathJax beside the pages."""
    if failure or app.builder.format != "html":
        return
    for name in MATHJAX:
        source, target = mathjax_files() / name, Path(app.outdir) / "_static" / "mathjax" / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def drop_source_maps(app: Sphinx, failure: Exception | None) -> None:
    """Leave out the theme's source maps, 3.5 MB that only a debugger of the theme would load."""
    for path in Path(app.outdir).glob("_static/**/*.map"):
        path.unlink()


def drop_thebe_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Take Thebe's scripts off a page."""
    scripts = context.get("script_files", [])
    context["script_files"] = [
        script
        for script in scripts
        if "thebe" not in (str(getattr(script, "filename", script)) + str(getattr(script, "attributes", ""))).lower()
    ]


def drop_thebe_settings(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Take Thebe's settings, which sphinx-thebe appends to every page as raw HTML, off the page."""
    for node in list(doctree.findall(nodes.raw)):
        text = node.astext()
        if "x-thebe-config" in text or text.startswith("<script>kernelName"):
            node.parent.remove(node)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx, after sphinx-thebe in each event."""
    app.config.mathjax_path = f"mathjax/{MATHJAX[0]}"
    app.connect("doctree-resolved", drop_thebe_settings, priority=900)
    app.connect("html-page-context", drop_thebe_scripts, priority=900)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", drop_source_maps, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
