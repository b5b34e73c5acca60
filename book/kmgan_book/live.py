"""Recorded generators that run in the page: their weights, and the figure whose script draws with them."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Sequence
from html import escape
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from kmgan_book import CHECKOUT, records
from kmgan_book.records import Record
from kmgan_book.report import Html, badge_of
from kmgan_lib.errors import UsageError
from kmgan_lib.generator import Generator, load_generator
from kmgan_lib.models import ConvGenerator, MnistGenerator
from kmgan_lib.pictures import sheet

STATIC = CHECKOUT / "book" / "_static"


def script(name: str) -> str:
    """A script of the book with the style of its figures, as HTML that a notebook carries in its output."""
    style, text = ((STATIC / file).read_text(encoding="utf8") for file in ("live.css", name))
    return f"<style>{style}</style>\n<script>\n{text}</script>"


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def _layers(net: nn.Module) -> list[tuple[nn.Linear | nn.ConvTranspose2d, nn.BatchNorm2d | None]]:
    """Every layer that has weights, with the batch normalization that follows it."""
    if isinstance(net, MnistGenerator):
        found = [(net.fc1, net.bn1), (net.fc2, net.bn2), (net.up1, net.bn3), (net.up2, None)]
    elif isinstance(net, ConvGenerator):
        found = zip([net.fc, *net.ups], [*net.norms, None], strict=True)
    else:
        raise UsageError("only generators of images run in a page")
    return cast("list[tuple[nn.Linear | nn.ConvTranspose2d, nn.BatchNorm2d | None]]", list(found))


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
    """A generator as ``generator.js`` reads it.

    The weights are those of the file, in half precision. Batch normalization and the bias before it become one factor
    and one summand a unit or channel, in single precision, so that nothing is rounded twice.

    Parameters
    ----------
    generator : Generator
        Of images.

    Returns
    -------
    dict
        For JSON; arrays are base64, little-endian.

    Raises
    ------
    UsageError
        If it is a generator of points.
    """
    classes, weights, affine = generator.classes, [], []
    layers: list[dict[str, Any]] = []
    for layer, norm in _layers(generator.net):
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
        "layers": layers,
        "classes": classes,
        "signed": getattr(generator.net, "signed", False),
        "weights": _packed(torch.cat(weights).numpy()),
        "affine": _packed(torch.cat(affine).numpy()),
    }


def _still(images: Tensor, columns: int) -> str:
    buffer = io.BytesIO()
    Image.fromarray(sheet(images, columns=columns)).save(buffer, format="WEBP", lossless=True)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def generator(
    group: Sequence[Record], *, titles: Sequence[str] = (), caption: str = "", images: int = 9, seed: int = 0
) -> Html:
    """Recorded generators beside each other that draw from the same noise in the reader's browser.

    A slider, its keys, a finger or the mouse moves every image between two noise vectors; buttons play and draw new
    noise. Without JavaScript the images at the start show.

    Parameters
    ----------
    group : sequence of Record
        Each with a ``generator.safetensors`` of images; of one size, and of noise of one kind.
    titles : sequence of str
        One a record; by default the presets' names.
    caption : str
        What a reader sees, in a sentence or two; the badge follows.
    images : int
        Images that each generator draws, about square.
    seed : int
        Of the noise at the start.

    Returns
    -------
    Html
        About 330 KB for each generator of digits.

    Raises
    ------
    UsageError
        If a record has no generator, or the generators cannot draw from the same noise.
    """
    loaded = [load_generator(record.generator) for record in group]
    titles = list(titles) or [str(record.result["preset"]["name"]) for record in group]
    presets = [each.preset for each in loaded]
    if len({(p.z_dim, p.z_distribution, p.image_size) for p in presets}) != 1 or len(titles) != len(group):
        raise UsageError("generators beside each other take the same noise, draw images of one size, have a title each")
    columns, side, z = math.ceil(math.sqrt(images)), presets[0].image_size, presets[0].z_dim
    noise = loaded[0].noise(2 * images, seed).half()
    cells = "".join(
        f"<div><strong>{escape(title)}</strong>"
        f'<img src="{_still(each.images(noise[:images].float()), columns)}" alt="{escape(title)}: {images} images">'
        f'<canvas hidden width="{columns * (side + 1) - 1}" height="{math.ceil(images / columns) * (side + 1) - 1}"'
        f' role="img" aria-label="{escape(title)}: {images} images, from noise by the slider"></canvas></div>'
        for title, each in zip(titles, loaded, strict=True)
    )
    given = {
        "z": z, "images": images, "columns": columns, "side": side, "normal": presets[0].z_distribution == "normal",
        "noise": _packed(noise.numpy()), "networks": [exported(each) for each in loaded],
    }  # fmt: skip
    return Html(
        f'<figure class="kmgan-live kmgan-generator"><div class="live-row">{cells}</div>'
        '<div class="live-controls" hidden><button type="button">Play</button>'
        '<input type="range" min="0" max="100" value="0" aria-label="From one noise vector to another">'
        '<button type="button">New noise</button><output></output></div>'
        f"<figcaption>{escape(caption)} {badge_of(records.badge(list(group)))}</figcaption>"
        f'<script type="application/json">{json.dumps(given)}</script></figure>\n{script("generator.js")}'
    )
