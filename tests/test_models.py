"""Networks and their layers, whose quick forms are those of PyTorch, and whole runs against the plain loop."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import plain_loop
from kmgan_lib import methods, presets
from kmgan_lib.config import Preset
from kmgan_lib.models import build_discriminator, build_generator
from kmgan_lib.models.layers import Down, Up, parameter_count, reestimate_batch_norm, scale_width

from .conftest import in_float64


def maker(build: Callable[..., Any], usual: str, **common: Any) -> Callable[..., Any]:
    """A function that makes a network from fields of a preset."""

    def make(network: str = usual, classes: int = 0, **fields: Any) -> Any:
        return build(Preset(network=network, **{**common, **fields}), classes)

    return make


MnistGenerator, MnistDiscriminator = (maker(build, "mnist") for build in (build_generator, build_discriminator))
SyntheticGenerator, SyntheticDiscriminator = (maker(b, "synthetic") for b in (build_generator, build_discriminator))
ConvGenerator, ConvDiscriminator = (
    maker(build, "celeba", channels=3, image_size=64) for build in (build_generator, build_discriminator)
)


def dense(*sizes: int) -> int:
    return sum(a * b + b for a, b in itertools.pairwise(sizes))


def convs(*channels: int) -> int:
    return sum(5 * 5 * a * b + b for a, b in itertools.pairwise(channels))


# Layers as the tables and the copied DCGAN have them, and twice the channels that batches are normalised in.
SIZES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "mnist G": (MnistGenerator, dense(100, 1024, 6272) + convs(128, 128, 1) + 2 * (1024 + 6272 + 128)),
    "mnist D": (lambda: MnistDiscriminator(head="penultimate", conv_first=64, conv_second=74),
                convs(1, 64, 74) + dense(74 * 49, 1024) + 2 * (74 + 1024)),
    "mnist D of 100 features": (lambda: MnistDiscriminator(head="bn-relu", conv_first=64, conv_second=74),
                                convs(1, 64, 74) + dense(74 * 49, 1024, 100) + 2 * (74 + 1024 + 100)),
    "conditional G": (lambda: MnistGenerator(classes=10), dense(110, 1024) + dense(1034, 6272) + convs(138, 128)
                      + convs(138, 1) + 2 * (1024 + 6272 + 128)),
    "conditional D": (lambda: MnistDiscriminator(head="penultimate", conv_first=11, conv_second=74, classes=10),
                      convs(11, 11) + convs(21, 74) + dense(3626 + 10, 1024) + 2 * (74 + 1024)),
    "table 2 G": (SyntheticGenerator, dense(100, 10, 50, 100) + 2 * (10 + 50 + 100)),
    "table 2 D": (SyntheticDiscriminator, dense(100, 100, 50, 10, 2) + 2 * (100 + 50 + 10)),
    "table 3 G": (lambda: ConvGenerator("cifar10"),
                  dense(100, 8192) + convs(512, 256, 128, 64, 3) + 2 * (512 + 256 + 128 + 64)),
    "table 3 D": (lambda: ConvDiscriminator("cifar10"),
                  convs(3, 64, 128, 256, 512) + dense(8192, 4096, 100) + 2 * (128 + 256 + 512 + 4096 + 100)),
    "32 pixels G": (lambda: ConvGenerator("cifar10", image_size=32),
                    dense(100, 4096) + convs(256, 128, 64, 3) + 2 * (256 + 128 + 64)),
    "32 pixels D": (lambda: ConvDiscriminator("cifar10", image_size=32),
                    convs(3, 64, 128, 256) + dense(4096, 4096, 100) + 2 * (128 + 256 + 4096 + 100)),
    "table 5 G": (lambda: ConvGenerator("celeba"),
                  dense(100, 8192) + convs(512, 256, 128, 128, 3) + 2 * (512 + 256 + 128 + 128)),
    "table 5 D": (lambda: ConvDiscriminator("celeba", head="sigmoid"),
                  convs(3, 64, 128, 256, 512) + dense(8192, 100) + 2 * (64 + 128 + 256 + 512)),
}  # fmt: skip


def test_a_network_has_the_size_of_its_table() -> None:
    with torch.device("meta"):
        for name, (make, expected) in SIZES.items():
            assert parameter_count(make()) == expected, name


def test_table_2_prints_relu_before_batch_normalisation() -> None:
    for net, end in ((SyntheticGenerator(), []), (SyntheticDiscriminator(), [nn.Linear, nn.Sigmoid])):
        assert [type(layer) for layer in net.layers] == [nn.Linear, nn.ReLU, nn.BatchNorm1d] * 3 + end


def networks() -> Iterator[tuple[nn.Module, nn.Module, tuple[int, int, int], int]]:
    """Every kind of G and D for every size, with the shape of an image and the number of classes."""
    for channels, image_size, classes in ((1, 28, 10), (3, 32, 0), (3, 8, 10)):
        size: dict[str, Any] = {"channels": channels, "image_size": image_size, "width": 1 / 8, "classes": classes}
        yield MnistGenerator(z_dim=7, **size), MnistDiscriminator(**size), (channels, image_size, image_size), classes
    for table, (image_size, classes) in itertools.product(("cifar10", "celeba"), ((32, 10), (64, 0))):
        size = {"image_size": image_size, "width": 1 / 8, "classes": classes}
        for head in ("penultimate", "bn-relu", "sigmoid"):
            D = ConvDiscriminator(table, head=head, feature_dim=5, **size)
            yield ConvGenerator(table, z_dim=7, **size), D, (3, image_size, image_size), classes


def test_noise_becomes_pictures_and_features_and_labels_make_a_difference_and_are_missed() -> None:
    for G, D, shape, classes in networks():
        noise, labels = torch.randn(3, 7), torch.tensor([0, 1, 2]) if classes else None
        images = G(noise, labels)
        assert images.shape == (3, *shape)
        assert 0 <= images.min() < images.max() <= 1
        assert D(images, labels).shape == (3, D.feature_dim)
        for net, inputs in ((G, noise), (D, images)) if classes else ():
            assert not torch.allclose(net(inputs, labels), net(inputs, torch.tensor([0, 1, 9])))
            with pytest.raises(ValueError, match="needs labels"):
                net(inputs)


def test_heads_bound_the_features_and_penultimate_ones_take_both_signs() -> None:
    x = torch.rand(16, 1, 28, 28)
    assert MnistDiscriminator(head="bn-relu", width=1 / 8)(x).min() >= 0
    features = MnistDiscriminator(head="sigmoid", width=1 / 8)(x)
    assert 0 <= features.min() < features.max() <= 1
    net = MnistDiscriminator(head="penultimate", feature_dim=7, width=1 / 8)
    features = net(x)
    assert features.shape == (16, 128) == (16, net.feature_dim)
    assert features.min() < 0 < features.max()


def test_width_scales_channels_to_multiples_of_eight_but_never_at_one() -> None:
    given = {(11, 1): 11, (74, 1): 74, (1024, 1 / 8): 128, (74, 1 / 8): 8, (74, 0.5): 40, (11, 1 / 8): 8, (100, 2): 200}
    assert {(channels, width): scale_width(channels, width) for channels, width in given} == given


def test_weights_begin_as_in_dcgan_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    for net in (MnistGenerator(width=0.5), MnistDiscriminator(width=0.5)):
        for layer in net.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                assert layer.bias is not None
                assert not layer.bias.any()
                # A normal truncated at two deviations keeps 0.88 of its deviation.
                bound, expected = (0.04, 0.02 * 0.88) if isinstance(layer, nn.Conv2d) else (1, 0.02)
                assert layer.weight.abs().max() <= bound
                assert layer.weight.numel() <= 10_000 or layer.weight.std().item() == pytest.approx(expected, rel=0.05)


def test_reestimated_batch_norm_has_the_plain_averages_of_the_batches() -> None:
    norm = nn.BatchNorm1d(3, momentum=0.1)
    net = nn.Sequential(nn.Linear(2, 3), norm)
    net(torch.full((4, 2), 1e3))  # statistics to be forgotten
    batches = [torch.randn(8, 2) + i for i in range(5)]
    weights = [p.clone() for p in net.parameters()]
    reestimate_batch_norm(net, lambda i: net(batches[i]), 5)
    with torch.no_grad():
        before = [net[0](x) for x in batches]
    assert norm.running_mean is not None
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean(0) for x in before]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([x.var(0) for x in before]).mean(0))
    assert norm.momentum == 0.1
    assert not net.training
    assert all(map(torch.equal, weights, net.parameters()))


def test_the_signed_range_of_table_5_stays_inside_its_networks() -> None:
    generator, discriminator = ConvGenerator("celeba", width=1 / 8).eval(), ConvDiscriminator("celeba", width=1 / 8)
    generator.ups[-1].register_forward_hook(lambda *_: torch.tensor([-50.0, 0.0, 50.0]))
    assert generator(torch.zeros(1, 100)).tolist() == [0, 0.5, 1]
    seen = []
    discriminator.downs[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    discriminator(torch.full((2, 3, 64, 64), 0.25))
    assert torch.equal(seen[0], torch.full((2, 3, 64, 64), -0.5))


def with_maps(x: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    if not classes:
        return x
    assert labels is not None
    hot = F.one_hot(labels, classes).to(x.dtype)
    return torch.cat([x, hot[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1)


def gradients(y: Tensor, *of: Any) -> list[Tensor]:
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    return list(torch.autograd.grad((y * weights).sum(), of))


LAYOUTS = (torch.contiguous_format, torch.channels_last)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize(("before", "after"), [(6, 1), (6, 3), (2, 9)])
@pytest.mark.parametrize("kind", [Up, Down])
def test_convolutions_are_pytorchs(kind: type, before: int, after: int, classes: int, layout: Any) -> None:
    torch.manual_seed(0)
    before, after = (before, after) if kind is Up else (after, before)
    layer = kind(before, after, classes).double().to(memory_format=layout)
    x = torch.randn(5, before, 6, 8, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    labels = torch.tensor([0, 2, 1, 2, 0]) if classes else None
    joined = with_maps(x, labels, classes)
    original: Any = nn.ConvTranspose2d.forward if kind is Up else nn.Conv2d.forward
    expected, y = original(layer, joined), layer(x, labels)
    torch.testing.assert_close(y, expected)
    for a, b in zip(*(gradients(z, x, layer.weight, layer.bias) for z in (y, expected)), strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(layer(x.detach(), labels), expected)


PAIRS = [
    ("mnist/dcgan-carpedm20", {}, {"generator_maps": (16, 16), "discriminator_maps": (8, 8), "hidden": 128}),
    (
        "cifar10-32/dcgan-table3", {"feature_dim": 12, "generator_updates": 1},
        {
            "network": "cifar10", "classes": 0, "channels": 3, "image_size": 32, "generator_maps": (32, 16, 8),
            "discriminator_maps": (8, 16, 32), "hidden": 512, "feature_dim": 12,
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "settings"), PAIRS, ids=["mnist", "cifar10-32"])
def test_twenty_iterations_are_the_plain_loops(name: str, changes: dict[str, Any], settings: dict[str, Any]) -> None:
    """In double precision, since float32 rounding alone, in any other order of sums, grows fast."""
    torch.manual_seed(0)
    method: Any = methods.create(presets.resolve(name, "paper", width=0.125, batch=16, **changes))
    p, shape = method.preset, (method.preset.channels, method.preset.image_size, method.preset.image_size)
    plain = plain_loop.Settings(z_dim=p.z_dim, batch=16, generator_updates=p.generator_updates, **settings)
    loop = plain_loop.PlainLoop(plain, torch.zeros(16, *shape).byte().numpy(), torch.zeros(16).long().numpy())
    in_float64(method)
    for net in (loop.G, loop.D):
        net.double()
    d = nn.ModuleList([method.discriminator_net, method.logit])
    for net, theirs in ((method.generator_net, loop.G), (d, loop.D)):
        for kind in ((nn.Linear, nn.Conv2d, nn.ConvTranspose2d), (nn.BatchNorm1d, nn.BatchNorm2d)):
            mine, plains = ([m for m in n.modules() if isinstance(m, kind)] for n in (net, theirs))
            for a, b in zip(mine, plains, strict=True):
                b.load_state_dict(a.state_dict())
    before, generator = torch.get_default_dtype(), torch.Generator().manual_seed(0)
    torch.set_default_dtype(torch.float64)
    try:
        for _ in range(20):
            images, labels = torch.rand(16, *shape, generator=generator), torch.randint(10, (16,), generator=generator)
            noise = torch.rand(16, p.z_dim, generator=generator) * 2 - 1
            losses, expected = method.step(images, labels, noise), loop.step(images, labels, noise)
            assert [float(losses[key]) for key in ("loss_d", "loss_g")] == pytest.approx(list(expected), rel=1e-8)
    finally:
        torch.set_default_dtype(before)
