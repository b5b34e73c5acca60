from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kmgan_lib import methods, presets
from kmgan_lib.methods.dcgan import DCGAN

SIZES: dict[str, Any] = {
    "width": 0.125, "batch": 8, "z_dim": 12, "head": "penultimate", "conv_first": 8, "conv_second": 8,
    "learning_rate": 1e-3, "beta1": 0.5, "beta2": 0.999,
}  # fmt: skip


def make(name: str = "digits/dcgan", *, conditional: bool = False, generator_updates: int = 2, **changes: Any) -> DCGAN:
    options = {**SIZES, "conditional": conditional, "generator_updates": generator_updates, **changes}
    if name.startswith("synthetic"):
        options["head"] = "sigmoid"
    method = methods.create(presets.resolve(name, "smoke", **options), seed=1)
    assert isinstance(method, DCGAN)
    return method


def batch(seed: int = 0, name: str = "digits") -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand((8, 1, 28, 28) if name == "digits" else (8, 100), generator=generator)
    return images, torch.randint(10, (8,), generator=generator), torch.rand(8, 12, generator=generator) * 2 - 1


def logits(method: DCGAN, images: Tensor, labels: Tensor) -> Tensor:
    """The head by hand: one linear unit on the features and, if conditional, on the one-hot label."""
    features = method.discriminator_net(images, labels if method.classes else None)
    if method.classes:
        features = torch.cat([features, torch.eye(10)[labels]], 1)
    return (features @ method.logit.weight.T + method.logit.bias).squeeze(1)


@pytest.mark.parametrize("conditional", [False, True])
def test_losses_are_binary_cross_entropies(conditional: bool) -> None:
    method = make(conditional=conditional, generator_updates=1)
    images, labels, noise = batch()
    before = copy.deepcopy(method)
    losses = method.step(images, labels, noise)
    with torch.no_grad():
        fake = before.G(noise, labels)
        real_logits, fake_logits = logits(before, images, labels), logits(before, fake, labels)
        ones, zeros = torch.ones(8), torch.zeros(8)
        loss_d = F.binary_cross_entropy_with_logits(real_logits, ones)
        loss_d = loss_d + F.binary_cross_entropy_with_logits(fake_logits, zeros)
        # G's loss is seen by the updated D
        loss_g = F.binary_cross_entropy_with_logits(logits(method, fake, labels), ones)
    torch.testing.assert_close(losses["loss_d"], loss_d)
    torch.testing.assert_close(losses["loss_g"], loss_g)
    torch.testing.assert_close(losses["real_probability"], real_logits.sigmoid().mean())
    torch.testing.assert_close(losses["fake_probability"], fake_logits.sigmoid().mean())


@pytest.mark.parametrize("updates", [1, 2])
def test_step_is_dcgan_by_hand(updates: int) -> None:
    method = make("synthetic/dcgan", generator_updates=updates)
    net = copy.deepcopy(method)
    d = [*net.discriminator_net.parameters(), *net.logit.parameters()]
    g = list(net.generator_net.parameters())
    adam_d, adam_g = (torch.optim.Adam(p, lr=1e-3, betas=(0.5, 0.999), foreach=False) for p in (d, g))
    for seed in range(4):
        images, labels, noise = batch(seed, "synthetic")
        losses = method.step(images, None, noise)
        real, fake = logits(net, images, labels), logits(net, net.generator_net(noise).detach(), labels)
        loss_d = -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean()
        for p, gradient in zip(d, torch.autograd.grad(loss_d, d), strict=True):
            p.grad = gradient
        adam_d.step()
        loss_g = torch.zeros(())
        for _ in range(updates):
            loss_g = -F.logsigmoid(logits(net, net.generator_net(noise), labels)).mean()
            for p, gradient in zip(g, torch.autograd.grad(loss_g, g), strict=True):
                p.grad = gradient
            adam_g.step()
        torch.testing.assert_close(losses["loss_d"], loss_d.detach(), atol=1e-5, rtol=0)
        torch.testing.assert_close(losses["loss_g"], loss_g.detach(), atol=1e-5, rtol=0)
    for name, module in method.networks().items():
        for a, b in zip(module.parameters(), net.networks()[name].parameters(), strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def after_one_step(labels: Tensor | None, conditional: bool) -> Tensor:
    method = make(conditional=conditional)
    images, right, noise = batch()
    method.step(images, right if labels is None else labels, noise)
    return torch.cat([p.detach().flatten() for net in method.networks().values() for p in net.parameters()])


def test_conditional_learns_from_labels_and_unconditional_never_looks_at_them() -> None:
    other = (batch()[1] + 1) % 10
    assert not torch.equal(after_one_step(None, True), after_one_step(other, True))
    assert torch.equal(after_one_step(None, False), after_one_step(torch.full((8,), -(10**9)), False))
