"""One step of each compared method written a second time, slowly."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kmgan_lib import methods, presets
from kmgan_lib.centers import share_between
from kmgan_lib.data.images import content_keys
from kmgan_lib.generator import Generator
from kmgan_lib.methods.base import draw_noise
from kmgan_lib.methods.improved_gan import MinibatchDiscrimination
from kmgan_lib.methods.parts import Dropout
from kmgan_lib.methods.wgan import MixtureGenerator

from ..conftest import in_float64, same_weights
from ..test_centers import naive_assign, naive_means, naive_pairs
from .test_kmgan import descend

BATCH = 6
ByHand = Callable[[Any, Tensor, Tensor], tuple[Tensor, Tensor]]  # a method, images and noise to both losses


def make(name: str, **changes: Any) -> Any:
    settings = {"width": 0.125, "batch": BATCH, "z_dim": 9, "feature_dim": 7, "learning_rate": 1e-3, **changes}
    return methods.create(presets.resolve(f"digits/{name}", "smoke", **settings), seed=1)


def batch(method: Any, count: int = 1) -> tuple[Tensor, Tensor]:
    n, generator = BATCH * count, torch.Generator().manual_seed(5)
    return torch.rand(n, 1, 28, 28, generator=generator), draw_noise(method.preset, n, generator)


def real_or_generated(real: Tensor, generated: Tensor) -> Tensor:
    """Binary cross-entropies of logits, those of ones and of zeros."""
    return -(F.logsigmoid(real) + F.logsigmoid(-generated)).mean()


def some_images(count: int = 30) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(256, (count, 1, 28, 28), generator=generator).byte()


def mbgan(of: Any, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Triplets on the sphere with a margin by the data, or of features as they come, whose distance counts twice."""
    sphere, fake = of.preset.embedding == "sphere", of.G(z)
    f, g = (F.normalize(of.D(images)) if sphere else of.D(images) for images in (x, fake))
    real, generated = f - f.roll(1, 0), f - g
    real, generated = (d.square().sum(1) if sphere else d.abs().mean(1) for d in (real, generated))
    margins = (x - fake).abs().mean((1, 2, 3))
    if not sphere:
        return (real + F.relu(margins + real - generated)).mean(), generated.mean()
    return F.relu(margins / margins.mean() / 2 + real - generated).mean(), generated.mean()


