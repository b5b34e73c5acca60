"""KM-GAN+: its losses, its clusters, and that nothing of them moves between two runs of K-Means."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from kmgan_lib import methods, presets
from kmgan_lib.centers import assign, fed, lloyd
from kmgan_lib.data.images import Images, content_keys, to_unit
from kmgan_lib.errors import UsageError
from kmgan_lib.generator import Generator
from kmgan_lib.methods.base import draw_noise
from kmgan_lib.models.layers import one_hot

from ..conftest import same_weights

BATCH, COUNT = 8, 60
SMALL = {"batch": BATCH, "width": 0.125, "z_dim": 10, "k": 3, "cluster_images": 50, "recluster_every": 4}


def pictures() -> Tensor:
    """Sixty images of three kinds, each its own brightness."""
    random = torch.Generator().manual_seed(0)
    kinds = torch.tensor([40, 120, 200]).repeat(COUNT // 3)
    return (kinds.view(-1, 1, 1, 1) + torch.randint(-30, 30, (COUNT, 1, 28, 28), generator=random)).byte()


def make(name: str = "kmgan_plus", **changes: Any) -> Any:
    method = methods.create(presets.resolve(f"digits/{name}", "smoke", **{**SMALL, **changes}), seed=1)
    method.training_set = pictures()
    method.setup(method.training_set)
    return method


def batch(method: Any, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(COUNT, generator=random)[:BATCH]
    return to_unit(pictures()[chosen]), chosen % 3, draw_noise(method.preset, BATCH, random)


def test_the_hinge_is_of_values_projected_on_the_cluster() -> None:
    method = make(norm="spectral", loss="hinge")
    for _ in range(30):  # the power method follows the weights
        method._value(method.D(torch.rand(2, 1, 28, 28)), torch.zeros(2, dtype=torch.int64))
    images, _, noise = batch(method)
    before = copy.deepcopy(method)
    losses = method.step(images, None, noise)
    with torch.no_grad():
        y = assign(before.anchor(images), before.centers)
        f, g = before.D(images), before.D(before.G(noise, y))
        w, e, b = before.logit.weight[0], before.embedding.weight, before.logit.bias
        real, fake = ((h * (w + e[y])).sum(1) + b for h in (f, g))
        expected = torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()
    torch.testing.assert_close(losses["loss_d"], expected, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(losses["real_value"], real.mean(), rtol=1e-2, atol=1e-3)
    assert len(y.unique()) == 3
    for weight in (e, *(getattr(before.discriminator_net, name).weight.flatten(1) for name in ("conv1", "conv2"))):
        assert torch.linalg.matrix_norm(weight.detach(), 2) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("name", "changes"), [("dcgan-unconditional", {}), ("sngan", {"norm": "spectral", "loss": "hinge"})]
)
def test_without_clusters_it_is_dcgan_or_sngan(name: str, changes: dict[str, Any]) -> None:
    """Weights from the same seed, and the same losses from step to step."""
    preset = presets.resolve(f"digits/{name}", "smoke", batch=BATCH, width=0.125, z_dim=10)
    plus, plain = make(grouping="none", **changes), methods.create(preset, seed=1)
    for seed in range(3):
        ours, theirs = (method.step(*batch(method, seed)) for method in (plus, plain))
        for key in ("loss_d", "loss_g"):
            torch.testing.assert_close(ours[key], theirs[key])


def test_the_center_loss_pulls_real_and_generated_means_of_each_cluster_together() -> None:
    method = make(center_loss=0.1)
    images, _, noise = batch(method)
    y = method.clusters(images, None)
    with torch.no_grad():
        f, g = method.D(images), method.D(method.G(noise, y))
        hot = one_hot(y, 3)
        expected = ((hot.T @ (f - g)) / (1 + hot.sum(0).unsqueeze(1))).abs().sum()
        torch.testing.assert_close(method._between(f, g, y), expected)
    other = make(center_loss=0.0)
    for _ in range(40):
        for each in (method, other):
            each.step(images, None, noise)
    assert method.step(images, None, noise)["loss_center"] < 0.7 * other.step(images, None, noise)["loss_center"]


@pytest.mark.parametrize("norm", ["spectral", "batch"])
def test_images_keep_their_clusters_until_k_means_runs_again(norm: str) -> None:
    method = make(norm=norm)
    images = to_unit(pictures())
    first = method.clusters(images, None)
    assert len(first.unique()) == 3
    for done in (0, 1, 2, 3):
        method.before_step(done)
        method.step(*batch(method, done))
        assert torch.equal(method.clusters(images, None), first)
    kept = method.centers.clone()
    method.before_step(4)
    assert not torch.equal(method.centers, kept)
    assert same_weights(method.anchor, method.discriminator_net)


def test_new_clusters_take_the_names_of_the_old_ones() -> None:
    """Three kinds that any features tell apart: whatever the order of the centers, an image keeps its number."""
    method = make(cluster_images=COUNT)
    images = to_unit(pictures())
    before = method.clusters(images, None)
    assert all(len(before[kind::3].unique()) == 1 for kind in range(3))
    method.step(*batch(method))
    order = torch.tensor([2, 0, 1])
    method.centers.copy_(method.centers[order])
    renamed = method.clusters(images, None)
    assert not torch.equal(renamed, before)
    method._recluster(pictures(), 4)
    assert torch.equal(method.clusters(images, None), renamed)


def test_g_and_the_generator_file_know_the_shares_of_the_clusters() -> None:
    method = make()
    uneven = torch.cat([pictures()[::3], pictures()[1::3][:5], pictures()[2::3][:5]])
    method.setup(uneven)
    shares = method.generator_net.shares
    assert sorted(round(float(share) * 30) for share in shares) == [5, 5, 20]
    assert torch.equal(method.average_net.shares, shares)
    labels = Generator(method.eval_generator(), method.preset).labels(600)
    torch.testing.assert_close(one_hot(labels, 3).mean(0), shares, atol=0.005, rtol=0)
    assert torch.equal(Generator(method.eval_generator(), method.preset).labels(10), labels[:10])


def test_the_controls_group_by_content_and_by_true_labels() -> None:
    images, labels, _ = batch(make())
    random = make("kmgan_plus-random").clusters(images, None)
    assert torch.equal(random, content_keys(images) % 3)
    assert torch.equal(make("kmgan_plus-true").clusters(images, labels), labels)
    told = {Generator(m.eval_generator(), m.preset).classes for m in (make(told=False), make(grouping="none"))}
    assert told == {0}


def test_centers_as_embeddings_are_apart_from_their_mean_and_of_spectral_norm_1() -> None:
    method = make(embedding="centers")
    torch.testing.assert_close(method.directions.mean(0), torch.zeros(128), atol=1e-6, rtol=0)
    assert torch.linalg.matrix_norm(method.directions, 2) == pytest.approx(1, abs=1e-5)
    apart = method.centers - method.centers.mean(0)
    assert torch.nn.functional.cosine_similarity(method.directions, apart).min() > 0.999


def test_starved_centers_are_put_where_features_are() -> None:
    random = torch.Generator().manual_seed(0)
    corners = torch.tensor([[0.0, 0], [5, 0], [0, 5], [5, 5]])
    features = torch.randn(400, 2, generator=random) * 0.1 + corners.repeat(100, 1)
    lost = torch.tensor([[2.5, 2.5], [100, 100], [100, -100], [-100, 100]])
    assert len(assign(features, lloyd(features, lost, 20)).unique()) == 1
    shares = one_hot(assign(features, fed(features, lost, random, 20)), 4).mean(0)
    assert shares.tolist() == [0.25] * 4
    assert torch.equal(fed(torch.ones(20, 2), torch.ones(4, 2), random, 20), torch.ones(4, 2))  # nothing to draw from
    features[0] = 1e30
    assert fed(features, lost, random, 20).shape == lost.shape  # whose squares are too large to draw by


def test_k_means_runs_on_a_d_that_diverged_and_the_losses_say_so() -> None:
    method = make()
    with torch.no_grad():
        next(method.discriminator_net.parameters()).fill_(torch.nan)
    method.before_step(4)
    assert method.directions.isfinite().all()
    assert method.step(*batch(method))["loss_d"].isnan()


def test_it_wants_as_many_images_as_clusters_and_labels_where_they_group() -> None:
    kind = methods.method(presets.PRESETS["digits/kmgan_plus"].method)
    few = Images(pictures()[:4], None)
    with pytest.raises(UsageError, match="k=5 centers need at least 5 images, and there are 4"):
        kind.check_data(presets.resolve("digits/kmgan_plus", k=5), few)
    with pytest.raises(UsageError, match="grouping=true needs a data set with labels"):
        kind.check_data(presets.resolve("digits/kmgan_plus-true", k=4), few)
