"""The short functions that the book shows do what the library's do."""

import copy

import pytest
import torch

from kmgan_book import teaching
from kmgan_lib import centers, losses, methods, presets
from kmgan_lib.methods import KMGAN


def test_three_short_steps_move_weights_and_centers_as_the_librarys_do(monkeypatch: pytest.MonkeyPatch) -> None:
    # Adam would blow up another rounding; that the functions agree up to it is the next test's.
    for name in ("assign", "center_loss", "discriminator_loss", "generator_loss"):
        monkeypatch.setattr(teaching, name, getattr(centers if name == "assign" else losses, name))
    monkeypatch.setattr(teaching, "moved", centers.updated_centers)
    preset = presets.resolve("digits/kmgan", "smoke")
    library = methods.create(preset, seed=0)
    assert isinstance(library, KMGAN)
    generator = torch.Generator().manual_seed(1)
    library.setup(torch.randint(0, 256, (256, 1, 28, 28), generator=generator, dtype=torch.uint8))
    G, D = copy.deepcopy(library.generator_net), copy.deepcopy(library.discriminator_net)
    c, c_hat = library.bank.real.clone(), library.bank.fake.clone()
    d, g = list(D.parameters()), list(G.parameters())
    adams = tuple(library.adam(parameters) for parameters in (d, g, [*d, *g]))
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
    pairs = {
        real: centers.assign(f, c),
        teaching.moved(c, f, real): centers.updated_centers(c, f, real),
        teaching.center_loss(f, g, real, generated, c, c_hat): losses.center_loss(f, g, real, generated, c, c_hat),
        teaching.discriminator_loss(f, g, c[real], c[generated]):
            losses.discriminator_loss(f, g, c[real], c[generated]),
        teaching.generator_loss(g, c[generated]): losses.generator_loss(g, c[generated]),
        teaching.intra(f, g): losses.intra_distance(f, g),
        teaching.inter(f, g): losses.inter_distance(f, g),
    }  # fmt: skip
    for mine, library in pairs.items():
        torch.testing.assert_close(mine, library)
