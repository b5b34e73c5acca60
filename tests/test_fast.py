"""The quick forms of the layers against PyTorch's own, and whole runs against the plain loop of the benchmark."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import plain_loop
from kmgan_lib import methods, presets
from kmgan_lib.models.layers import Down, Up, sub_pixel_down, sub_pixel_up


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


@pytest.mark.parametrize("kind", [Up, Down])
def test_convolutions_are_pytorchs(kind: type) -> None:
    torch.manual_seed(0)
    for (before, after), classes, layout in itertools.product(((6, 1), (6, 3), (2, 9)), (0, 3), LAYOUTS):
        assert_pytorchs(kind, before, after, classes, layout)


def assert_pytorchs(kind: type, before: int, after: int, classes: int, layout: Any) -> None:
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


@pytest.mark.parametrize("bias", [True, False])
def test_sub_pixel_forms_are_the_convolutions(bias: bool) -> None:
    torch.manual_seed(0)
    x, b = torch.randn(2, 3, 8, 6, dtype=torch.float64), torch.randn(4, dtype=torch.float64) if bias else None
    w = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(sub_pixel_down(x, w, b), F.conv2d(x, w, b, stride=2, padding=2))
    w = w.transpose(0, 1)
    expected = F.conv_transpose2d(x, w, b, stride=2, padding=2, output_padding=1)
    torch.testing.assert_close(sub_pixel_up(x, w, b), expected)


def test_a_conditional_layer_needs_labels() -> None:
    with pytest.raises(ValueError, match="needs labels"):
        Down(1, 2, 10)(torch.rand(2, 1, 4, 4))


PAIRS = [
    ("mnist/dcgan-carpedm20", {}, {"generator_maps": (16, 16), "discriminator_maps": (8, 8), "hidden": 128}),
    (
        "cifar10-32/dcgan-table3", {"feature_dim": 12},
        {
            "network": "cifar10", "classes": 0, "channels": 3, "image_size": 32, "generator_maps": (32, 16, 8),
            "discriminator_maps": (8, 16, 32), "hidden": 512, "feature_dim": 12,
        },
    ),
]  # fmt: skip


class Together:
    """A method and the plain loop with the same weights, on the same batches and noise."""

    def __init__(self, name: str, changes: dict[str, Any], settings: dict[str, Any], dtype: torch.dtype):
        torch.manual_seed(0)
        self.method: Any = methods.create(presets.resolve(name, "paper", width=0.125, batch=16, **changes))
        p, module = self.method.preset, plain_loop
        plain = module.Settings(z_dim=p.z_dim, batch=16, generator_updates=p.generator_updates, **settings)
        self.shape, self.dtype = (p.channels, p.image_size, p.image_size), dtype
        self.loop = module.PlainLoop(plain, torch.zeros(16, *self.shape).byte().numpy(), torch.zeros(16).long().numpy())
        for net in (*self.method.networks().values(), self.loop.G, self.loop.D):
            net.to(dtype)
        self.align()

    def align(self) -> None:
        """Give the plain networks the method's weights."""
        mine = self.method.networks()
        d = nn.ModuleList([mine["discriminator"], mine["logit"]])
        for net, theirs in ((mine["generator"], self.loop.G), (d, self.loop.D)):
            for kind in ((nn.Linear, nn.Conv2d, nn.ConvTranspose2d), (nn.BatchNorm1d, nn.BatchNorm2d)):
                pairs = zip(*([m for m in n.modules() if isinstance(m, kind)] for n in (net, theirs)), strict=True)
                for a, b in pairs:
                    b.load_state_dict(a.state_dict())

    def errors(self, seed: int) -> list[float]:
        """Relative differences of both losses in the next iteration."""
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(10, (16,), generator=generator)
        images = torch.rand(16, *self.shape, generator=generator).to(self.dtype)
        noise = (torch.rand(16, self.method.preset.z_dim, generator=generator) * 2 - 1).to(self.dtype)
        losses, expected = self.method.step(images, labels, noise), self.loop.step(images, labels, noise)
        return [abs(float(losses[k]) / e - 1) for k, e in zip(("loss_d", "loss_g"), expected, strict=True)]


@pytest.mark.parametrize(("name", "changes", "settings"), PAIRS, ids=["mnist", "cifar10-32"])
def test_twenty_iterations_are_the_plain_loops(
    name: str, changes: dict[str, Any], settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In double precision, since float32 rounding alone, in any other order of sums, grows fast."""
    before = torch.get_default_dtype()
    together = Together(name, changes, settings, torch.float64)
    kind = type(together.method)
    monkeypatch.setattr(kind, "D", lambda self, x, y=None: self.discriminator_net(x, y if self.classes else None))
    monkeypatch.setattr(kind, "G", lambda self, z, y=None: self.generator_net(z, y if self.classes else None))
    torch.set_default_dtype(torch.float64)
    try:
        assert max(error for seed in range(20) for error in together.errors(seed)) < 1e-8
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize(("name", "changes", "settings"), PAIRS, ids=["mnist", "cifar10-32"])
def test_each_of_twenty_iterations_is_the_plain_loops_in_float32(
    name: str, changes: dict[str, Any], settings: dict[str, Any]
) -> None:
    """From the same weights on, so that rounding has no time to grow.

    G's loss comes after an update of D, in which Adam makes whole steps of the rounding of vanishing gradients.
    """
    together = Together(name, changes, settings, torch.float32)
    for seed in range(20):
        error_d, error_g = together.errors(seed)
        assert error_d < 1e-5
        assert error_g < 5e-4  # 1.3e-4 was seen with MKL on an Intel processor
        together.align()
