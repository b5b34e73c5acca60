import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from kmgan_lib.config import Preset
from kmgan_lib.models import build_discriminator, build_generator
from kmgan_lib.models.layers import parameter_count, reestimate_batch_norm, scale_width


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
