"""The quick forms of the layers against PyTorch's own, and whole runs against the plain loop of the benchmark."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import plain_loop
from kmgan_lib import methods, presets
from kmgan_lib.models.layers import Down, Up

from .conftest import in_float64


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
