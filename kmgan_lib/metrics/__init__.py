"""Measures of generated images and of features: pure functions of tensors, which `evaluate` applies to a run."""

from kmgan_lib.metrics.classifier import Judge, judge
from kmgan_lib.metrics.clustering import clustering_scores, kmeans_labels
from kmgan_lib.metrics.evaluate import METRICS, applicable, evaluate
from kmgan_lib.metrics.frequency import class_frequency
from kmgan_lib.metrics.scores import inception_score

__all__ = [
    "METRICS", "Judge", "applicable", "class_frequency", "clustering_scores", "evaluate", "inception_score", "judge",
    "kmeans_labels",
]  # fmt: skip
