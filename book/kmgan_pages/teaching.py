"""Eqs. (3) to (7), Algorithm 1 and KM-GAN+ in as few lines as they take, for reading; tests compare them.

``f`` are D(x), ``g`` are D(G(z)), both (b, d); ``c`` and ``c_hat`` are real and generated centers, (k, d).
"""

from collections.abc import Callable

from torch import Tensor, cdist
from torch.nn.functional import one_hot, softplus
from torch.optim import Optimizer

Network = Callable[[Tensor], Tensor]


def assign(f: Tensor, c: Tensor) -> Tensor:
    """Label each feature with its nearest center."""
    distances = (f[:, None] - c).square().sum(2)
    return distances.argmin(1)


def moved(c: Tensor, f: Tensor, labels: Tensor) -> Tensor:
    """Average each center with the features of its cluster."""
    member = one_hot(labels, len(c)).to(f.dtype)
    count = member.sum(0)[:, None]
    return (c + member.T @ f) / (1 + count)


def center_loss(f: Tensor, g: Tensor, real: Tensor, generated: Tensor, c: Tensor, c_hat: Tensor) -> Tensor:
    """Eq. (4), with the norm outside both sums."""
    A = moved(c, f, real).sum(0)
    B = moved(c_hat, g, generated).sum(0)
    return (A - B).abs().sum()


def discriminator_loss(f: Tensor, g: Tensor, C_real: Tensor, C_gen: Tensor) -> Tensor:
    """Eq. (5)."""
    pull = (f - C_real).norm()
    push = (g - C_gen).norm()
    return pull - push


def generator_loss(g: Tensor, C_gen: Tensor) -> Tensor:
    """Eq. (6)."""
    return (g - C_gen).norm()


def intra(f: Tensor, g: Tensor) -> Tensor:
    """Within both batches, over ordered pairs."""
    real = cdist(f, f, p=1)
    generated = cdist(g, g, p=1)
    return real.sum() + generated.sum()


def inter(f: Tensor, g: Tensor) -> Tensor:
    """Between the batches."""
    return cdist(f, g, p=1).sum()


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
    return moved(c, f.detach(), real), moved(c_hat, g.detach(), generated)


def value(f: Tensor, y: Tensor, w: Tensor, e: Tensor, b: Tensor) -> Tensor:
    """What KM-GAN+ makes of features that are said to be of clusters ``y``."""
    return (f * (w + e[y])).sum(1) + b


def plus(real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    """Both losses of KM-GAN+, from the values of real and of generated images."""
    L_D = softplus(-real).mean()
    L_D = L_D + softplus(generated).mean()
    L_G = softplus(-generated).mean()
    return L_D, L_G
