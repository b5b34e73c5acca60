"""The equations in the page, by Node and in a few lines of Python, against the library's losses."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from kmgan_lib import centers, losses, methods, presets
from kmgan_pages import teaching

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


def numbers(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def by_autograd(state: dict[str, Any], options: dict[str, Any]) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Each objective and its gradients with respect to real and generated features."""
    f, g, c, c_hat = (numbers(state[name]) for name in ("real", "fake", "centers", "fakeCenters"))
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
        assert found["nearest"] == centers.assign(numbers(state["real"]), numbers(state["centers"])).tolist()
        for name, (loss, real, fake) in by_autograd(state, case["options"]).items():
            assert found[name]["loss"] == pytest.approx(loss.item(), abs=1e-9)
            torch.testing.assert_close(numbers(found[name]["real"]), real)
            torch.testing.assert_close(numbers(found[name]["fake"]), fake)


def test_three_short_steps_move_weights_and_centers_as_the_librarys_do(monkeypatch: pytest.MonkeyPatch) -> None:
    # Adam would blow up another rounding; that the functions agree up to it is the next test's.
    for name in ("assign", "center_loss", "discriminator_loss", "generator_loss"):
        monkeypatch.setattr(teaching, name, getattr(centers if name == "assign" else losses, name))
    monkeypatch.setattr(teaching, "moved", centers.updated_centers)
    preset = presets.resolve("digits/kmgan", "smoke")
    library: Any = methods.create(preset, seed=0)
    generator = torch.Generator().manual_seed(1)
    library.setup(torch.randint(0, 256, (256, 1, 28, 28), generator=generator, dtype=torch.uint8))
    G, D = copy.deepcopy(library.generator_net), copy.deepcopy(library.discriminator_net)
    c, c_hat = library.bank.real.clone(), library.bank.fake.clone()
    d, g = list(D.parameters()), list(G.parameters())
    adams = tuple(library.optimiser(parameters) for parameters in (d, g, [*d, *g]))
    before = [p.clone() for p in (*d, *g)]
    for _ in range(3):
        x = torch.rand(preset.batch, 1, 28, 28, generator=generator)
        z = torch.randn(preset.batch, preset.z_dim, generator=generator)
        c, c_hat = teaching.step(x, z, G, D, c, c_hat, adams)
        library.step(x, None, z)
    theirs = (*library.discriminator_net.parameters(), *library.generator_net.parameters())
    for mine, other in zip((*d, *g), theirs, strict=True):
        torch.testing.assert_close(mine, other)
    torch.testing.assert_close(c, library.bank.real)
    torch.testing.assert_close(c_hat, library.bank.fake)
    assert not any(torch.equal(p, old) for p, old in zip((*d, *g), before, strict=True))


def test_the_short_equations_are_the_librarys() -> None:
    generator = torch.Generator().manual_seed(0)
    f, g = torch.randn(2, 16, 3, generator=generator, dtype=torch.float64)
    c, c_hat = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    real, generated = teaching.assign(f, c), teaching.assign(g, c)
    for mine, library, arguments in (
        (teaching.assign, centers.assign, (f, c)), (teaching.moved, centers.updated_centers, (c, f, real)),
        (teaching.center_loss, losses.center_loss, (f, g, real, generated, c, c_hat)),
        (teaching.discriminator_loss, losses.discriminator_loss, (f, g, c[real], c[generated])),
        (teaching.generator_loss, losses.generator_loss, (g, c[generated])),
        (teaching.intra, losses.intra_distance, (f, g)), (teaching.inter, losses.inter_distance, (f, g)),
    ):  # fmt: skip
        torch.testing.assert_close(mine(*arguments), library(*arguments))


def test_the_short_repair_is_the_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    library: Any = methods.create(presets.resolve("digits/kmgan_plus", "smoke"), seed=0)
    generator = torch.Generator().manual_seed(0)
    library.setup(torch.randint(0, 256, (256, 1, 28, 28), generator=generator, dtype=torch.uint8))
    x, z = torch.rand(16, 1, 28, 28, generator=generator), torch.rand(16, 100, generator=generator)
    y = library.clusters(x)
    f, g = library.D(x), library.D(library.G(z, y))
    parts = library.logit.weight[0], library.embedding.weight, library.logit.bias
    taken = list[torch.Tensor]()
    monkeypatch.setattr(library, "_update", lambda adam, loss: taken.append(loss))
    library.step(x, None, z)
    short = teaching.plus(teaching.value(f, y, *parts), teaching.value(g, y, *parts))
    torch.testing.assert_close(tuple(taken), short)
    assert len(set(y.tolist())) > 1