def mlgan(of: Any, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Eq. (7) without centers, by unordered pairs on the sphere: half the energy distance, for which both play."""
    f, g = F.normalize(of.D(x)), F.normalize(of.D(of.G(z)))
    difference = (F.pdist(f, 1).mean() + F.pdist(g, 1).mean()) / 2 - naive_pairs(f, g, "mean")
    return difference, -difference


def ordered_mlgan(of: Any, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    f, g, how = of.D(x), of.D(of.G(z)), of.preset.pair_reduction
    inter = naive_pairs(f, g, how)
    return naive_pairs(f, f, how) + naive_pairs(g, g, how) - inter, inter


def ali(of: Any, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs of image and code are told apart."""
    mean, log_deviation = of.encoder(x).chunk(2, 1)
    codes = mean + log_deviation.exp() * torch.randn(mean.shape, generator=torch.Generator().manual_seed(1))
    encoded, generated = of.joint(of.D(x), codes), of.joint(of.D(of.G(z)), z)
    return real_or_generated(encoded, generated), real_or_generated(generated, encoded)


def improved_gan(of: Any, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Both play for the logarithm, on noisy images."""
    rng = torch.Generator().manual_seed(1)
    noisy = (images + 0.2 * torch.randn(x.shape, generator=rng) for images in (x, of.G(z), of.G(z)))
    real, generated, for_g = (of.logit(of.minibatch(of.D(images))) for images in noisy)
    return real_or_generated(real, generated), -F.logsigmoid(for_g).mean()


def matching(of: Any, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    real, generated = of.minibatch(of.D(x)), of.minibatch(of.D(of.G(z)))
    return real_or_generated(of.logit(real), of.logit(generated)), F.l1_loss(generated.mean(0), real.mean(0))


def wgan_gp(of: Any, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """The penalty is of slopes that are not 1."""
    u, fake = torch.rand(BATCH, generator=torch.Generator().manual_seed(1)), of.G(z).detach()
    between = torch.lerp(fake, x, u.view(-1, 1, 1, 1)).requires_grad_()
    (slopes,) = torch.autograd.grad(of.critic(of.D(between)).sum(), between)
    real, generated = of.critic(of.D(x)).mean(), of.critic(of.D(fake)).mean()
    return generated - real + 3 * (slopes.flatten(1).norm(dim=1) - 1).square().mean(), -generated


def mix_wgan(of: Any, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Every generator plays against every critic."""
    w, v = of.generator_net.logits.softmax(0), of.critic_logits.softmax(0)
    real = generated = torch.zeros(())
    for i, G in enumerate(of.generator_net.components):
        for j, D in enumerate(of.discriminator_net.components):
            values = [D(image) @ of.critic.weight[j] + of.critic.bias[j] for image in (x, G(z[:, 1:]))]
            real, generated = (s + w[i] * v[j] * y.mean() for s, y in zip((real, generated), values, strict=True))
    return -0.1 * v.log().mean() - real + generated, -0.1 * w.log().mean() - generated


KERNELS = {"kernels": 3, "kernel_dim": 2}
ONCE = {"critic_updates": 1, "burst": 1}
# Presets, changes, losses, and the bound on D's parameters that a step keeps
BY_HAND: list[tuple[str, dict[str, Any], ByHand, float | None]] = [
    ("mbgan", {}, mbgan, None), ("mbgan-free", {}, mbgan, None), ("mlgan", {"clip": 1e300}, mlgan, None),
    ("mlgan-ordered", {"pair_reduction": "sum", "clip": 0.05}, ordered_mlgan, 0.05),
    ("mlgan-ordered", {"pair_reduction": "mean", "clip": 0.05}, ordered_mlgan, 0.05),
    ("ali", {"dropout": 0.0}, ali, None),
    ("improved_gan", {**KERNELS, "dropout": 0.0, "generator_updates": 1}, improved_gan, None),
    ("improved_gan-matching", KERNELS, matching, None),
    ("wgan_gp", {**ONCE, "penalty": 3.0}, wgan_gp, None),
    ("mix_wgan", {**ONCE, "components": 3}, mix_wgan, 0.01 * 8**0.5),  # an eighth of the width
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "by_hand", "bound"), BY_HAND)
def test_losses_are_those_by_hand(name: str, changes: dict[str, Any], by_hand: ByHand, bound: float | None) -> None:
    """D's by the networks before the step, G's by the D after it; and the step moves every parameter."""
    method = make(name, **changes)
    if name == "mix_wgan":
        method.generator_net.logits.data.copy_(torch.tensor([0.0, 1.0, -1.0]))
        method.critic_logits.data.copy_(torch.tensor([2.0, 0.0, 0.2]))  # beyond what is clipped
    before, between = copy.deepcopy(method), copy.deepcopy(method)
    images, noise = batch(method)
    losses = method.step(images, None, noise)
    of_d = (of.discriminator_optimiser.param_groups[0]["params"] for of in (between, method))
    for old, new in zip(*of_d, strict=True):
        old.data = new.data
    loss_d, loss_g = by_hand(before, images, noise)[0], by_hand(between, images, noise)[1]
    near: dict[str, Any] = {"rtol": 1e-4, "atol": {"mlgan": 1e-4, "mix_wgan": 1e-5}.get(method.name, 1e-6)}
    torch.testing.assert_close(losses["loss_d"], loss_d.detach(), **near)
    torch.testing.assert_close(losses["loss_g"], loss_g.detach(), **near)
    parameters = zip(method.named_parameters(), before.parameters(), strict=True)
    still = [key for (key, new), old in parameters if new.requires_grad and torch.equal(new, old)]
    assert still == ["critic.bias"] * (name == "wgan_gp")  # it cancels
    heads = [method.critic] if "wgan" in name else []
    largest = max(p.abs().max() for net in (method.discriminator_net, *heads) for p in net.parameters())
    assert largest <= bound if bound else largest > 0.03  # nothing is clipped
    assert name != "mix_wgan" or 1.5 < method.critic_logits[0] < 2  # the regulariser pulls the weights together


def test_minibatch_discrimination_sums_over_the_others() -> None:
    layer = MinibatchDiscrimination(3, kernels=2, kernel_dim=4)
    features = torch.randn(5, 3)
    with torch.no_grad():
        out, rows = layer(features), (features @ layer.tensor).view(5, 2, 4)
    closeness = (-(rows[:, None] - rows).abs().sum(3)).exp()
    others = closeness[~torch.eye(5, dtype=torch.bool)].view(5, 4, 2)
    torch.testing.assert_close(out, torch.cat([features, others.mean(1)], 1), rtol=1e-4, atol=1e-5)
    assert torch.equal(out[:, :3], features)


def test_improved_gan_updates_g_three_times() -> None:
    method = make("improved_gan")
    images, noise = batch(method)
    method.step(images, None, noise)
    for optimiser, updates in ((method.generator_optimiser, 3), (method.discriminator_optimiser, 1)):
        assert {int(state["step"]) for state in optimiser.state.values()} == {updates}


@pytest.mark.parametrize("name", ["improved_gan", "ali"])
def test_a_first_batch_sets_gains_so_that_every_layer_of_a_narrow_d_has_outputs_of_variance_1(name: str) -> None:
    method = make(name, dropout=0.0)
    images = some_images(64)
    method.setup(images)
    outputs = []
    for layer in (method.discriminator_net.conv1, method.discriminator_net.conv2, method.discriminator_net.fc):
        layer.register_forward_hook(lambda layer, _, y: outputs.append(y.transpose(0, 1).flatten(1)))
    with torch.no_grad():
        method.discriminator_net(images.float() / 255)
    assert len(outputs) == 3
    for y in outputs:
        torch.testing.assert_close(y.mean(1), torch.zeros(len(y)), atol=1e-3, rtol=0)
        torch.testing.assert_close(y.std(1), torch.ones(len(y)), atol=1e-2, rtol=0)


def test_dropout_drops_the_share_it_says_keeps_the_mean_and_stops_for_measures() -> None:
    layer = Dropout(0.25)
    ones = torch.ones(200, 100)
    assert torch.equal(layer(ones), ones)  # no generator yet
    layer.rng = torch.Generator().manual_seed(0)
    out = layer(ones)
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (out == 0).float().mean() == pytest.approx(0.25, abs=0.02)
    assert not torch.equal(out, layer(ones))
    assert torch.equal(layer.eval()(ones), ones)


def test_wgan_step_is_two_clipped_critic_updates_and_one_of_g_by_hand() -> None:
    # In float32 RMSprop would divide the rounding of a gradient that is zero by itself.
    method = in_float64(make("wgan", burst=2, critic_updates=2, clip=0.02))
    by_hand = copy.deepcopy(method)
    images, noise = (part.double() for part in batch(method, method.batches_per_step(0)))
    losses = method.step(images, None, noise)
    net, critic, G = by_hand.discriminator_net, by_hand.critic, by_hand.generator_net
    d, g = [*net.parameters(), *critic.parameters()], list(G.parameters())
    rms_d, rms_g = (torch.optim.RMSprop(parameters, lr=1e-3) for parameters in (d, g))
    loss, bound = torch.zeros(()), 0.02 * 8**0.5  # an eighth of the width
    for x, z in zip(images.split(BATCH), noise.split(BATCH), strict=True):
        loss = descend(rms_d, critic(net(G(z).detach())).mean() - critic(net(x)).mean())
        for p in d:
            p.data = p.data.clamp(-bound, bound)
    torch.testing.assert_close(losses["loss_d"], loss)
    torch.testing.assert_close(losses["loss_g"], descend(rms_g, -critic(net(G(noise[-BATCH:]))).mean()))
    assert all(p.abs().max() <= bound for p in d)
    trained = [p for p in method.parameters() if p.requires_grad]
    for ours, theirs in zip(trained, [*g, *d], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", ["dcgan", "wgan"])
def test_initial_weights_keep_the_spread_of_full_width(name: str) -> None:
    """Of D's last unit, where nothing normalises; without it the narrow D's would be a fraction."""
    images = torch.rand(32, 1, 28, 28, generator=torch.Generator().manual_seed(0))

    def spread(width: float, **changes: Any) -> float:
        method = make(name, width=width, norm="none", conditional=False, **changes)
        with torch.no_grad():
            return float((method.critic if name == "wgan" else method.logit)(method.D(images)).std())

    full = spread(1.0)
    assert full / 3 < spread(0.125) < 3 * full
    assert spread(0.125, initial_scale="printed") < full / 3


def test_no_batch_is_normalised_in_a_fully_connected_layer_of_a_d_that_tells_real_from_generated() -> None:
    for name in ("dcgan", "wgan", "wgan_gp", "sngan", "mlgan", "mbgan", "improved_gan", "ali"):
        for group in ("digits", "cifar10-32", "celeba"):
            preset = presets.resolve(f"{group}/{name}", "smoke", batch=8, width=0.125)
            with torch.device("meta"):
                layers = methods.method(preset.method).make_discriminator(preset).modules()
            assert not any(isinstance(layer, torch.nn.BatchNorm1d) for layer in layers), preset.name


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_a_mixture_is_sampled_by_its_weights_and_is_a_function_of_the_noise(distribution: str) -> None:
    method = make("mix_wgan", components=3, z_distribution=distribution)
    net = method.generator_net
    assert isinstance(net, MixtureGenerator)
    with torch.no_grad():
        net.logits.copy_(torch.tensor([0.5, 0.3, 0.2]).log())
    noise = draw_noise(method.preset, 20_000, torch.Generator().manual_seed(0))
    shares = net.pick(noise).bincount(minlength=3) / len(noise)
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.3, 0.2]), atol=0.015, rtol=0)
    generator = Generator(method.eval_generator(averaged=False), method.preset)
    samples = generator.sample(9, seed=4)
    assert torch.equal(samples, generator.sample(9, seed=4))
    z = generator.noise(9, seed=4)
    frozen: Any = generator.net
    for i, member in enumerate(frozen.pick(z).tolist()):
        alone = frozen.components[member](z[i : i + 1, 1:])
        torch.testing.assert_close(samples[i : i + 1], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("repulsion", "targets"), [(False, "generated"), (True, "generated"), (True, "real")])
