"""One color per method through the whole book, and the style of its figures."""

from __future__ import annotations

from collections.abc import Iterable

LIVE, RECORDED = "#1b6e53", "#3d4f8f"
FAILURE = "#c1121f"
PALETTE = "colorblind"
# Sizes in points of figures at most 7 inches wide, so that a page shows 9 points as about 12 pixels.
RC = {
    "figure.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": 110, "savefig.dpi": 110,
    "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9.5, "xtick.labelsize": 9, "ytick.labelsize": 9,
    "legend.fontsize": 9, "figure.constrained_layout.use": True,
}  # fmt: skip

# The first name that a legend contains decides, so variants stand before the method that they vary.
COLORS = {
    "no center loss": "#b0529c", "neither": "#b0529c", "never": "#b0529c",
    "clipped to": "#029e73", "told": "#2a9d8f", "true labels": "#56b4e9", "random": "#7a5195", "one cluster": "#7f7f7f",
    "partition": "#a58bc8", "pixels": "#8c6d31", "km-gan+": "#003f5c", "unconditional": "#a65e00",
    "km-gan": "#0173b2", "k-means": "#0173b2", "both, as in": "#0173b2", "floor 0": "#0173b2",
    "sn-gan": "#ca9161", "carpedm20": "#7f5539", "with labels": "#d55e00", "dcgan": "#de8f05", "wgan-gp": "#3f7f4f",
    "mix+wgan": "#66a61e", "mix + wgan": "#66a61e", "wgan": "#1b9e77", "wasserstein": "#1b9e77",
    "improved gan": "#e15f99", "ali": "#5d4e9d", "mbgan": "#17a2b8", "mlgan": "#8d99ae",
}  # fmt: skip
SPARE = ("#bc6c25", "#6b705c", "#8e6c8a", "#4a7c8c", "#a44a3f", "#4a4e69")  # of none of them


def known(name: str) -> str | None:
    """The color of the method that a name contains, if any."""
    return next((color for key, color in COLORS.items() if key in name.lower()), None)


def colors(names: Iterable[str]) -> list[str]:
    """The color of each name of a figure: its method's, or a spare one where another name has that already."""
    chosen: list[str] = []
    for name in names:
        own = known(name)
        free = [color for color in SPARE if color not in chosen] or list(SPARE)
        chosen.append(own if own and own not in chosen else free[0])
    return chosen
