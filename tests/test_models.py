import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from kmgan_lib.models import (
    ConvDiscriminator,
    ConvGenerator,
    MnistDiscriminator,
    MnistGenerator,
    SyntheticDiscriminator,
    SyntheticGenerator,
    parameter_count,
)
from kmgan_lib.models.layers import reestimate_batch_norm, scale_width


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def conv(inputs: int, outputs: int) -> int:
    return 5 * 5 * inputs * outputs + outputs


def dense(*sizes: int) -> int:
    return sum(linear(a, b) for a, b in itertools.pairwise(sizes))


def convs(*channels: int) -> int:
    return sum(conv(a, b) for a, b in itertools.pairwise(channels))


# Layers as the tables and the copied DCGAN have them, and twice the channels that batches are normalised in.
SIZES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "mnist G": (MnistGenerator, dense(100, 1024, 6272) + convs(128, 128, 1) + 2 * (1024 + 6272 + 128)),
    "mnist D": (lambda: MnistDiscriminator(head="penultimate", conv_channels=(64, 74)),
                convs(1, 64, 74) + linear(74 * 49, 1024) + 2 * (74 + 1024)),
    "conditional G": (lambda: MnistGenerator(classes=10), linear(110, 1024) + linear(1034, 6272) + conv(138, 128)
                      + conv(138, 1) + 2 * (1024 + 6272 + 128)),
    "conditional D": (lambda: MnistDiscriminator(head="penultimate", conv_channels=(11, 74), classes=10),
                      conv(11, 11) + conv(21, 74) + linear(3626 + 10, 1024) + 2 * (74 + 1024)),
    "table 2 G": (SyntheticGenerator, dense(100, 10, 50, 100) + 2 * (10 + 50 + 100)),
    "table 2 D": (SyntheticDiscriminator, dense(100, 100, 50, 10, 2) + 2 * (100 + 50 + 10)),
    "table 3 G": (lambda: ConvGenerator("cifar10"),
                  linear(100, 8192) + convs(512, 256, 128, 64, 3) + 2 * (512 + 256 + 128 + 64)),
    "table 3 D": (lambda: ConvDiscriminator("cifar10"),
                  convs(3, 64, 128, 256, 512) + dense(8192, 4096, 100) + 2 * (128 + 256 + 512 + 4096 + 100)),
    "32 pixels G": (lambda: ConvGenerator("cifar10", image_size=32),
                    linear(100, 4096) + convs(256, 128, 64, 3) + 2 * (256 + 128 + 64)),
    "32 pixels D": (lambda: ConvDiscriminator("cifar10", image_size=32),
                    convs(3, 64, 128, 256) + dense(4096, 4096, 100) + 2 * (128 + 256 + 4096 + 100)),
    "table 5 G": (lambda: ConvGenerator("celeba"),
                  linear(100, 8192) + convs(512, 256, 128, 128, 3) + 2 * (512 + 256 + 128 + 128)),
    "table 5 D": (lambda: ConvDiscriminator("celeba", head="sigmoid"),
                  convs(3, 64, 128, 256, 512) + linear(8192, 100) + 2 * (64 + 128 + 256 + 512)),
}  # fmt: skip


def test_a_network_has_the_size_of_its_table() -> None:
    with torch.device("meta"):
        for name, (make, expected) in SIZES.items():
            assert parameter_count(make()) == expected, name


def test_feature_heads_add_one_layer_to_the_penultimate_one() -> None:
    plain, relu, sigmoid = (
        parameter_count(MnistDiscriminator(head=head, feature_dim=100))
        for head in ("penultimate", "bn-relu", "sigmoid")
    )
    assert (relu - plain, sigmoid - plain) == (linear(1024, 100) + 200, linear(1024, 100))


def test_table_2_prints_relu_before_batch_normalisation() -> None:
    kinds = [type(layer) for layer in SyntheticGenerator().layers]
    assert kinds == [nn.Linear, nn.ReLU, nn.BatchNorm1d] * 3
    kinds = [type(layer) for layer in SyntheticDiscriminator().layers]
    assert kinds == [nn.Linear, nn.ReLU, nn.BatchNorm1d] * 3 + [nn.Linear, nn.Sigmoid]


@pytest.mark.parametrize(("channels", "image_size", "width"), [(1, 28, 0.5), (3, 32, 1 / 8), (3, 8, 1 / 8)])
def test_pictures_go_in_and_out_in_every_size(channels: int, image_size: int, width: float) -> None:
    size = {"channels": channels, "image_size": image_size, "width": width}
    images = MnistGenerator(z_dim=7, **size)(torch.randn(3, 7))
    assert images.shape == (3, channels, image_size, image_size)
    assert 0 <= images.min() <= images.max() <= 1
    net = MnistDiscriminator(feature_dim=5, **size)
    assert net(images).shape == (3, 5) == (3, net.feature_dim)


