"""Eqs. (4) to (7) against loops over single numbers, written from the paper and not from the code."""

import functools
from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from kmgan_lib.centers import assign, kmeans_plus_plus, updated_centers
from kmgan_lib.losses import (
    PairReduction,
    Reduction,
    center_loss,
    discriminator_loss,
    generator_loss,
    inter_distance,
    intra_distance,
)

from .test_centers import naive_means

# b, k, d: usual, one sample, one center, more centers than samples (so some are empty), one feature
SHAPES = [(6, 3, 4), (1, 3, 2), (5, 1, 3), (2, 7, 3), (4, 2, 1)]
# How far the library may be from float64: both value and gradient pass through one dtype's rounding.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 0.06}
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
shapes = pytest.mark.parametrize(("b", "k", "d"), SHAPES)


def naive_center_loss(f: Tensor, g: Tensor, lf: Tensor, lg: Tensor, c: Tensor, e: Tensor, per_cluster: bool) -> Tensor:
    difference = naive_means(c.detach(), f, lf) - naive_means(e.detach(), g, lg)
    return difference.abs().sum() if per_cluster else difference.sum(0).abs().sum()


def naive_norm(features: Tensor, targets: Tensor, reduction: str) -> Tensor:
    squares = [torch.stack([x**2 for x in row]).sum() for row in features - targets.detach()]
    if reduction == "frobenius":
        return torch.stack(squares).sum().sqrt()
    return torch.stack([square.sqrt() for square in squares]).mean()


def naive_pairs(a: Tensor, b: Tensor, reduction: str) -> Tensor:
    each = torch.stack([(x - y).abs().sum() for x in a for y in b])
    return each.mean() if reduction == "mean" else each.sum()


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
def test_center_loss_is_equation_4(b: int, k: int, d: int, dtype: torch.dtype) -> None:
    lf, lg = some_labels(b, k, 8), some_labels(b, k, 9)
    for per in (False, True):
        assert_equal_with_gradients(
            lambda f, g, c, e, per=per: center_loss(f, g, lf, lg, c, e, per_cluster=per),
            lambda f, g, c, e, per=per: naive_center_loss(f, g, lf, lg, c, e, per),
            [(b, d), (b, d), (k, d), (k, d)], dtype,
        )  # fmt: skip


@dtypes
@shapes
@pytest.mark.parametrize("reduction", ["frobenius", "mean"])
def test_losses_of_d_and_g_are_equations_5_and_6(
    b: int, k: int, d: int, reduction: Reduction, dtype: torch.dtype
) -> None:
    lf, lg = some_labels(b, k, 8), some_labels(b, k, 9)
    assert_equal_with_gradients(
        lambda f, g, c: discriminator_loss(f, g, c[lf], c[lg], reduction=reduction),
        lambda f, g, c: naive_norm(f, c[lf], reduction) - naive_norm(g, c[lg], reduction),
        [(b, d), (b, d), (k, d)], dtype,
    )  # fmt: skip
    assert_equal_with_gradients(
        lambda g, c: generator_loss(g, c[lg], reduction=reduction),
        lambda g, c: naive_norm(g, c[lg], reduction),
        [(b, d), (k, d)], dtype,
    )  # fmt: skip


# A step of Eq. (7) compares features in float32 at least: networks alone run in bfloat16.
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@shapes
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_pair_distances_are_equation_7(b: int, k: int, d: int, reduction: PairReduction, dtype: torch.dtype) -> None:
    for library, naive in (
        (intra_distance, lambda f, g: naive_pairs(f, f, reduction) + naive_pairs(g, g, reduction)),
        (inter_distance, lambda f, g: naive_pairs(f, g, reduction)),
    ):
        ours = functools.partial(library, reduction=reduction)
        assert_equal_with_gradients(ours, naive, [(b, d), (b, d)], dtype)


@pytest.mark.parametrize("reduction", ["frobenius", "mean"])
def test_gradients_are_finite_where_features_sit_on_their_centers(reduction: Reduction) -> None:
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
    with pytest.raises(TypeCheckError, match="typechecking parameter 'reduction'"):
        function(*arguments, reduction="summ")


def test_other_shapes_and_types_are_refused_by_the_names_of_the_arguments() -> None:
    f, c, labels = torch.ones(4, 3), torch.ones(2, 3), torch.zeros(4, dtype=torch.int64)
    calls: list[tuple[str, Callable[[], object]]] = [
        ("centers", lambda: assign(f, c[:, :2])), ("features", lambda: assign(f.long(), c)),
        ("labels", lambda: updated_centers(c, f, labels.int())), ("labels", lambda: updated_centers(c, f, labels[:3])),
        ("features", lambda: kmeans_plus_plus(f[0], 1, torch.Generator())),
        ("fake_centers", lambda: center_loss(f, f, labels, labels, c, c[:1])),
        ("fake_labels", lambda: center_loss(f, f, labels, labels.float(), c, c)),
        ("fake_targets", lambda: discriminator_loss(f, f, f, c)), ("fake_targets", lambda: generator_loss(f, f[0])),
        ("fake_features", lambda: intra_distance(f, f[:, :2])), ("real_features", lambda: inter_distance(f[0], f)),
    ]  # fmt: skip
    for name, call in calls:
        with pytest.raises(TypeCheckError, match=f"parameter '{name}'"):
            call()
    real, few = torch.ones(6, 3), torch.zeros(6, dtype=torch.int64)  # batches of real and generated rows may differ
    assert center_loss(real, f, few, labels, c, c).shape == ()
