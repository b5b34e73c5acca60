"""Centers and Eqs. (4) to (7) against the norms of PyTorch, written from the paper and not from the code."""

import itertools
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from sklearn.cluster import KMeans
from torch import Tensor

from kmgan_lib.centers import CenterBank, Update, assign, kmeans_plus_plus, lloyd, updated_centers
from kmgan_lib.errors import UsageError
from kmgan_lib.losses import (
    Reduction,
    center_loss,
    discriminator_loss,
    generator_loss,
    inter_distance,
    intra_distance,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=rng(seed))


def naive_assign(features: Tensor, centers: Tensor) -> Tensor:
    """Nearest center by subtraction in float64, the first one on a tie."""
    return torch.from_numpy((features[:, None].double() - centers.double()).detach().square().sum(2).numpy().argmin(1))


def naive_means(start: Tensor, features: Tensor, labels: Tensor, weight: int = 1) -> Tensor:
    """Means of each center, counted ``weight`` times, and the features of its cluster; 1 is the fraction of Eq. (4)."""
    clusters = [torch.cat([center.expand(weight, -1), features[labels == m]]) for m, center in enumerate(start)]
    return torch.stack([rows.mean(0) if len(rows) else start[m] for m, rows in enumerate(clusters)])


@pytest.mark.parametrize("shift", [0.0, 1e3, -1e4], ids=["origin", "1e3", "-1e4"])
@pytest.mark.parametrize(("b", "k", "d"), [(40, 5, 3), (1, 1, 1), (16, 20, 100), (8, 3, 1)])
def test_assign_is_the_first_nearest_center_near_and_far_from_the_origin(b: int, k: int, d: int, shift: float) -> None:
    features, centers = normal(b, d, seed=1) + shift, normal(k, d, seed=2) + shift
    far = torch.cat([centers, torch.full((1, d), 1e6)])  # which does not blur the others
    for some in (centers, far, centers.repeat(2, 1), centers[:1].expand(33, -1)):
        assert torch.equal(assign(features, some), naive_assign(features, some))


@given(
    rows=st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=15),
    data=st.data(),
    seed=st.integers(0, 1000),
)
def test_kmeans_plus_plus_takes_rows_distinct_while_there_are_any(rows: list, data: st.DataObject, seed: int) -> None:
    k = data.draw(st.integers(1, len(rows)))
    centers = kmeans_plus_plus(torch.tensor(rows).float(), k, rng(seed))
    chosen = [tuple(int(x) for x in row) for row in centers.tolist()]
    assert len(chosen) == k
    assert set(chosen) <= set(rows)
    assert len(set(chosen)) == min(k, len(set(rows)))


def test_kmeans_plus_plus_is_reproduced_by_its_generator_and_only_by_it() -> None:
    features = normal(200, 2)
    first, second, other = (kmeans_plus_plus(features, 5, rng(seed)) for seed in (3, 3, 4))
    torch.manual_seed(99)
    assert torch.equal(first, second)
    assert torch.equal(first, kmeans_plus_plus(features, 5, rng(3)))
    assert not torch.equal(first, other)
    for k in (0, 201):
        with pytest.raises(UsageError, match="choose k between 1 and 200"):
            kmeans_plus_plus(features, k, rng())


def test_kmeans_plus_plus_draws_by_the_squared_distance() -> None:
    # From 0 the other rows are 1 and 2 away. Greedy with two trials keeps the better of two draws: row 2 has less
    # inertia left (1 against 4 at the rows left over), so row 1 wins only if both draws, 1/5 each, are row 1.
    features = torch.tensor([[0.0]] * 500 + [[1.0], [-2.0]])
    seconds = [kmeans_plus_plus(features, 2, rng(seed))[1].item() for seed in range(600)]
    share = seconds.count(1.0) / (seconds.count(1.0) + seconds.count(-2.0))
    assert share == pytest.approx((1 / 5) ** 2, abs=0.03)


def test_lloyd_agrees_with_scikit_learn_from_the_same_start() -> None:
    features = torch.cat([normal(60, 3, seed=i) + 3 * i for i in range(4)])
    start = kmeans_plus_plus(features, 4, rng())
    options: dict[str, Any] = {"init": start.double().numpy(), "n_init": 1, "tol": 0, "max_iter": 100}
    reference = KMeans(4, **options)
    labels = reference.fit_predict(features.double().numpy())
    ours = lloyd(features, start, 100)
    np.testing.assert_allclose(ours.numpy(), reference.cluster_centers_, rtol=1e-4, atol=1e-4)
    assert assign(features, ours).tolist() == labels.tolist()
    # a center without features stays, and all do in no rounds
    features, centers = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.4], [50.0]])
    assert lloyd(features, centers, 3).tolist() == [[0.5], [50.0]]
    assert torch.equal(lloyd(features, centers, 0), centers)