def test_heads_bound_the_features_and_penultimate_ones_take_both_signs() -> None:
    x = torch.rand(16, 1, 28, 28)
    assert MnistDiscriminator(head="bn-relu", width=1 / 8)(x).min() >= 0
    features = MnistDiscriminator(head="sigmoid", width=1 / 8)(x)
    assert 0 <= features.min() < features.max() <= 1
    net = MnistDiscriminator(head="penultimate", feature_dim=7, width=1 / 8)
    features = net(x)
    assert features.shape == (16, 128) == (16, net.feature_dim)
    assert features.min() < 0 < features.max()


def test_synthetic_networks_map_noise_to_points_to_two_features() -> None:
    x = SyntheticGenerator(z_dim=6, width=2)(torch.randn(5, 6))
    assert x.shape == (5, 100)
    features = SyntheticDiscriminator(width=2)(x)
    assert features.shape == (5, 2)
    assert 0 < features.min() <= features.max() < 1


def test_width_scales_channels_to_multiples_of_eight_but_never_at_one() -> None:
    given = {(11, 1): 11, (74, 1): 74, (1024, 1 / 8): 128, (74, 1 / 8): 8, (74, 0.5): 40, (11, 1 / 8): 8, (100, 2): 200}
    for (channels, width), expected in given.items():
        assert scale_width(channels, width) == expected


@pytest.mark.parametrize("net", [MnistGenerator(width=1 / 8, classes=10), MnistDiscriminator(width=1 / 8, classes=10)])
def test_conditional_networks_depend_on_labels_and_need_them(net: nn.Module) -> None:
    inputs = torch.rand(4, 100) if isinstance(net, MnistGenerator) else torch.rand(4, 1, 28, 28)
    with torch.no_grad():
        one, two = (net(inputs, torch.tensor(labels)) for labels in ([0, 1, 2, 3], [0, 1, 2, 9]))
    assert not torch.allclose(one, two)
    with pytest.raises(ValueError, match="needs labels"):
        net(inputs)


def test_weights_begin_as_in_dcgan_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    for net in (MnistGenerator(width=0.5), MnistDiscriminator(width=0.5)):
        for layer in net.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                assert layer.bias is not None
                assert not layer.bias.any()
                bound = 0.04 if isinstance(layer, nn.Conv2d) else 1.0
                assert layer.weight.abs().max() <= bound
                if layer.weight.numel() > 10_000:
                    # A normal truncated at two deviations keeps 0.88 of its deviation.
                    expected = 0.02 * (0.88 if isinstance(layer, nn.Conv2d) else 1)
                    assert layer.weight.std().item() == pytest.approx(expected, rel=0.05)


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
    assert all(torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True))


def test_reestimated_network_gives_a_sample_the_same_value_alone_and_in_company() -> None:
    net = SyntheticDiscriminator()
    points = torch.rand(32, 100)
    reestimate_batch_norm(net, lambda _: net(points), 1)
    torch.testing.assert_close(net(points[:1]), net(points)[:1])


@pytest.mark.parametrize(("image_size", "classes"), [(32, 10), (64, 0)])
@pytest.mark.parametrize("table", ["cifar10", "celeba"])
def test_tables_3_and_5_map_noise_to_pictures_to_features(table: str, image_size: int, classes: int) -> None:
    size: dict[str, Any] = {"image_size": image_size, "width": 1 / 8, "classes": classes}
    labels = torch.tensor([0, 1, 2]) if classes else None
    images = ConvGenerator(table, z_dim=7, **size)(torch.randn(3, 7), labels)
    assert images.shape == (3, 3, image_size, image_size)
    assert 0 <= images.min() < images.max() <= 1
    for head in ("penultimate", "bn-relu", "sigmoid"):
        net = ConvDiscriminator(table, head=head, feature_dim=5, **size)
        assert net(images, labels).shape == (3, net.feature_dim)
        if classes:
            assert not torch.allclose(net(images, labels), net(images, torch.tensor([0, 1, 9])))
            with pytest.raises(ValueError, match="needs labels"):
                net(images)


def test_the_signed_range_of_table_5_stays_inside_its_networks() -> None:
    generator, discriminator = ConvGenerator("celeba", width=1 / 8).eval(), ConvDiscriminator("celeba", width=1 / 8)
    generator.ups[-1].register_forward_hook(lambda *_: torch.tensor([-50.0, 0.0, 50.0]))
    assert generator(torch.zeros(1, 100)).tolist() == [0, 0.5, 1]
    seen = []
    discriminator.downs[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    discriminator(torch.full((2, 3, 64, 64), 0.25))
    assert torch.equal(seen[0], torch.full((2, 3, 64, 64), -0.5))


def test_only_table_5_normalises_its_first_convolution() -> None:
    kinds = {t: type(ConvDiscriminator(t, width=1 / 8).norms[0]) for t in ("cifar10", "celeba")}
    assert kinds == {"cifar10": nn.Identity, "celeba": nn.BatchNorm2d}


def test_tables_and_sizes_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="must be"):
        ConvGenerator("cifar10", image_size=48)
    with pytest.raises(KeyError, match="mnist"):
        ConvGenerator("mnist", image_size=64)
