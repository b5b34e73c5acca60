"""Measures of generated images and of features: pure functions of tensors, which `evaluate` applies to a run."""

from kmgan_lib.metrics import measures  # noqa: F401 - they register themselves
from kmgan_lib.metrics.classifier import Classifier, load_classifier
from kmgan_lib.metrics.evaluation import METRICS, evaluate
from kmgan_lib.metrics.inception import inception_measures
from kmgan_lib.metrics.neighbours import (
    coverage_scores,
    line_scores,
    memorisation_scores,
    nearest_neighbours,
    step_scores,
)  # fmt: skip
from kmgan_lib.metrics.scores import (
    center_scores,
    class_frequency,
    clustering_scores,
    corrected_frequency,
    frechet_distance,
    inception_score,
    kernel_distance,
    kmeans_labels,
    within_class_scores,
)  # fmt: skip

__all__ = [
    "METRICS", "Classifier", "center_scores", "class_frequency", "clustering_scores", "corrected_frequency",
    "coverage_scores", "evaluate", "frechet_distance", "inception_measures", "inception_score",
    "kernel_distance", "kmeans_labels", "line_scores", "load_classifier", "memorisation_scores", "nearest_neighbours",
    "step_scores", "within_class_scores",
]  # fmt: skip