def bank_and_batches(update: Update) -> tuple[CenterBank, list[tuple[Tensor, Tensor, Tensor, Tensor]]]:
    """Four batches of real and generated features with their labels; the last center never gets a feature."""
    bank = CenterBank(4, 3, update=update)
    bank.initialise(normal(50, 3, seed=5), rng())
    f, g = normal(2, 4, 8, 3, seed=10)
    lf, lg = torch.randint(3, (2, 4, 8), generator=rng())
    return bank, list(zip(f, g, lf, lg, strict=True))


def test_centers_begin_at_kmeans_plus_plus_and_lloyd_and_generated_ones_as_a_copy() -> None:
    bank, features = CenterBank(4, 3), normal(50, 3)
    bank.initialise(features, rng())
    assert torch.equal(bank.real, kmeans_plus_plus(features, 4, rng()))
    assert torch.equal(bank.real, bank.fake)
    bank.real.add_(1)
    assert not torch.equal(bank.real, bank.fake)
    bank.initialise(features, rng(), lloyd_iterations=5)
    torch.testing.assert_close(bank.real, lloyd(features, kmeans_plus_plus(features, 4, rng()), 5))


@pytest.mark.parametrize("update", ["eq4", "ema", "counts", "counts100"])
def test_a_bank_moves_by_its_rule(update: Update) -> None:
    """The fraction of Eq. (4), a tenth of the way to the mean, or the mean of all features so far."""
    bank, batches = bank_and_batches(update)
    start = real = fake = bank.real.clone()
    for f, g, lf, lg in batches:
        bank.update(f.requires_grad_(), g.requires_grad_(), lf, lg)
        assert not bank.real.requires_grad
        if update == "eq4":
            real, fake = naive_means(real, f, lf), naive_means(fake, g, lg)
        else:
            real, fake = 0.9 * real + 0.1 * naive_means(real, f, lf, 0), 0.9 * fake + 0.1 * naive_means(fake, g, lg, 0)
    before = 100 if update == "counts100" else 0
    if update.startswith("counts"):
        f, g, lf, lg = (torch.cat(parts) for parts in zip(*batches, strict=True))
        real, fake = naive_means(start, f, lf, before), naive_means(start, g, lg, before)
    torch.testing.assert_close(bank.real, real.detach())
    torch.testing.assert_close(bank.fake, fake.detach())
    seen = torch.cat([real_labels for _, _, real_labels, _ in batches]).bincount(minlength=4)
    assert (bank.real_counts.squeeze(1) - before).tolist() == seen.tolist()


def test_update_recluster_leaves_the_centers_to_recluster() -> None:
    bank, batches = bank_and_batches("recluster")
    start = bank.real.clone()
    for batch in batches:
        bank.update(*batch)
    assert torch.equal(bank.real, start)
    assert torch.equal(bank.fake, start)
    real, fake = normal(80, 3, seed=1), normal(60, 3, seed=2)
    bank.recluster(real, fake, iterations=7)
    torch.testing.assert_close(bank.real, lloyd(real, start, 7))
    torch.testing.assert_close(bank.fake, naive_means(start, fake, naive_assign(fake, bank.real), 0))


# b, k, d: usual, one sample, one center, more centers than samples (so some are empty), one feature
SHAPES = [(6, 3, 4), (1, 3, 2), (5, 1, 3), (2, 7, 3), (4, 2, 1)]
# How far the library may be from float64: both value and gradient pass through one dtype's rounding.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 0.06}


def naive_center_loss(f: Tensor, g: Tensor, lf: Tensor, lg: Tensor, c: Tensor, e: Tensor, per_cluster: bool) -> Tensor:
    difference = naive_means(c.detach(), f, lf) - naive_means(e.detach(), g, lg)
    return difference.abs().sum() if per_cluster else difference.sum(0).abs().sum()


def naive_norm(features: Tensor, targets: Tensor, reduction: str) -> Tensor:
    difference = features - targets.detach()
    return difference.norm() if reduction == "frobenius" else difference.norm(dim=1).mean()


