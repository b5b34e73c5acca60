"""Algorithm 1 written a second time, slowly, and compared with the library's step."""

import copy
import functools
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from kmgan_lib import methods, presets
from kmgan_lib.centers import Update, kmeans_plus_plus
from kmgan_lib.data.images import to_unit
from kmgan_lib.methods.base import draw_noise
from kmgan_lib.methods.kmgan import KMGAN

from ..conftest import in_float64
from ..test_centers import naive_assign, naive_means, naive_norm, naive_pairs

# Every choice of the default reading, spelled out: these tests hold whatever the presets' defaults become.
READING: dict[str, Any] = {
    "z_distribution": "uniform", "z_dim": 12, "k": 3, "center_loss": True, "d_round": 0.0, "center_gate": "floor",
    "per_cluster": False, "center_update": "eq4", "fresh": False, "fake_labels": "real", "reduction": "frobenius",
    "lambda_pair": 0.0, "pair_reduction": "mean", "init_images": 100, "lloyd_iterations": 0, "clip": None,
    "clip_scope": "all", "batch": 16, "learning_rate": 1e-3, "beta1": 0.5, "beta2": 0.999, "generator_updates": 1,
    "precision": "float32", "average": 0.0,
}  # fmt: skip
PICTURES = {"head": "bn-relu", "feature_dim": 6, "conv_first": 8, "conv_second": 8, "width": 0.125}
STEPS = 5


def make(name: str = "synthetic/kmgan", **changes: Any) -> KMGAN:
    """A method after its setup, on random data."""
    sizes = PICTURES if name.startswith("digits") else {}
    method = methods.create(presets.resolve(name, "smoke", **{**READING, **sizes, **changes}), seed=1)
    assert isinstance(method, KMGAN)
    method.setup(data(name, 60))
    return method