def test_reduced_step_is_algorithm_2_by_hand(repulsion: bool, targets: str) -> None:
    method = make("reduced", k=3, repulsion=repulsion, fake_targets=targets)
    method.setup(some_images())
    by_hand = copy.deepcopy(method)
    images, noise = batch(method)
    losses = method.step(images, None, noise)
    D, G, c, e = by_hand.discriminator_net, by_hand.generator_net, by_hand.bank.real, by_hand.bank.fake
    d, g = list(D.parameters()), list(G.parameters())
    adam = functools.partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999), foreach=False)
    fake = G(noise)
    lx, lg = naive_assign(images.flatten(1), c), naive_assign(fake.flatten(1), c)
    real_centers = naive_means(c, images.flatten(1), lx).view(3, 1, 28, 28)
    fake_centers = naive_means(e, fake.flatten(1), lg).view(3, 1, 28, 28)
    expected = {"loss_center": descend(adam([*d, *g]), (D(real_centers) - D(fake_centers)).abs().sum())}
    fake, fake_centers = fake.detach(), fake_centers.detach()
    wanted = real_centers if targets == "real" else fake_centers
    loss = torch.linalg.matrix_norm(D(images) - D(real_centers)[lx], "fro")
    if repulsion:
        loss = loss - torch.linalg.matrix_norm(D(fake) - D(wanted)[lg], "fro")
    expected["loss_d"] = descend(adam(d), loss)
    loss = torch.linalg.matrix_norm(D(G(noise)) - D(wanted)[lg].detach(), "fro")
    expected["loss_g"] = descend(adam(g), loss)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(method.bank.real, real_centers.flatten(1))
    torch.testing.assert_close(method.bank.fake, fake_centers.flatten(1))