def naive_pairs(a: Tensor, b: Tensor, reduction: str) -> Tensor:
    each = (a[:, None] - b).abs().sum(2)
    return each.mean() if reduction == "mean" else each.sum()


Loss = Callable[..., Tensor]  # of features f and g, centers c and e, labels lf and lg, and the variant
PRINTED = ("sum", "mean")
LOSSES: dict[str, tuple[Loss, Loss, tuple[Any, ...]]] = {
    "Eq. (4)": (lambda f, g, c, e, lf, lg, how: center_loss(f, g, lf, lg, c, e, per_cluster=how),
                lambda f, g, c, e, lf, lg, how: naive_center_loss(f, g, lf, lg, c, e, how), (False, True)),
    "Eq. (5)": (lambda f, g, c, e, lf, lg, how: discriminator_loss(f, g, c[lf], c[lg], reduction=how),
                lambda f, g, c, e, lf, lg, how: naive_norm(f, c[lf], how) - naive_norm(g, c[lg], how),
                get_args(Reduction)),
    "Eq. (6)": (lambda f, g, c, e, lf, lg, how: generator_loss(g, c[lg], reduction=how),
                lambda f, g, c, e, lf, lg, how: naive_norm(g, c[lg], how), get_args(Reduction)),
    "Eq. (7) within": (lambda f, g, c, e, lf, lg, how: intra_distance(f, g, reduction=how),
                       lambda f, g, c, e, lf, lg, how: naive_pairs(f, f, how) + naive_pairs(g, g, how), PRINTED),
    "Eq. (7) between": (lambda f, g, c, e, lf, lg, how: inter_distance(f, g, reduction=how),
                        lambda f, g, c, e, lf, lg, how: naive_pairs(f, g, how), PRINTED),
}  # fmt: skip
# A step compares features in float32 at least: networks alone run in bfloat16.
KINDS = [
    (name, how, dtype)
    for name, (_, _, variants) in LOSSES.items()
    for how, dtype in itertools.product(variants, TOLERANCE)
    if dtype != torch.bfloat16 or "(7)" not in name
]


@pytest.mark.parametrize(("name", "how", "dtype"), KINDS, ids=str)
def test_values_and_gradients_are_those_of_the_equations(name: str, how: Any, dtype: torch.dtype) -> None:
    """Of every argument, as float64 has them for the same numbers; what must be constant has no gradient."""
    near = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype], "check_dtype": False}
    for b, k, d in SHAPES:
        drawn = [torch.randn(n, d, generator=rng(i), dtype=torch.float64).to(dtype) for i, n in enumerate((b, b, k, k))]
        given, wanted = ([x.to(kind, copy=True).requires_grad_() for x in drawn] for kind in (dtype, torch.float64))
        labels = [torch.randint(k, (b,), generator=rng(seed)) for seed in (8, 9)]
        actual, expected = (loss(*x, *labels, how) for loss, x in zip(LOSSES[name][:2], (given, wanted), strict=True))
        assert (actual.shape, actual.dtype) == ((), dtype)
        torch.testing.assert_close(actual, expected, **near)
        expected.backward()
        actual.backward()
        for ours, right in zip(given, wanted, strict=True):
            assert (ours.grad is None) == (right.grad is None)
            if right.grad is not None:
                torch.testing.assert_close(ours.grad, right.grad, **near)


@pytest.mark.parametrize("reduction", ["frobenius", "mean"])
def test_gradients_are_finite_where_features_sit_on_their_centers(reduction: Reduction) -> None:
    features = torch.ones(3, 2, requires_grad=True)
    loss = discriminator_loss(features, features, torch.ones(3, 2), torch.ones(3, 2), reduction=reduction)
    (loss + generator_loss(features, torch.ones(3, 2), reduction=reduction)).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert generator_loss(features, torch.ones(3, 2), reduction=reduction).item() == pytest.approx(0, abs=1e-5)


def test_other_shapes_types_and_reductions_are_refused_by_the_names_of_the_arguments() -> None:
    f, c, labels = torch.ones(4, 3), torch.ones(2, 3), torch.zeros(4, dtype=torch.int64)
    wrong: dict[str, Any] = {"reduction": "summ"}
    calls: list[tuple[str, Callable[[], object]]] = [
        ("reduction", lambda: discriminator_loss(f, f, f, f, **wrong)),
        ("reduction", lambda: generator_loss(f, f, **wrong)), ("reduction", lambda: intra_distance(f, f, **wrong)),
        ("reduction", lambda: inter_distance(f, f, **wrong)),
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
