"""Algorithm 1 in as few lines as it takes, for reading; a test holds it equal to `kmgan_lib.methods.KMGAN`."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.optim import Optimizer

from kmgan_lib.centers import assign, updated_centers
from kmgan_lib.losses import center_loss, discriminator_loss, generator_loss

Network = Callable[[Tensor], Tensor]


def descend(adam: Optimizer, loss: Tensor) -> None:
    """One step of an optimizer."""
    adam.zero_grad()
    loss.backward()
    adam.step()


def step(
    x: Tensor,
    z: Tensor,
    G: Network,
    D: Network,
    c: Tensor,
    c_hat: Tensor,
    adams: tuple[Optimizer, ...],
) -> tuple[Tensor, Tensor]:
    """One iteration: images and noise in, both kinds of centers out; ``adams`` move D, G, and both."""
    adam_d, adam_g, adam_both = adams
    fake = G(z)
    f, g = D(x), D(fake.detach())
    # labels: the nearest real center
    real, generated = assign(f, c), assign(g, c)

    # Eqs. (5) and (6)
    descend(adam_d, discriminator_loss(f, g, c[real], c[generated]))
    descend(adam_g, generator_loss(D(fake), c[generated]))

    # Eq. (4)
    f, g = D(x), D(G(z))
    loss = center_loss(f, g, real, generated, c, c_hat)
    descend(adam_both, loss)

    # the centers move, Eq. (3)
    c = updated_centers(c, f.detach(), real)
    c_hat = updated_centers(c_hat, g.detach(), generated)
    return c, c_hat
