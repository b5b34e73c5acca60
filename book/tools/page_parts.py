"""Sphinx extension: what the theme leaves to do on a page.

Downloads of the chapter as it is in the repository, beside its executed copy; buttons that launch a chapter elsewhere,
where the book's address is known; roles that screen readers understand; and every chapter on one page, for the PDF.
"""

from __future__ import annotations

import os
import re
import shutil
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

DESCRIPTION = "An executable book that rebuilds KM-GAN from its paper and judges each claim by a written rule"
PREVIEW = "_static/abstract.png"
SOURCES = "sources"  # a folder of the staged book
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


def address(configured: str) -> str:
    """Return the repository's address: that of `_config.yml`, or where GitHub builds the book, that repository's."""
    repository = os.environ.get("GITHUB_REPOSITORY")
    if configured or not repository:
        return configured
    return f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{repository}"


def offer_launch(app: Sphinx, config: Config) -> None:
    """Switch on the buttons of Binder and Colab where there is a repository that they can open."""
    options: dict[str, Any] = config.html_theme_options
    options["repository_url"] = address(options.get("repository_url", ""))
    if options["repository_url"]:
        options["launch_buttons"] = {**options.get("launch_buttons", {}), **LAUNCH}
        options["use_repository_button"] = True


def offer_source(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Say which download is the executed chapter, and offer the one without outputs, too."""
    source = Path(app.srcdir) / SOURCES / f"{page}.ipynb"
    if not source.is_file():
        return
    for group in context.get("header_buttons", []):
        if group.get("label") == "download-buttons":
            executed = next(button for button in group["buttons"] if button["label"] == "download-source-button")
            executed |= {"text": ".ipynb with results", "tooltip": "Download the executed notebook"}
            plain = {
                "type": "link",
                "url": context["pathto"](f"_sources/{SOURCES}/{page}.ipynb", 1),
                "text": ".ipynb to run",
                "tooltip": "Download the notebook as it is in the repository",
                "icon": "fas fa-play",
                "label": "download-plain-button",
            }
            group["buttons"].insert(0, plain)


def offer_preview(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Say in a page's head what a link to it should show: title, the book's answer, and its image."""
    base = str(app.config.html_baseurl).rstrip("/")
    texts = {
        "title": re.sub("<[^>]*>", "", context.get("title") or app.config.html_title), "type": "article",
        "description": DESCRIPTION, "image": f"{base}/{PREVIEW}" if base else context["pathto"](PREVIEW, 1),
    }  # fmt: skip
    tags = "".join(f'<meta property="og:{name}" content="{escape(text)}">\n' for name, text in texts.items())
    tags += '<meta name="twitter:card" content="summary_large_image">\n'
    tags += f'<meta name="description" content="{DESCRIPTION}">\n'
    context["metatags"] = context.get("metatags", "") + tags


def finish(app: Sphinx, failure: Exception | None) -> None:
    """Copy the sources beside the pages, and mend the roles of the pages' elements."""
    if failure or app.builder.name != "html":
        return
    sources = Path(app.srcdir) / SOURCES
    if sources.is_dir():
        shutil.copytree(sources, Path(app.outdir) / "_sources" / SOURCES, dirs_exist_ok=True)
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf8")
        mended = text
        for old, new in ROLES:
            mended = mended.replace(old, new)
        mended = SIGNATURE.sub(lambda found: found[0].replace("\n<dd>", '\n<dd role="none">'), mended)
        if mended != text:
            page.write_text(mended, encoding="utf8")


def share_handlers(app: Sphinx) -> None:
    """Let the one-page book write every element that the pages can: extensions register most of them for pages only."""
    handlers = app.registry.translation_handlers
    handlers["singlehtml"] = {**handlers.get("html", {}), **handlers.get("singlehtml", {})}


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx; the theme reads its options and makes its buttons at the default priority."""
    app.connect("config-inited", offer_launch, priority=100)
    app.connect("builder-inited", share_handlers)
    app.connect("html-page-context", offer_source, priority=900)
    app.connect("html-page-context", offer_preview)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
