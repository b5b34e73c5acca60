"""The loss lab: features and centers on a plane, which a reader drags, and the gradients of Eqs. (4) to (7)."""

import json
from string import Template

import numpy as np
import torch
from torch import Tensor

from kmgan_book import STATIC
from kmgan_book.drawing import encoded
from kmgan_book.figures import _panel
from kmgan_book.report import Html, script, webp
from kmgan_lib.centers import assign
from kmgan_lib.losses import discriminator_loss

_VIEW = 1.35
_GROUPS = torch.tensor([[-0.6, 0.6], [0.65, 0.6], [0.6, -0.6], [-0.65, -0.55]])


def start() -> dict[str, Tensor]:
    """Features and centers at the start: four groups of real ones, generated ones in between.

    ``real``, ``fake`` and ``alike`` (generated features distributed like real ones) are (16, 2); ``centers`` and
    ``fakeCenters``, of which the lab takes the first k, are (6, 2).
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
    figure, ax = _panel(4.2, 4.2)
    for side, colour in ((real, "#3451b2"), (fake, "#c44601")):
        assert side.grad is not None
        (x, y), (u, v) = (np.asarray(each.detach()).T for each in (side, -side.grad))
        ax.scatter(x, y, color=colour, s=14)
        ax.quiver(x, y, u, v, color=colour, angles="xy", scale_units="xy", scale=1, width=0.004)
    ax.scatter(*np.asarray(centers).T, color="#3451b2", marker="x", s=60)
    ax.set(xlim=(-_VIEW, _VIEW), ylim=(-_VIEW, _VIEW), xticks=[], yticks=[])
    return webp(encoded(figure))


def loss_lab() -> Html:
    """The lab, which works from a file and without a kernel; without JavaScript an image of its start shows."""
    points = start()
    given = json.dumps({name: each.tolist() for name, each in points.items()})
    figure = Template((STATIC / "losslab.html").read_text(encoding="utf8"))
    return Html(figure.substitute(still=_still(points), given=given) + script("losslab.js"))