def test_each_grouping_labels_by_what_it_says() -> None:
    labels = torch.tensor([3, 3, 1, 0, 9, 1])
    banks, made = {}, {}
    for grouping in ("true", "random", "nearest", "pixels", "partition"):
        method = make("kmgan", grouping=grouping)
        method.setup(some_images())
        seen: list[tuple[Tensor, Tensor]] = []
        method.bank.update = lambda f, g, lf, lg, seen=seen: seen.append((lf, lg))
        images, noise = batch(method)
        method.step(images, labels, noise)
        method.step(images, labels, noise)
        banks[grouping], made[grouping] = seen, method
    assert all(torch.equal(real, labels) for real, _ in banks["true"])
    (one, _), (two, fake) = banks["random"]
    assert not torch.equal(one, two)
    assert not torch.equal(two, fake)
    assert not torch.equal(banks["nearest"][0][0], labels)
    centers = made["pixels"].pixel_centers
    by_pixels = naive_assign(images.flatten(1), centers)
    assert all(torch.equal(real, by_pixels) for real, _ in banks["pixels"])
    assert torch.equal(banks["partition"][0][0], content_keys(images) % 10)
    images = torch.rand(3000, 784, generator=torch.Generator().manual_seed(0))
    keys, order = content_keys(images), torch.randperm(3000)
    assert torch.equal(content_keys(images[order]), keys[order])  # the same image, the same label
    assert all(230 < count < 370 for count in (keys % 10).bincount(minlength=10))