def data(name: str, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    if name.startswith("digits"):
        return torch.randint(0, 256, (count, 1, 28, 28), generator=generator, dtype=torch.uint8)
    return torch.rand(count, 100, generator=generator)


def batches(method: KMGAN, steps: int = STEPS) -> list[tuple[Tensor, Tensor]]:
    b, generator = method.preset.batch, torch.Generator().manual_seed(5)
    images = to_unit(data(method.preset.name, b * steps))
    return [(images[i * b : (i + 1) * b], draw_noise(method.preset, b, generator)) for i in range(steps)]


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    parameters = optimiser.param_groups[0]["params"]
    for p, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        p.grad = gradient
    optimiser.step()
    return loss.detach()


class ByHand:
    """Algorithm 1 with plain PyTorch, starting where a `KMGAN` stands."""

    def __init__(self, method: KMGAN):
        p = self.p = method.preset
        self.G, self.D = copy.deepcopy(method.generator_net), copy.deepcopy(method.discriminator_net)
        self.c, self.e = method.bank.real.clone(), method.bank.fake.clone()
        d, g = list(self.D.parameters()), list(self.G.parameters())
        options = {"lr": p.learning_rate, "betas": (p.beta1, p.beta2), "eps": 1e-8, "foreach": False}
        self.of_d, self.of_g, self.of_both = (torch.optim.Adam(group, **options) for group in (d, g, d + g))
        self.norm = functools.partial(naive_norm, reduction=p.reduction)
        self.pairs = functools.partial(naive_pairs, reduction=p.pair_reduction)
        self.t = 0

    def clip(self) -> None:
        for name, p in self.D.named_parameters():
            if self.p.clip and (self.p.clip_scope == "all" or (name.endswith("weight") and p.ndim > 1)):
                p.data = p.data.clamp(-self.p.clip, self.p.clip)

    def step(self, x: Tensor, z: Tensor) -> dict[str, float]:
        p, G, D, norm, pairs = self.p, self.G, self.D, self.norm, self.pairs
        fake_centers = self.c if p.fake_labels == "real" else self.e

        f, g = D(x), D(G(z).detach())
        lf, lg = naive_assign(f, self.c), naive_assign(g, fake_centers)
        real_targets, fake_targets = self.c[lf], self.c[lg]
        loss_d = norm(f, real_targets) - norm(g, fake_targets)
        loss_d = descend(self.of_d, loss_d + p.lambda_pair * (pairs(f, f) + pairs(g, g) - pairs(f, g)))
        self.clip()

        loss_g = torch.zeros(())
        for _ in range(p.generator_updates):
            g = D(G(z))
            loss_g = descend(self.of_g, norm(g, fake_targets) + p.lambda_pair * pairs(D(x).detach(), g))

        f, g = D(x), D(G(z))
        difference = naive_means(self.c, f, lf) - naive_means(self.e, g, lg)
        loss_center = difference.abs().sum() if p.per_cluster else difference.sum(0).abs().sum()
        gates = {"floor": loss_center > p.d_round, "start_step": self.t >= p.d_round, "stop_step": self.t < p.d_round}
        opened = p.center_loss and bool(gates[p.center_gate])
        if opened:
            descend(self.of_both, loss_center)
            self.clip()

        with torch.no_grad():
            if p.fresh:
                f, g = D(x), D(G(z))
                lf, lg = naive_assign(f, self.c), naive_assign(g, fake_centers)
            self.c, self.e = naive_means(self.c, f, lf), naive_means(self.e, g, lg)
        self.t += 1
        losses = {"loss_d": loss_d, "loss_g": loss_g, "loss_center": loss_center.detach(), "center_step": opened}
        return {name: float(value) for name, value in losses.items()}


VARIANTS: dict[str, dict[str, Any]] = {
    "default": {}, "mean": {"reduction": "mean"}, "generalized": {"lambda_pair": 5.0},
    "generalized as printed": {"lambda_pair": 0.01, "pair_reduction": "sum"}, "per cluster": {"per_cluster": True},
    "fresh": {"fresh": True}, "own labels": {"fake_labels": "own"},
    "own labels, fresh": {"fake_labels": "own", "fresh": True}, "no center loss": {"center_loss": False},
    "floor": {"d_round": 0.1},
    # a closed gate moves neither weights nor Adam's moments and count, which the steps after it would show
    "start": {"center_gate": "start_step", "d_round": 2}, "stop": {"center_gate": "stop_step", "d_round": 2},
    "clipped": {"clip": 0.05}, "weights clipped": {"clip": 0.05, "clip_scope": "weights"},
    "two generator updates": {"generator_updates": 2, "lambda_pair": 1.0}, "one center": {"k": 1},
    "normal noise": {"z_distribution": "normal"},
}  # fmt: skip


ON_PICTURES = ("default", "generalized", "fresh", "clipped", "weights clipped", "own labels")
RUNS = [("synthetic/kmgan", name, 1e-8) for name in VARIANTS] + [("digits/kmgan", name, 1e-6) for name in ON_PICTURES]


@pytest.mark.parametrize(("preset", "name", "tolerance"), RUNS)
def test_five_steps_are_algorithm_1_by_hand(preset: str, name: str, tolerance: float) -> None:
    method = in_float64(make(preset, **VARIANTS[name]))
    by_hand = ByHand(method)
    near = {"atol": tolerance, "rtol": 0}
    dtype = method.bank.real.dtype
    for x, z in batches(method):
        losses = method.step(x.to(dtype), None, z.to(dtype))
        expected = by_hand.step(x.to(dtype), z.to(dtype))
        assert {name: losses[name].item() for name in expected} == pytest.approx(expected, abs=tolerance)
        torch.testing.assert_close(method.bank.real, by_hand.c, **near)
        torch.testing.assert_close(method.bank.fake, by_hand.e, **near)
    for a, b in ((method.generator_net, by_hand.G), (method.discriminator_net, by_hand.D)):
        for p, q in zip(a.parameters(), b.parameters(), strict=True):
            torch.testing.assert_close(p, q, **near)


@pytest.mark.parametrize("grouping", get_args(KMGAN.Options.model_fields["grouping"].annotation))
def test_generated_features_have_the_label_that_g_was_told_whatever_groups_the_real_ones(grouping: str) -> None:
    method = make("digits/kmgan", grouping=grouping, told=True)
    images, told = to_unit(data("digits/kmgan", 16)), torch.arange(16) % 3
    f = method.D(images)
    real, generated = method._group(f, f, images, images, torch.arange(16) % 2, told)
    assert generated is told
    assert real.shape == told.shape


def test_setup_takes_kmeans_plus_plus_centers_of_features_in_training_mode() -> None:
    method = make(init_images=30)
    images = data("synthetic/kmgan", 60)
    generator = torch.Generator().manual_seed(method.seed)
    chosen = torch.randperm(60, generator=generator)[:30]
    fresh = methods.create(method.preset, seed=1)
    with torch.no_grad():
        features = torch.cat([fresh.discriminator_net(part) for part in (images[chosen][:16], images[chosen][16:])])
    torch.testing.assert_close(method.bank.real, kmeans_plus_plus(features, 3, generator))
    assert torch.equal(method.bank.real, method.bank.fake)


def test_the_floor_compares_the_loss_with_d_round() -> None:
    ((x, z),) = batches(make(), 1)
    loss = make().step(x, None, z)["loss_center"].item()
    opened = [make(d_round=share * loss).step(x, None, z)["center_step"].item() for share in (0.99, 1.0, 1.01)]
    assert opened == [1, 0, 0]


def test_a_closed_gate_is_closed_on_apples_gpus_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their fused Adam takes no notice of `found_inf`."""
    for d_round, steps in ((1e9, 0), (0.0, 1)):
        method, stepped = make(d_round=d_round), []
        monkeypatch.setattr(method.center_optimiser, "step", lambda *_, stepped=stepped: stepped.append(1))
        monkeypatch.setattr(method, "device", SimpleNamespace(type="mps"))
        ((x, z),) = batches(method, 1)
        labels = torch.zeros(len(x), dtype=torch.int64)
        losses = method._center_step(x, None, z, None, labels, labels)
        assert (len(stepped), losses["center_step"].item()) == (steps, steps)


def test_the_bank_follows_the_rule_of_the_preset_and_reclustering_waits_for_its_turn() -> None:
    for rule in get_args(Update):
        assert make(center_update=rule).bank.update_rule == rule
    method = make(center_update="recluster", recluster_every=3)
    method.training_set = data("synthetic/kmgan", 60)
    moved = []
    for done, (x, z) in enumerate(batches(method, 5)):
        before = method.bank.real.clone()
        method.before_step(done)
        method.step(x, None, z)
        moved.append(not torch.equal(before, method.bank.real))
    assert moved == [False, False, False, True, False]


def test_bf16_keeps_features_centers_and_losses_in_float32() -> None:
    method = make("digits/kmgan", precision="bf16")
    ((x, z),) = batches(method, 1)
    losses = method.step(x, None, z)
    assert {v.dtype for v in losses.values()} == {torch.float32}
    assert method.bank.real.dtype == torch.float32
    assert all(torch.isfinite(v) for v in losses.values())
    # Not float32 in name only: numbers that bf16 cannot hold.
    for values in (method.D(x), method.G(z)):
        assert values.dtype == torch.float32
        assert not torch.equal(values, values.bfloat16().float())
