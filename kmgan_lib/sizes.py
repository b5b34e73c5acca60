"""What the groups of presets have in common, and the size and length that a profile gives to each network."""

from __future__ import annotations

from typing import Any

# What the presets of each group have in common; a group's name is the first part of its presets' names. The paper
# leaves Adam's alpha open: outside 28x28, where 0.0005 was found to learn faster, it is DCGAN's.
GROUPS: dict[str, dict[str, Any]] = {
    "synthetic": {
        "dataset": "synthetic", "network": "synthetic", "head": "sigmoid", "feature_dim": 2, "image_size": 1,
        "learning_rate": 2e-4,
    },
    # Short runs on few and small pictures: a larger step shows digits within seconds.
    "digits": {"dataset": "digits", "learning_rate": 1e-3},
    "mnist": {"dataset": "mnist"},
    "fashion": {"dataset": "fashion"},
    "cifar10": {"dataset": "cifar10", "network": "cifar10", "channels": 3, "image_size": 64, "learning_rate": 2e-4},
    "cifar10-32": {"dataset": "cifar10", "network": "cifar10", "channels": 3, "image_size": 32, "learning_rate": 2e-4},
    "celeba": {
        "dataset": "celeba", "network": "celeba", "head": "sigmoid", "channels": 3, "image_size": 64,
        "learning_rate": 2e-4,
    },
}  # fmt: skip

# Step sizes that `benchmarks/tuning.py` chose for each group from one grid; what is not here keeps its method's own.
RATES: dict[str, dict[str, float]] = {
    "mnist": {
        "dcgan": 1e-3,
        "dcgan-unconditional": 1e-3,
        "mbgan": 1e-3,
        "mlgan": 5e-4,
        "mlgan-clip": 1e-3,
        "ali": 1e-3,
        "improved_gan": 1e-3,
    },
}
RATES["fashion"] = RATES["mnist"]  # tuned on MNIST alone

# width, iterations, precision, snapshots, checkpoint_every, eval_samples
SIZES: dict[tuple[str, str], tuple[float, int, str, int, int, int]] = {
    ("synthetic", "smoke"): (1.0, 300, "float32", 5, 300, 1_000),
    ("synthetic", "quick"): (1.0, 3_000, "float32", 5, 1_000, 10_000),
    ("synthetic", "long"): (1.0, 3_900, "float32", 5, 1_000, 10_000),
    ("synthetic", "paper"): (1.0, 3_900, "float32", 5, 1_000, 10_000),  # 25 epochs of 10,000 points
    ("mnist", "smoke"): (1 / 8, 150, "float32", 3, 150, 500),
    ("mnist", "quick"): (1 / 8, 10_000, "float32", 5, 1_000, 10_000),
    ("mnist", "long"): (1 / 4, 27_325, "float32", 5, 1_000, 10_000),
    ("mnist", "paper"): (1.0, 27_325, "auto", 5, 1_000, 50_000),  # 25 epochs of 70,000 images
    ("cifar10", "smoke"): (1 / 8, 20, "float32", 2, 20, 200),
    ("cifar10", "quick"): (1 / 8, 3_000, "float32", 5, 500, 5_000),
    ("cifar10", "long"): (1 / 4, 23_425, "float32", 5, 500, 10_000),
    ("cifar10", "paper"): (1.0, 23_425, "float32", 5, 1_000, 50_000),  # 25 epochs of 60,000 images
    ("celeba", "smoke"): (1 / 8, 20, "float32", 2, 20, 200),
    ("celeba", "quick"): (1 / 8, 3_000, "float32", 5, 500, 5_000),
    ("celeba", "long"): (1 / 8, 25_000, "float32", 5, 500, 5_000),  # 34 epochs: an estimated 75 minutes on one core
    ("celeba", "paper"): (1.0, 79_125, "float32", 5, 1_000, 50_000),  # 25 epochs of 202,599 images
}
