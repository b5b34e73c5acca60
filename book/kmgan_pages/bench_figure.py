"""The figure and the tables of the benchmarks' reports."""

import textwrap
from collections.abc import Sequence
from html import escape
from typing import Any

import seaborn as sns
from matplotlib.figure import Figure

from kmgan_book import CHECKOUT
from kmgan_book.figures import PALETTE, badge, canvas
from kmgan_book.report import Html, badge_html, html_table
from kmgan_lib.files import read_json

RESULTS = CHECKOUT / "benchmarks" / "results"


def recorded(kind: str = "bench") -> list[dict[str, Any]]:
    """The reports of ``benchmarks/results/<kind>-*.json`` by name; `kind` is ``bench`` or ``precision``."""
    return [read_json(path) for path in sorted(RESULTS.glob(f"{kind}-*.json"))]


def speed(report: dict[str, Any]) -> Figure:
    """What `benchmarks.bench.measure` found: speed of each method, against the plain loop, and the growth of K-Means.

    Sections that were not measured have no panel.
    """
    bars = {"methods": ("images_per_second", "Images per second", "%.0f"),
            "plain": ("speed", "Speed relative to plain loop", "%.2f")}  # fmt: skip
    sections = [name for name in (*bars, "growth") if report.get(name)]
    heights = [2.6 if name == "growth" else 0.54 * len(report[name]) + 0.8 for name in sections] or [2.6]
    figure, axes = canvas(len(heights), 1, 6.6, sum(heights), gridspec_kw={"height_ratios": heights})
    for ax, name in zip(axes.flat, sections, strict=False):
        results = report[name]
        if name in bars:
            key, title, form = bars[name]
            names = [textwrap.fill(name, 30) for name in results]
            drawn = ax.barh(names, [r[key] for r in results.values()], color=sns.color_palette(PALETTE)[0])
            ax.bar_label(drawn, fmt=form, padding=3, fontsize=9)
            ax.invert_yaxis()
            ax.margins(x=0.18)
            ax.set_title(title)
        else:
            for variable, points in results.items():
                first, begun = points[0]
                ax.plot([n / first for n, _ in points], [s / begun for _, s in points], marker="o", label=variable)
            ax.set(xscale="log", yscale="log", title="K-Means", xlabel="size, relative", ylabel="time, relative")
            ax.legend(title="growing", title_fontsize=9, loc="lower right")
    sns.despine(figure)
    return badge(figure, provenance(report))


def provenance(report: dict[str, Any]) -> str:
    """The badge of a report."""
    words = ("recorded", report.get("profile"), report["device"], report["commit"] or "no commit")
    return " · ".join(word for word in words if word)


def table(reports: Sequence[dict[str, Any]]) -> Html:
    """What speed reports say, a table each."""
    heads = ("", "images per second", "speed relative to plain loop", "utilization")
    tables = []
    for report in reports:
        rows, plain = [], report.get("plain", {})
        for name, r in (plain | report.get("methods", {})).items():
            ratio = f"{r['speed']:.2f}" if name in plain else "–"
            used = f"{r['utilisation']:.0%}" if r.get("utilisation") else "–"
            rows.append((escape(name), f"{r['images_per_second']:,.0f}", ratio, used))
        for name, r in report.get("kmeans", {}).items():
            rows.append((f"K-Means in {escape(name)}, d = {r['d']:,}", "–", "–", f"{r['share']:.2%} of the iteration"))
        tables.append(f"{html_table(heads, rows)}<p>{badge_html(provenance(report))}</p>")
    return Html("".join(tables) or "<p>Not yet recorded: <code>kmgan bench</code> makes the report.</p>")


def precision(reports: Sequence[dict[str, Any]]) -> Html:
    """Whether networks in bf16 learned as well as in float32, a table a report of ``benchmarks/precision.py``."""
    heads = ("", "float32", "bf16", "by the rule")
    tables = []
    for report in reports:
        rows = []
        for name, found in report["presets"].items():
            scores = ([f"{s:.2f}" if s else "diverged" for s in found["scores"][p]] for p in ("float32", "bf16"))
            rows.append((escape(name), *map(", ".join, scores), f"{'' if found['as_good'] else 'not '}as good"))
        tables.append(f"<p>In bf16: {escape(report['part'])}.</p>{html_table(heads, rows)}")
        tables.append(f"<p>{badge_html(provenance(report))}</p>")
    tables += [f"<p>{escape(rule)}</p>" for rule in dict.fromkeys(report["rule"] for report in reports)]
    return Html("".join(tables) or "<p>Not yet recorded: <code>benchmarks/precision.py</code> makes the report.</p>")
