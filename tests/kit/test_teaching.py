"""The short step that the book shows does what the library's step does."""

from __future__ import annotations

import copy

import torch

from kmgan_book.teaching import step
from kmgan_lib import methods, presets
from kmgan_lib.methods import KMGAN


def test_three_short_steps_move_weights_and_centers_as_the_librarys_do() -> None:
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
        c, c_hat = step(x, z, G, D, c, c_hat, adams)
        library.step(x, None, z)
    theirs = (*library.discriminator_net.parameters(), *library.generator_net.parameters())
    for mine, other in zip((*d, *g), theirs, strict=True):
        torch.testing.assert_close(mine, other)
    torch.testing.assert_close(c, library.bank.real)
    torch.testing.assert_close(c_hat, library.bank.fake)
    assert not any(torch.equal(p, old) for p, old in zip((*d, *g), before, strict=True))
