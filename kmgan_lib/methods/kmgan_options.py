"""KM-GAN's own options, and its presets: the readings and ablations of the book."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kmgan_lib import losses
from kmgan_lib.centers import UPDATES
from kmgan_lib.config import Options, Preset
from kmgan_lib.fields import field


@dataclass(frozen=True)
class KMGANOptions(Options):
    """What only KM-GAN has."""

    k: int = field(10, "Section 2.1", "number of centers", above=0)
    grouping: str = field(
        "nearest", "ours", "labels: nearest centers, or as controls K-Means on pixels, random ones, or for real images "
        "the true ones or a fixed random partition", ("nearest", "pixels", "random", "true", "partition"),
    )  # fmt: skip
    told: bool = field(
        False, "ours", "G is told the cluster that it shall draw, and Eq. (6) pulls it there", later=True
    )
    center_loss: bool = field(True, "Eq. (4)", "train on the center loss; off for the ablation of Section 3.1")
    center_moves: str = field(
        "both", "Algorithm 1", "networks that the center step moves", ("both", "discriminator", "generator"), later=True
    )
    d_round: float = field(0.0, "Eq. (4); readings, row 1", "threshold of the center loss", least=0)
    center_gate: str = field(
        "floor", "readings, row 1", "what d_round bounds: the loss from below, or the first or last iteration",
        ("floor", "start_step", "stop_step"),
    )  # fmt: skip
    per_cluster: bool = field(False, "readings, row 2", "distances of corresponding centers, not of their sums")
    center_update: str = field("eq4", "readings, row 6", "how a batch moves the centers", UPDATES)
    fresh: bool = field(
        False, "readings, row 7", "recompute the features after the third step, with one more pass, for the update"
    )
    fake_labels: str = field("real", "readings, row 4", "centers that label generated samples", ("real", "own"))
    reduction: str = field("frobenius", "readings, row 9", "norm of Eqs. (5) and (6)", losses.REDUCTIONS)
    lambda_pair: float = field(0.0, "Eq. (7)", "weight lambda of L_intra and L_inter", least=0)
    pair_reduction: str = field("mean", "readings, row 33", "pair sums as printed, or means", losses.PAIR_REDUCTIONS)
    init_images: int = field(10_000, "readings, row 23", "images whose features k-means++ sees", least=2)
    lloyd_iterations: int = field(0, "readings, row 23", "rounds of Lloyd's algorithm after k-means++", least=0)
    recluster_every: int = field(1000, "readings, row 6", "iterations between two runs of recluster", above=0)
    clip: float | None = field(None, "Section 4.2.2", "bound on D's parameters, or none", above=0)
    clip_scope: str = field("all", "readings, row 14", "which parameters are clipped", ("all", "weights"))
    generator_updates: int = field(1, "Algorithm 1; readings, row 20", "updates of G for one of D", above=0)


def variants(base: Preset) -> Mapping[str, Mapping[str, Any]]:
    """The readings and ablations of a data set: name behind the slash to what differs from the defaults."""
    if base.network == "synthetic":
        return {"kmgan": {"k": 4}, "kmgan-nocenter": {"k": 4, "center_loss": False}}
    controls: dict[str, dict[str, Any]] = {
        "kmgan-nocenter": {"center_loss": False}, "kmgan-k1": {"k": 1}, "kmgan-percluster": {"per_cluster": True},
        "kmgan-random": {"grouping": "random"}, "kmgan-true": {"grouping": "true"},
        "kmgan-told": {"grouping": "true", "told": True}, "kmgan-partition": {"grouping": "partition"},
        "kmgan-pixels": {"grouping": "pixels"}, "kmgan-centerd": {"center_moves": "discriminator"},
        "kmgan-centerg": {"center_moves": "generator"}, "kmgan-heldout": {"split": "train"},
    }  # fmt: skip
    if base.network == "mnist":
        return {
            "kmgan": {}, "kmgan-clip": {"clip": 1.0}, "kmgan-clip001": {"clip": 0.01},
            "kmgan-clip001w": {"clip": 0.01, "clip_scope": "weights"}, **controls,
            "kmgan-lr2e4": {"learning_rate": 2e-4},
            "kmgan-lr2e4-nocenter": {"learning_rate": 2e-4, "center_loss": False},
            "kmgan-printed": {"d_round": 10_000.0},
            "kmgan-printed-1024": {"d_round": 10_000.0, "feature_dim": 1024},
            # Of quick's 10,000 iterations the part that 10,000 are of 25 epochs.
            "kmgan-start": {"center_gate": "start_step", "d_round": 3_660.0},
            "kmgan-generalized": {"lambda_pair": 5.0}, "kmgan-generalized-k20": {"lambda_pair": 5.0, "k": 20},
        }  # fmt: skip
    # Every parameter within 0.01 silences D behind its last batch normalisation; the weights alone leave it be.
    weights: dict[str, Any] = {"clip": 0.01, "clip_scope": "weights"}
    printed: dict[str, Any] = {"clip": 0.01, "clip_scope": "all", "d_round": 20_000.0}
    if base.dataset == "celeba":
        faces = {"lambda_pair": 5.0}
        return {
            "generalized": weights | faces, "generalized-heldout": weights | faces | {"split": "train"},
            "generalized-k20": weights | faces | {"k": 20},
            "generalized-printed": printed | faces | {"pair_reduction": "sum"}, "kmgan": weights,
        }  # fmt: skip
    return {
        "kmgan": weights, "kmgan-printed": printed, "kmgan-noclip": {},
        **{name: weights | changes for name, changes in controls.items()},
    }  # fmt: skip
