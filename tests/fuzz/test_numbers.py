"""Tensors of any shape, type and value: a result, a ValueError in one line, or a TypeError that names the argument."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from torch import Tensor

from kmgan_lib import centers, losses, metrics

from .conftest import cases, refused

SHAPES = st.sampled_from([(4, 3), (4, 3), (4, 3), (6, 3), (12, 3), (3, 3), (1, 3), (4, 1)]) | st.lists(
    st.integers(0, 4), max_size=4
)
KINDS = ("float64", "bfloat16", "float16", "int64", "int32", "uint8", "bool", "complex64")
TYPES = st.sampled_from([torch.float32] * 4 + [getattr(torch, kind) for kind in KINDS])
ODD = st.sampled_from([0.0, -1.0, math.nan, math.inf, -math.inf, 1e-40, 1e30, -3e38])


@st.composite
def tensors(draw: st.DrawFn, shapes: Any = SHAPES, types: Any = TYPES) -> Tensor:
    """A tensor of noise, at times of one value, or with a value that is no number."""
    shape, kind = draw(shapes), draw(types)
    made = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    if draw(st.integers(0, 3)) == 0 and made.numel():
        value = draw(ODD)
        if draw(st.booleans()):
            made.fill_(value)
        else:
            made.view(-1)[draw(st.integers(0, made.numel() - 1))] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = not kind.is_floating_point and not kind.is_complex
        return (made.nan_to_num(0, 9, -9).abs() if whole else made).to(kind)


@st.composite
def labels(draw: st.DrawFn, least: int = -1, most: int = 5) -> Tensor:
    """Labels, mostly of four rows, at times of another type."""
    number = draw(st.sampled_from([4, 4, 4, 12, 6, 0, 1]))
    made = torch.tensor(draw(st.lists(st.integers(least, most) | st.integers(0, 2), min_size=number, max_size=number)))
    kind = draw(st.sampled_from([torch.int64] * 5 + [torch.int32, torch.float32, torch.bool, torch.uint8]))
    made = made.to(torch.int64).to(kind)
    return made if draw(st.integers(0, 5)) else made.unsqueeze(0)


T, L, N = tensors(), labels(), st.integers(1, 12)
OF_THREE, SEED = labels(0, 2), st.integers(0, 9)
COUNTS = tensors(st.just((3, 3)), st.just(torch.int64))
WORD = st.sampled_from(["frobenius", "mean", "sum", "max", ""])
CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "center_loss": (losses.center_loss, (T, T, L, L, T, T)),
    "center_loss per cluster": (lambda *a: losses.center_loss(*a, per_cluster=True), (T, T, L, L, T, T)),
    "discriminator_loss": (lambda *a: losses.discriminator_loss(*a[:4], reduction=a[4]), (T, T, T, T, WORD)),
    "generator_loss": (lambda a, b, r: losses.generator_loss(a, b, reduction=r), (T, T, WORD)),
    "intra_distance": (lambda a, b, r: losses.intra_distance(a, b, reduction=r), (T, T, WORD)),
    "inter_distance": (lambda a, b, r: losses.inter_distance(a, b, reduction=r), (T, T, WORD)),
    "assign": (centers.assign, (T, T)),
    "updated_centers": (centers.updated_centers, (T, T, L)),
    "kmeans_plus_plus": (lambda f, k: centers.kmeans_plus_plus(f, k, torch.Generator().manual_seed(0)), (T, N)),
    "lloyd": (centers.lloyd, (T, T, st.integers(0, 3))),
    "inception_score": (metrics.inception_score, (T, N)),
    "frechet_distance": (metrics.frechet_distance, (T, T)),
    "kernel_distance": (metrics.kernel_distance, (T, T, st.integers(-1, 3), N, SEED)),
    "clustering_scores": (metrics.clustering_scores, (L, L)),
    "kmeans_labels": (metrics.kmeans_labels, (T, st.integers(1, 5), st.integers(0, 3))),
    "coverage_scores": (metrics.coverage_scores, (T, T, N)),
    "class_frequency": (metrics.class_frequency, (OF_THREE, st.integers(3, 8))),
    "corrected_frequency": (metrics.corrected_frequency, (OF_THREE, COUNTS, SEED)),
    "center_scores": (metrics.center_scores, (T, T)),
    "within_class_scores": (metrics.within_class_scores, (T, L, T, L)),
    "line_scores": (metrics.line_scores, (T, T, T, T, T)),
    "memorisation_scores": (metrics.memorisation_scores, (T, T, T, T)),
    "nearest_neighbours": (metrics.nearest_neighbours, (T, T, N)),
    "step_scores": (metrics.step_scores, (T,)),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
@cases(25, drawn=st.data())
def test_a_function_of_tensors(name: str, drawn: st.DataObject) -> None:
    function, strategies = CALLS[name]
    arguments = drawn.draw(st.tuples(*strategies))
    before = [argument.clone() if isinstance(argument, Tensor) else argument for argument in arguments]
    try:
        refused(lambda: function(*arguments), error=ValueError)
    except TypeCheckError as error:
        assert "typechecking parameter '" in str(error)  # noqa: PT017 - or a result, or another error
    except (IndexError, RuntimeError):  # torch's own words for what has no numbers, or one where it takes two
        assert any(isinstance(argument, Tensor) and min(argument.shape, default=0) < 2 for argument in arguments)
    for was, now in zip(before, arguments, strict=True):  # nothing is changed that was given
        assert not isinstance(was, Tensor) or torch.equal(was.nan_to_num(), now.nan_to_num())
