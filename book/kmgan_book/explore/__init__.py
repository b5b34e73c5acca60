"""Interaction: figures that follow sliders in a kernel, and images with a slider, in plain HTML, where there is none.

ipywidgets is imported only when a widget is made, so that the library does without it.
"""

from kmgan_book.explore.explorer import Control, Explorer, frames_html
from kmgan_book.explore.moments import Moments, training_frames
from kmgan_book.explore.widgets import explore_classes, explore_clusters, explore_gate, explore_interpolation

__all__ = [
    "Control", "Explorer", "Moments", "explore_classes", "explore_clusters", "explore_gate", "explore_interpolation",
    "frames_html", "training_frames",
]  # fmt: skip