@pytest.mark.parametrize("moved", ["reduced", "both", "discriminator", "generator"])
def test_the_center_step_moves_the_networks_that_it_says(moved: str) -> None:
    method = make("reduced", k=3) if moved == "reduced" else make("kmgan", k=3, center_moves=moved)
    method.setup(some_images())
    method.discriminator_optimiser.step = method.generator_optimiser.step = lambda: None
    before = copy.deepcopy(method)
    images, noise = batch(method)
    method.step(images, None, noise)
    changed = {name for name, net in before.named_children() if not same_weights(net, getattr(method, name))}
    both = {"discriminator_net", "generator_net"}
    assert changed == ({f"{moved}_net"} if f"{moved}_net" in both else both)


def test_a_g_that_is_told_its_cluster_is_pulled_to_that_center() -> None:
    method = make("kmgan", told=True, grouping="true", k=10)
    method.setup(some_images())
    told = torch.randint(10, (BATCH,), generator=torch.Generator().manual_seed(1))
    before = copy.deepcopy(method)
    images, noise = batch(method)
    losses = method.step(images, torch.arange(BATCH), noise)
    with torch.no_grad():
        f, g = before.D(images), before.D(before.G(noise, told))
        c = before.bank.real
        loss = torch.linalg.matrix_norm(f - c[:BATCH], "fro") - torch.linalg.matrix_norm(g - c[told], "fro")
    torch.testing.assert_close(losses["loss_d"], loss, rtol=1e-4, atol=1e-4)
    assert Generator(method.eval_generator(), method.preset).classes == 10


def test_share_between_clusters_is_that_of_the_variance() -> None:
    features, labels = torch.randn(20, 3, dtype=torch.float64), torch.arange(20) % 4
    within = sum(((features[labels == m] - features[labels == m].mean(0)) ** 2).sum() for m in range(4))
    total = ((features - features.mean(0)) ** 2).sum()
    torch.testing.assert_close(share_between(features, labels, 4), 1 - within / total)
    assert share_between(features, torch.zeros(20, dtype=torch.int64), 1) == pytest.approx(0, abs=1e-12)
    equal = torch.full((256, 100), 0.1)
    assert 0 <= share_between(equal, torch.arange(256) % 4, 4) < 0.01  # and not what rounding makes of 0 / 0
