"""Measures of generated images and of features: pure functions of tensors, which `evaluate` applies to a run."""

from kmgan_lib.metrics.classifier import Judge, judge
from kmgan_lib.metrics.clustering import clustering_scores, kmeans_labels, silhouette
from kmgan_lib.metrics.collapse import center_scores, mode_scores, within_class_scores
from kmgan_lib.metrics.coverage import coverage_scores
from kmgan_lib.metrics.distances import frechet_distance, kernel_distance
from kmgan_lib.metrics.evaluate import METRICS, applicable, evaluate
from kmgan_lib.metrics.frequency import class_frequency, corrected_frequency
from kmgan_lib.metrics.inception import inception_measures
from kmgan_lib.metrics.neighbours import memorisation_scores, nearest_neighbours
from kmgan_lib.metrics.paths import line_scores, path_lengths
from kmgan_lib.metrics.scores import inception_score

__all__ = [
    "METRICS", "Judge", "applicable", "center_scores", "class_frequency", "clustering_scores", "corrected_frequency",
    "coverage_scores", "evaluate", "frechet_distance", "inception_measures", "inception_score", "judge",
    "kernel_distance", "kmeans_labels", "line_scores", "memorisation_scores", "mode_scores", "nearest_neighbours",
    "path_lengths", "silhouette", "within_class_scores",
]  # fmt: skip
