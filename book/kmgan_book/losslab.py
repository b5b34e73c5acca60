"""The loss lab: features and centers on a plane, which a reader drags, and the gradients of Eqs. (4) to (7)."""

from __future__ import annotations

import base64
import json

import numpy as np
import torch
from torch import Tensor

from kmgan_book.explore.drawing import encoded
from kmgan_book.figures import _canvas
from kmgan_book.live import script
from kmgan_book.report import Html
from kmgan_lib.centers import assign
from kmgan_lib.losses import discriminator_loss

_VIEW = 1.35
_GROUPS = torch.tensor([[-0.6, 0.6], [0.65, 0.6], [0.6, -0.6], [-0.65, -0.55]])
_SCENES = {
    "sum": "Eq. (4) sees only a sum",
    "push": "Without the push (Algorithm 2)",
    "lambda": "λ = 5 flattens",
    "random": "Random labels",
    "again": "Start again",
}
_OBJECTIVES = {"D": "D's objective, Eq. (5)", "G": "G's objective, Eq. (6)", "center": "the center loss, Eq. (4)"}
_VALUES = {
    "D": "L<sub>D</sub>, Eqs. (5) and (7)",
    "G": "L<sub>G</sub>, Eqs. (6) and (7)",
    "center": "L<sub>center</sub>, Eq. (4), as printed",
    "corresponding": "L<sub>center</sub>, corresponding centers",
    "pairs": "L<sub>intra</sub> − L<sub>inter</sub>, Eq. (7)",
}


def start() -> dict[str, Tensor]:
    """Features and centers at the start: four groups of real ones, generated ones in between.

    Returns
    -------
    dict
        ``real``, ``fake`` and ``alike`` (generated features distributed like real ones), (16, 2); ``centers`` and
        ``fakeCenters``, (6, 2), of which the lab takes the first k.
    """
    random = torch.Generator().manual_seed(4)

    def near(places: Tensor, spread: float) -> Tensor:
        return places + spread * (torch.rand(places.shape, generator=random) - 0.5)

    centers = near(torch.cat([_GROUPS, torch.tensor([[0.0, 0.7], [0.0, -0.6]])]), 0.3)
    found = {"real": near(_GROUPS.repeat(4, 1), 0.5), "fake": near(torch.zeros(16, 2), 1.0)}
    found |= {"alike": near(_GROUPS.repeat(4, 1), 0.5), "centers": centers, "fakeCenters": near(centers, 0.4)}
    return {name: (points * 1000).round() / 1000 for name, points in found.items()}


def _still(points: dict[str, Tensor]) -> str:
    """The lab at its start, drawn with autograd's gradients, for readers without JavaScript."""
    real, fake = (points[name].clone().requires_grad_() for name in ("real", "fake"))
    centers = points["centers"][:4]
    discriminator_loss(real, fake, centers[assign(real, centers)], centers[assign(fake, centers)]).backward()
    figure, axes = _canvas(1, 1, 4.2, 4.2)
    ax = axes[0, 0]
    for side, colour in ((real, "#3451b2"), (fake, "#c44601")):
        assert side.grad is not None
        (x, y), (u, v) = (np.asarray(each.detach()).T for each in (side, -side.grad))
        ax.scatter(x, y, color=colour, s=14)
        ax.quiver(x, y, u, v, color=colour, angles="xy", scale_units="xy", scale=1, width=0.004)
    ax.scatter(*np.asarray(centers).T, color="#3451b2", marker="x", s=60)
    ax.set(xlim=(-_VIEW, _VIEW), ylim=(-_VIEW, _VIEW), xticks=[], yticks=[])
    return base64.b64encode(encoded(figure)).decode()


def _check(name: str, text: str, *, ticked: bool = False) -> str:
    return f'<label><input type="checkbox" data-lab="{name}"{" checked" if ticked else ""}> {text}</label>'


def _slider(name: str, text: str, low: float, high: float, step: float, value: float) -> str:
    return (
        f'<label class="lab-slider">{text} <input type="range" data-lab="{name}" min="{low}" max="{high}" '
        f'step="{step}" value="{value}"> <span data-lab="{name}-value"></span></label>'
    )


def _choice(name: str, text: str, options: dict[str, str]) -> str:
    listed = "".join(f'<option value="{value}">{shown}</option>' for value, shown in options.items())
    return f'<label>{text} <select data-lab="{name}">{listed}</select></label>'


def loss_lab() -> Html:
    """The lab, as a figure that carries its own script.

    Returns
    -------
    Html
        Works from a file and without a kernel; without JavaScript an image of its start shows.
    """
    points = start()
    scenes = "".join(f'<button type="button" data-scene="{name}">{text}</button>' for name, text in _SCENES.items())
    values = "".join(f'<dt>{text}</dt><dd data-lab="value-{name}"></dd>' for name, text in _VALUES.items())
    given = json.dumps({name: each.tolist() for name, each in points.items()})
    return Html(
        '<figure class="kmgan-live kmgan-losslab">'
        f'<div class="live-controls" hidden><strong>Try this:</strong>{scenes}</div>'
        '<p class="lab-said" data-lab="said" aria-live="polite" hidden></p>'
        '<div class="lab-sides"><div>'
        f'<img src="data:image/webp;base64,{_still(points)}" alt="Real and generated features, centers, and arrows">'
        f'<svg data-lab="plane" viewBox="{-_VIEW} {-_VIEW} {2 * _VIEW} {2 * _VIEW}" tabindex="0" role="application" '
        'aria-label="Plane of features and centers. Page Up and Page Down choose, arrow keys move." hidden></svg>'
        '<p class="lab-legend" hidden><span class="lab-real">●</span> real, <span class="lab-real">✕</span> centers; '
        '<span class="lab-fake">◆</span> generated, <span class="lab-fake">+</span> centers. Thin lines: labels. '
        'Drag anything. <output data-lab="chosen"></output></p></div><div class="lab-switches" hidden>'
        + _choice("objective", "Arrows: downhill of", _OBJECTIVES)
        + _check("push", "push generated features off their centers", ticked=True)
        + _check("corresponding", "corresponding centers, not the sum")
        + _check("random", "random labels")
        + _slider("lambda", "λ", 0, 5, 0.5, 0)
        + _choice("reduction", "pairs of Eq. (7)", {"mean": "ordered", "pairs": "unordered"})
        + _slider("k", "k", 1, 6, 1, 4)
        + _slider("scale", "shrink all to", 10, 100, 1, 100)
        + f'<button type="button" data-lab="play">Follow the arrows</button><dl>{values}</dl></div></div>'
        "<figcaption>No network here: <em>D</em> could move each feature freely. Arrows of one objective share one "
        "scale.</figcaption>"
        f'<script type="application/json">{given}</script></figure>\n{script("losslab.js")}'
    )
