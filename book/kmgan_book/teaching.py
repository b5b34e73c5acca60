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
    x: Tensor, z: Tensor, G: Network, D: Network, c: Tensor, c_hat: Tensor, adams: tuple[Optimizer, ...]
) -> tuple[Tensor, Tensor]:
    """One iteration: images and noise in, both kinds of centers out; ``adams`` move D, G, and both."""
    adam_d, adam_g, adam_both = adams
    fake = G(z)
    f, g = D(x), D(fake.detach())
    real, generated = assign(f, c), assign(g, c)  # labels: the nearest real center

    descend(adam_d, discriminator_loss(f, g, c[real], c[generated]))  # Eq. (5)
    descend(adam_g, generator_loss(D(fake), c[generated]))  # Eq. (6)

    f, g = D(x), D(G(z))
    descend(adam_both, center_loss(f, g, real, generated, c, c_hat))  # Eq. (4)

    f, g = f.detach(), g.detach()
    return updated_centers(c, f, real), updated_centers(c_hat, g, generated)  # Eq. (3)
