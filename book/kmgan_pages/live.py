"""Figures that move in the page: recorded generators, with their weights, replays of trainings, and the loss lab.

The lab shows features and centers on a plane, which a reader drags, and the gradients of Eqs. (4) to (7).
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from kmgan_book import STATIC, records
from kmgan_book.figures import panel
from kmgan_book.recorder import to_webp
from kmgan_book.records import Record
from kmgan_book.replays import ACROSS, CURVES, REPLAYS, SHOWN
from kmgan_book.report import Html, badge_html, data_url
from kmgan_lib import files
from kmgan_lib.centers import assign
from kmgan_lib.errors import UsageError
from kmgan_lib.generator import Generator, load_generator
from kmgan_lib.losses import discriminator_loss
from kmgan_lib.models.networks import ConvGenerator, MnistGenerator
from kmgan_lib.sheets import sheet
from kmgan_pages import moving, script

_VIEW = 1.35
_GROUPS = torch.tensor([[-0.6, 0.6], [0.65, 0.6], [0.6, -0.6], [-0.65, -0.55]])
WIDTH, PANEL = 320, 74  # of the drawing of the curves


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def _affine(bias: Tensor, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """Factor and summand a unit or channel, for a bias and the batch normalization after it, if any."""
    if norm is None:
        return torch.ones_like(bias), bias
    mean, variance = cast("tuple[Tensor, Tensor]", (norm.running_mean, norm.running_var))
    factor = norm.weight.double() / (variance.double() + norm.eps).sqrt()
    summand = norm.bias.double() - factor * mean.double()
    area = len(bias) // len(factor)  # of the maps that a fully connected layer makes
    scale = factor.repeat_interleave(area)
    return scale.float(), (scale * bias.double() + summand.repeat_interleave(area)).float()


def exported(generator: Generator) -> dict[str, Any]:
    """A generator of images as ``generator.js`` reads it: for JSON, with arrays in base64, little-endian.

    The weights are those of the file, in half precision. Batch normalization and the bias before it become one factor
    and one summand a unit or channel, in single precision, so that nothing is rounded twice.
    """
    net = generator.net
    found: list[tuple[Any, Any]]
    if isinstance(net, MnistGenerator):
        found = [(net.fc1, net.bn1), (net.fc2, net.bn2), (net.up1, net.bn3), (net.up2, None)]
    elif isinstance(net, ConvGenerator):
        found = list(zip([net.fc, *net.ups], [*net.norms, None], strict=True))
    else:
        raise UsageError("only generators of images run in a page")
    classes, weights, affine = generator.classes, [], []
    layers: list[dict[str, Any]] = []
    for layer, norm in found:  # that have weights, with the batch normalization that follows them
        up = isinstance(layer, nn.ConvTranspose2d)
        inputs, outputs = (layer.weight if up else layer.weight.T).shape[:2]
        layers.append({"kind": "up" if up else "fc", "inputs": inputs - classes, "outputs": outputs})
        weights.append(layer.weight.half().flatten())
        affine += _affine(cast("Tensor", layer.bias), norm)
    side = generator.preset.image_size // 2 ** sum(layer["kind"] == "up" for layer in layers)
    for layer in layers:
        if layer["kind"] == "up":
            layer["side"], side = side, 2 * side
    return {
        "layers": layers, "classes": classes, "signed": getattr(generator.net, "signed", False),
        "weights": _packed(torch.cat(weights).numpy()), "affine": _packed(torch.cat(affine).numpy()),
    }  # fmt: skip


def generator(groups: Mapping[str, Sequence[Record]], *, caption: str = "", images: int = 9) -> Html:
    """Recorded generators beside each other that draw from the same noise in the reader's browser.

    A slider, its keys, a finger or the mouse moves every image between two noise vectors; buttons play and draw new
    noise. Without JavaScript the images at the start show. It takes about 330 KB for each generator of digits.

    Of each group, as from `kmgan_book.report.recorded`, the first record that keeps a generator is shown, with so many
    `images`; the caption names groups without one. A `UsageError` says that they cannot draw from the same noise.
    """
    found = {title: [record for record in group if record.generator.is_file()] for title, group in groups.items()}
    kept = {title: group[0] for title, group in found.items() if group}
    shown = {title: load_generator(record.generator) for title, record in kept.items()}
    missing = ", ".join(title for title in groups if title not in kept)
    if missing:
        caption = f"{caption} No generator was kept for: {missing}.".strip()
    if not shown:
        return Html(f"<p>{escape(caption)}</p>")
    presets = [each.preset for each in shown.values()]
    if len({(preset.z_dim, preset.z_distribution, preset.image_size) for preset in presets}) != 1:
        raise UsageError("generators beside each other must take the same noise and draw images of one size")
    networks = [exported(each) for each in shown.values()]
    columns, side = math.ceil(math.sqrt(images)), presets[0].image_size
    size = f'width="{columns * (side + 1) - 1}" height="{math.ceil(images / columns) * (side + 1) - 1}"'
    noise = next(iter(shown.values())).noise(2 * images, 0).half()
    cells = ""
    for title, each in shown.items():
        labels = torch.arange(images) % each.classes if each.classes else None  # a class after the other
        still = sheet(each.images(noise[:images].float(), labels), columns=columns)
        cells += (
            f"<div><strong>{escape(title)}</strong>"
            f'<img class="pixels" {size} src="{data_url(Image.fromarray(still), lossless=True)}" alt="{escape(title)}">'
            f'<canvas {size} role="img" aria-label="{escape(title)}: {images} images, noise set by the slider" hidden>'
            "</canvas></div>"
        )
    given = {
        "z": presets[0].z_dim, "normal": presets[0].z_distribution == "normal", "images": images, "columns": columns,
        "side": side, "noise": _packed(noise.numpy()), "networks": networks,
    }  # fmt: skip
    body = (
        f'<div class="live-row">{cells}</div><div class="live-controls" hidden><button type="button">Play</button>'
        '<input type="range" min="0" max="100" value="0" aria-label="From one noise vector to another">'
        '<button type="button">New noise</button><output></output></div>'
        f"<figcaption>{escape(caption)} {badge_html(records.badge(list(kept.values())))}</figcaption>"
    )
    return Html(f"{moving('generator', body, given)}\n{script('generator.js')}")


def replay(names: Mapping[str, str], *, caption: str, replays: Path = REPLAYS) -> Html:
    """Recorded trainings beside each other that play together: images of the same noise, and curves with a cursor.

    Without JavaScript, and in print, the end shows. `names` maps titles to names of replays, all with frames of the
    same iterations; the caption's badge follows it.
    """
    told = {title: files.read_json(replays / f"{name}.json") for title, name in names.items()}
    frames = next(iter(told.values()))["frames"]
    if any(each["frames"] != frames for each in told.values()):
        raise UsageError("replays beside each other need frames of the same iterations")
    rows, last = -(-len(frames) // ACROSS), len(frames) - 1
    length = max(each["iterations"] for each in told.values())
    histories = [each["history"] for each in told.values()]
    ranges = {  # one scale for all sides
        column: (min(min(each[column]) for each in own), max(max(each[column]) for each in own))
        for column in CURVES
        if (own := [each for each in histories if column in each])
    }
    sides = []
    for (title, each), name in zip(told.items(), names.values(), strict=True):
        data = data_url((replays / f"{name}.webp").read_bytes())
        score = "" if each["score"] is None else f", score {each['score']:.2f}"
        place = f"{100 * (last % ACROSS) / (ACROSS - 1):.4g}% {100 * (last // ACROSS) / max(1, rows - 1):.4g}%"
        sides.append(
            f"<div><strong>{escape(title)}{score}</strong>"
            f'<div class="replay-frame" role="img" aria-label="{escape(title)}: {SHOWN**2} images, always from '
            f"the same noise, at {len(frames)} moments of training\" style=\"background-image:url('{data}');"
            f'background-size:{100 * ACROSS}% {100 * rows}%;background-position:{place}"></div>'
            f"{_curves(each['history'], ranges, length)}</div>"
        )
    keys = ("profile", "data", "seed", "device", "commit")
    parts = [", ".join(dict.fromkeys(str(each[key]) for each in told.values())) for key in keys]
    badge = badge_html("recorded · {} · {} · seed {} · {} · commit {}".format(*parts))
    given = {"frames": frames, "across": ACROSS, "rows": rows, "length": length}
    body = (
        f'<div class="live-row">{"".join(sides)}</div>'
        '<div class="live-controls" hidden><button type="button">Play</button>'
        f'<input type="range" min="0" max="{last}" value="{last}" aria-label="Moment of training">'
        f"<output></output></div><figcaption>{escape(caption)} {badge}</figcaption>"
    )
    kind = "replay several" if len(sides) > 1 else "replay"
    return Html(f"{moving(kind, body, given)}\n{script('replay.js')}")


def _curves(history: Mapping[str, Sequence[float]], ranges: Mapping[str, tuple[float, float]], length: int) -> str:
    """Curves below each other, each in its range, and the line that the script moves."""
    drawn = []
    for place, (column, (low, high)) in enumerate(ranges.items()):
        top, height = PANEL * place + 18, PANEL - 26
        points = " ".join(
            f"{WIDTH * step / length:.1f},{top + height * (1 - (value - low) / ((high - low) or 1)):.1f}"
            for step, value in zip(history["iteration"], history.get(column, ()), strict=False)
        )
        span = f": {low:.3g} to {high:.3g}".replace("-", "−")  # for which a phone has no room
        text = f"{CURVES[column]}<tspan>{span}</tspan>"
        drawn.append(f'<text x="0" y="{top - 5}">{text}</text><polyline points="{points}"/>')
    height = PANEL * len(drawn)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" aria-hidden="true"><line class="replay-cursor" x1="{WIDTH}" x2="{WIDTH}" '
        f'y1="0" y2="{height}"/>{"".join(drawn)}</svg>'
    )


def _lab_points() -> dict[str, Tensor]:
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
    figure, ax = panel(4.2, 4.2)
    for side, colour in ((real, "#3451b2"), (fake, "#c44601")):
        assert side.grad is not None
        (x, y), (u, v) = (np.asarray(each.detach()).T for each in (side, -side.grad))
        ax.scatter(x, y, color=colour, s=14)
        ax.quiver(x, y, u, v, color=colour, angles="xy", scale_units="xy", scale=1, width=0.004)
    ax.scatter(*np.asarray(centers).T, color="#3451b2", marker="x", s=60)
    ax.set(xlim=(-_VIEW, _VIEW), ylim=(-_VIEW, _VIEW), xticks=[], yticks=[])
    return data_url(to_webp(figure))


def loss_lab() -> Html:
    """The lab, which works from a file and without a kernel; without JavaScript an image of its start shows."""
    points = _lab_points()
    given = json.dumps({name: each.tolist() for name, each in points.items()})
    figure = Template((STATIC / "losslab.html").read_text(encoding="utf8"))
    return Html(figure.substitute(still=_still(points), given=given) + script("losslab.js"))
