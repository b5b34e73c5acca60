"""Eqs. (4) to (7) against loops over single numbers, written from the paper and not from the code."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kmgan_lib.losses import center_loss, discriminator_loss, generator_loss, inter_distance, intra_distance

# b, k, d: usual, one sample, one center, more centers than samples (so some are empty), one feature
SHAPES = [(6, 3, 4), (1, 3, 2), (5, 1, 3), (2, 7, 3), (4, 2, 1)]
# How far the library may be from float64: both value and gradient pass through one dtype's rounding.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 0.06}
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
shapes = pytest.mark.parametrize(("b", "k", "d"), SHAPES)


def naive_center_loss(f: Tensor, g: Tensor, lf: Tensor, lg: Tensor, c: Tensor, e: Tensor, per_cluster: bool) -> Tensor:
    k, d = c.shape
    total = torch.zeros((), dtype=torch.float64)
    differences = []
    for m in range(k):
        row = []
        for j in range(d):
            real, real_count = c[m, j].detach(), 0
            for i in range(len(f)):
                if lf[i] == m:
                    real, real_count = real + f[i, j], real_count + 1
            fake, fake_count = e[m, j].detach(), 0
            for i in range(len(g)):
                if lg[i] == m:
                    fake, fake_count = fake + g[i, j], fake_count + 1
            row.append(real / (1 + real_count) - fake / (1 + fake_count))
        differences.append(row)
    if per_cluster:
        for row in differences:
            for value in row:
                total = total + abs(value)
        return total
    for j in range(d):
        total = total + abs(sum(row[j] for row in differences))
    return total


def naive_norm(features: Tensor, targets: Tensor, reduction: str) -> Tensor:
    b, d = features.shape
    rows = [sum((features[i, j] - targets[i, j].detach()) ** 2 for j in range(d)) for i in range(b)]
    if reduction == "frobenius":
        return torch.as_tensor(sum(rows)).sqrt()
    return torch.as_tensor(sum(torch.as_tensor(row).sqrt() for row in rows)) / len(rows)


def naive_pairs(a: Tensor, b: Tensor, reduction: str) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(a)):
        for j in range(len(b)):
            for n in range(a.shape[1]):
                total = total + abs(a[i, n] - b[j, n])
    return total / (len(a) * len(b)) if reduction == "mean" else total


def values(seed: int, *shape: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The same random numbers twice, as leaves: in float64 and, exactly equal, in the dtype under test."""
    generator = torch.Generator().manual_seed(seed)
    rounded = torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)
    return rounded.double().clone().requires_grad_(), rounded.clone().requires_grad_()


def assert_equal_with_gradients(
    library: Callable[..., Tensor], naive: Callable[..., Tensor], shapes: list[tuple[int, int]], dtype: torch.dtype
) -> None:
    """Value, and gradient for every argument; an argument that must be constant has none on either side."""
    wanted, given_ = zip(*[values(seed, *shape, dtype=dtype) for seed, shape in enumerate(shapes)], strict=True)
    expected, actual = naive(*wanted), library(*given_)
    assert actual.shape == ()
    assert actual.dtype == dtype
    near = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype], "check_dtype": False}
    torch.testing.assert_close(actual, expected, **near)
    expected.backward()
    actual.backward()
    for right, ours in zip(wanted, given_, strict=True):
        assert (ours.grad is None) == (right.grad is None)
        if right.grad is not None:
            torch.testing.assert_close(ours.grad, right.grad, **near)


def some_labels(b: int, k: int, seed: int) -> Tensor:
    return torch.randint(k, (b,), generator=torch.Generator().manual_seed(seed))


