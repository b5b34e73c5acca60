"""The scripts of the pages, run by Node as they are, against PyTorch."""

import json
import re
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
import torch

from kmgan_book import live, records, report
from kmgan_lib.errors import UsageError
from kmgan_lib.generator import load_generator

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no Node: apt-get install nodejs")
RUN = """
const { read, generate } = require(process.argv[1]);
const { network, noise, labels } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const ready = read(network);
console.log(JSON.stringify(noise.map((z, i) => Array.from(generate(ready, Float32Array.from(z), labels[i])))));
"""


def by_node(code: str, name: str, given: Any) -> Any:
    """What a script that requires a file of the book answers."""
    assert NODE is not None
    command = [NODE, "-e", code, str(live.STATIC / name)]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_node
@pytest.mark.parametrize("preset", ["mnist/kmgan", "mnist/dcgan", "celeba/dcgan-table5", "cifar10-32/kmgan"])
def test_the_page_draws_what_pytorch_draws(preset: str) -> None:
    generator = load_generator(records.load(preset, "quick")[0].generator)
    noise = generator.noise(3, 7)
    labels = torch.arange(3) % max(generator.classes, 1)
    given = {"network": live.exported(generator), "noise": noise.tolist(), "labels": labels.tolist()}
    drawn = np.array(by_node(RUN, "generator.js", given))
    expected = generator.images(noise, labels).flatten(1).numpy()
    assert expected.std() > 0.05
    np.testing.assert_allclose(drawn, expected, atol=1e-4)


def test_generators_beside_each_other_have_the_same_noise() -> None:
    groups = report.recorded({"<K-Means>": "mnist/kmgan", "one cluster": "mnist/kmgan-k1", "none": "mnist/unheard-of"})
    html = live.generator(groups, caption="Same noise.", images=4)._repr_html_()
    (given,) = re.findall(r'<script type="application/json">(.*?)</script>', html)
    assert len(json.loads(given)["networks"]) == html.count("<canvas") == html.count("data:image/webp") == 2
    assert "&lt;K-Means&gt;" in html
    assert "<K-Means>" not in html
    assert "Same noise. No generator was kept of: none." in html
    assert "http" not in html
    assert len(html) < 700_000


def test_what_cannot_be_shown_together_is_refused() -> None:
    with pytest.raises(UsageError, match="same noise"):
        live.generator(report.recorded({"digits": "mnist/kmgan", "faces": "celeba/generalized"}))
    with pytest.raises(UsageError, match="generators of images"):
        live.generator(report.recorded({"points": "synthetic/kmgan"}))
    assert live.generator({"digits": []}).text == "<p>No generator was kept of: digits.</p>"
