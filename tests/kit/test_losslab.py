"""The gradients of the loss lab, computed by Node, against autograd on the library's losses."""

from typing import Any

import pytest
import torch
from torch import Tensor

from kmgan_book import losslab
from kmgan_lib import centers, losses

from .test_live import by_node, needs_node

RUN = """
const { objectives, nearest } = require(process.argv[1]);
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map(({ state, options }) => {
  const found = objectives(state, options);
  return { ...found, nearest: nearest(state.real, state.centers) };
})));
"""


def configuration(seed: int) -> dict[str, Any]:
    """Random features and centers on the plane, labels near or random, and the switches of the lab."""
    random = torch.Generator().manual_seed(seed)
    k, b, other = (int(torch.randint(low, high, (), generator=random)) for low, high in ((1, 7), (2, 14), (2, 14)))
    real, fake, c, c_hat = (torch.randn(n, 2, generator=random, dtype=torch.float64) for n in (b, other, k, k))
    labels, fake_labels = centers.assign(real, c), centers.assign(fake, c)
    if seed % 3 == 0:
        labels, fake_labels = (torch.randint(k, (n,), generator=random) for n in (b, other))
    return {
        "state": {
            "real": real.tolist(), "fake": fake.tolist(), "centers": c.tolist(), "fakeCenters": c_hat.tolist(),
            "labels": labels.tolist(), "fakeLabels": fake_labels.tolist(),
        },
        "options": {
            "push": seed % 2 == 0, "lambda": (0, 0.5, 5)[seed % 3], "reduction": ("mean", "pairs")[seed // 2 % 2],
            "perCluster": seed // 4 % 2 == 1,
        },
    }  # fmt: skip


def by_autograd(state: dict[str, Any], options: dict[str, Any]) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Each objective and its gradients with respect to real and generated features."""
    f, g, c, c_hat = (
        torch.tensor(state[name], dtype=torch.float64) for name in ("real", "fake", "centers", "fakeCenters")
    )
    real, fake = torch.tensor(state["labels"]), torch.tensor(state["fakeLabels"])
    f.requires_grad_()
    g.requires_grad_()
    intra, inter = (
        pair(f, g, reduction=options["reduction"]) for pair in (losses.intra_distance, losses.inter_distance)
    )
    loss_d = losses.discriminator_loss(f, g, c[real], c[fake])
    if not options["push"]:
        loss_d = losses.block_norm(f - c[real])
    total = {
        "D": loss_d + options["lambda"] * (intra - inter),
        "G": losses.generator_loss(g, c[fake]) + options["lambda"] * inter,
        "center": losses.center_loss(f, g, real, fake, c, c_hat, per_cluster=options["perCluster"]),
    }
    found = {}
    for name, loss in total.items():
        of_f, of_g = torch.autograd.grad(loss, (f, g), retain_graph=True, allow_unused=True, materialize_grads=True)
        found[name] = (loss, torch.zeros_like(of_f) if name == "G" else of_f, of_g)  # G does not move real features
    return found


@needs_node
def test_the_arrows_are_the_gradients() -> None:
    cases = [configuration(seed) for seed in range(24)]
    for case, found in zip(cases, by_node(RUN, "losslab.js", cases), strict=True):
        state = case["state"]
        c = torch.tensor(state["centers"], dtype=torch.float64)
        assert found["nearest"] == centers.assign(torch.tensor(state["real"], dtype=torch.float64), c).tolist()
        for name, (loss, real, fake) in by_autograd(state, case["options"]).items():
            assert found[name]["loss"] == pytest.approx(loss.item(), abs=1e-9)
            torch.testing.assert_close(torch.tensor(found[name]["real"], dtype=torch.float64), real)
            torch.testing.assert_close(torch.tensor(found[name]["fake"], dtype=torch.float64), fake)


def test_the_lab_stands_without_javascript() -> None:
    html = losslab.loss_lab()._repr_html_()
    assert "data:image/webp" in html
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert len(html) < 80_000