@dtypes
@shapes
@pytest.mark.parametrize("per_cluster", [False, True])
def test_center_loss_is_equation_4(b: int, k: int, d: int, per_cluster: bool, dtype: torch.dtype) -> None:
    lf, lg = some_labels(b, k, 8), some_labels(b, k, 9)
    assert_equal_with_gradients(
        lambda f, g, c, e: center_loss(f, g, lf, lg, c, e, per_cluster=per_cluster),
        lambda f, g, c, e: naive_center_loss(f, g, lf, lg, c, e, per_cluster),
        [(b, d), (b, d), (k, d), (k, d)],
        dtype,
    )


@dtypes
@shapes
@pytest.mark.parametrize("reduction", ["frobenius", "mean"])
def test_discriminator_loss_is_equation_5(b: int, k: int, d: int, reduction: str, dtype: torch.dtype) -> None:
    lf, lg = some_labels(b, k, 8), some_labels(b, k, 9)
    assert_equal_with_gradients(
        lambda f, g, c: discriminator_loss(f, g, c[lf], c[lg], reduction=reduction),
        lambda f, g, c: naive_norm(f, c[lf], reduction) - naive_norm(g, c[lg], reduction),
        [(b, d), (b, d), (k, d)],
        dtype,
    )


@dtypes
@shapes
@pytest.mark.parametrize("reduction", ["frobenius", "mean"])
def test_generator_loss_is_equation_6(b: int, k: int, d: int, reduction: str, dtype: torch.dtype) -> None:
    labels = some_labels(b, k, 9)
    assert_equal_with_gradients(
        lambda g, c: generator_loss(g, c[labels], reduction=reduction),
        lambda g, c: naive_norm(g, c[labels], reduction),
        [(b, d), (k, d)],
        dtype,
    )


# A step of Eq. (7) compares features in float32 at least: networks alone run in bfloat16.
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@shapes
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_pair_distances_are_equation_7(b: int, k: int, d: int, reduction: str, dtype: torch.dtype) -> None:
    assert_equal_with_gradients(
        lambda f, g: intra_distance(f, g, reduction=reduction),
        lambda f, g: naive_pairs(f, f, reduction) + naive_pairs(g, g, reduction),
        [(b, d), (b, d)],
        dtype,
    )
    assert_equal_with_gradients(
        lambda f, g: inter_distance(f, g, reduction=reduction),
        lambda f, g: naive_pairs(f, g, reduction),
        [(b, d), (b, d)],
        dtype,
    )


def test_center_loss_worked_by_hand() -> None:
    f, g = torch.tensor([[1.0], [3.0], [10.0]]), torch.tensor([[2.0], [4.0], [6.0]])
    lf, lg = torch.tensor([0, 0, 1]), torch.tensor([1, 1, 1])
    c, e = torch.tensor([[5.0], [0.0]]), torch.tensor([[7.0], [4.0]])
    # real: (5+1+3)/3 = 3 and (0+10)/2 = 5; generated: 7 and (4+2+4+6)/4 = 4
    assert center_loss(f, g, lf, lg, c, e).item() == pytest.approx(abs(3 + 5 - 7 - 4))
    assert center_loss(f, g, lf, lg, c, e, per_cluster=True).item() == pytest.approx(abs(3 - 7) + abs(5 - 4))


@pytest.mark.parametrize("reduction", ["frobenius", "mean"])
def test_gradients_are_finite_where_features_sit_on_their_centers(reduction: str) -> None:
    features = torch.ones(3, 2, requires_grad=True)
    loss = discriminator_loss(features, features, torch.ones(3, 2), torch.ones(3, 2), reduction=reduction)
    (loss + generator_loss(features, torch.ones(3, 2), reduction=reduction)).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert generator_loss(features, torch.ones(3, 2), reduction=reduction).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("function", [discriminator_loss, generator_loss, intra_distance, inter_distance])
def test_an_unknown_reduction_is_refused_by_name(function: Callable[..., Tensor]) -> None:
    features = torch.ones(2, 2)
    arguments = [features] * (4 if function is discriminator_loss else 2)
    with pytest.raises(ValueError, match=r"reduction is 'summ'; it must be one of \w+, \w+"):
        function(*arguments, reduction="summ")
