"""Saved generators, what they draw, and the sheets that show it."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from kmgan_lib import methods, presets
from kmgan_lib.errors import UsageError
from kmgan_lib.generator import Generator, load_generator
from kmgan_lib.sheets import save_sheet, sheet


def make(name: str, **overrides: object) -> Generator:
    preset = presets.resolve(name, "smoke", width=0.125, **overrides)
    return Generator(methods.create(preset).eval_generator(), preset)


@pytest.fixture(scope="module")
def plain() -> Generator:
    return make("digits/kmgan", z_dim=20)


@pytest.fixture(scope="module")
def conditional() -> Generator:
    return make("digits/dcgan", conditional=True)


def test_a_sample_is_fixed_by_its_seed_alone(plain: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    first = plain.sample(4, seed=7)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(first, plain.sample(4, seed=7))
    assert not torch.equal(first, plain.sample(4, seed=8))
    assert torch.equal(before, torch.get_rng_state())
    monkeypatch.setattr("kmgan_lib.generator.CHUNK", 3)
    torch.testing.assert_close(plain.sample(4, seed=7), first, atol=1e-5, rtol=0)


def test_an_interpolation_is_a_straight_line_between_the_samples_of_its_seeds(plain: Generator) -> None:
    strip = plain.interpolate(3, 9, 5)
    assert strip.shape == (5, 1, 28, 28)
    torch.testing.assert_close(strip[:1], plain.sample(1, seed=3), atol=1e-5, rtol=0)
    torch.testing.assert_close(strip[-1:], plain.sample(1, seed=9), atol=1e-5, rtol=0)
    middle = (plain.noise(1, 3) + plain.noise(1, 9)) / 2
    torch.testing.assert_close(plain.interpolate(3, 9, 3)[1:2], plain.images(middle), atol=1e-5, rtol=0)


def test_a_conditional_generator_cycles_its_classes_and_keeps_one_along_a_line(conditional: Generator) -> None:
    noise = conditional.noise(1).expand(12, -1)
    cycled = conditional.images(noise)
    assert torch.allclose(cycled[0], cycled[10], atol=1e-5)
    assert not torch.allclose(cycled[0], cycled[1], atol=1e-5)
    torch.testing.assert_close(conditional.images(noise, [3] * 12)[0], cycled[3], atol=1e-5, rtol=0)
    still = conditional.interpolate(13, 13, 3)
    torch.testing.assert_close(still[0], still[2], atol=1e-5, rtol=0)


def test_images_are_ordinary_tensors_and_noise_and_labels_of_another_shape_are_refused(conditional: Generator) -> None:
    for images in (conditional.sample(2), conditional.interpolate(0, 1, 2)):
        images.mul_(0.5)  # may be changed in place and trained with
        assert not images.is_inference()
        assert not images.requires_grad
    for noise in (torch.rand(3, 5), torch.rand(100), torch.rand(3, 1, 100)):
        with pytest.raises(UsageError, match=r"^noise "):
            conditional.images(noise)
    for labels in ([0, 1], [0, 1, 10], [0, 1, -1], [[0], [1], [2]]):
        with pytest.raises(UsageError, match=r"^labels "):
            conditional.images(conditional.noise(3), torch.tensor(labels))
    assert conditional.images(conditional.noise(3)[:0]).shape == (0, 1, 28, 28)


def test_a_saved_generator_comes_back_in_half_precision(conditional: Generator, tmp_path: Path) -> None:
    path = tmp_path / "generator.safetensors"
    conditional.save(path)
    assert {tensor.dtype for name, tensor in load_file(path).items() if "tracked" not in name} == {torch.float16}
    for source in (path, tmp_path, str(tmp_path)):
        loaded = load_generator(source)
        assert loaded.preset == conditional.preset
        torch.testing.assert_close(loaded.sample(4, seed=2), conditional.sample(4, seed=2), atol=5e-3, rtol=0)
        assert not loaded.net.training
        assert not any(p.requires_grad for p in loaded.net.parameters())


def test_a_preset_name_means_its_newest_run(plain: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="`kmgan train digits/kmgan` makes one"):
        load_generator("digits/kmgan")
    old, new = (tmp_path / "runs/digits/kmgan" / n / "generator.safetensors" for n in ("smoke-seed0", "quick-seed0"))
    plain.save(new)
    make("digits/kmgan", z_dim=5).save(old)
    os.utime(old, (1, 1))
    assert load_generator("digits/kmgan").preset.z_dim == plain.preset.z_dim


def test_foreign_and_damaged_safetensors_are_refused(plain: Generator, tmp_path: Path) -> None:
    path = tmp_path / "generator.safetensors"
    foreign, one = "is not a generator written by kmgan", torch.ones(2)
    for weight, about, message in (
        (one, None, foreign), (one, {"preset": "no json"}, foreign),
        (one.bfloat16(), {"preset": "{}"}, foreign),  # NumPy, which sums it up, has no such kind
        (one, {"preset": '{"k": 3}'}, "another version of kmgan"),
    ):  # fmt: skip
        save_file({"weight": weight}, path, about)
        with pytest.raises(UsageError, match=message):
            load_generator(path)
    Generator(plain.net, presets.resolve("digits/kmgan", "smoke", z_dim=21, width=0.125)).save(path)
    with pytest.raises(UsageError, match="does not fit its own preset"):
        load_generator(path)


def test_tiles_stand_row_by_row_with_white_between() -> None:
    images = torch.arange(5).view(5, 1, 1, 1).expand(5, 1, 2, 3) / 5
    canvas = sheet(images, columns=3)
    assert canvas.shape == (2 * 2 + 1, 3 * 3 + 2, 3)
    assert [canvas[0, x, 0] for x in (0, 4, 8)] == [0, 51, 102]
    assert [canvas[3, x, 0] for x in (0, 4, 8)] == [153, 204, 255]
    assert (canvas[2] == 255).all()
    assert (canvas[:, 3] == 255).all()
    assert sheet(torch.zeros(7, 3, 4, 4)).shape == (14, 14, 3)  # as square as it can be
    colour = torch.tensor([2.0, 0.5, -1.0]).view(1, 3, 1, 1)
    assert sheet(colour).tolist() == [[[255, 128, 0]]]


def test_a_saved_sheet_reads_back_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    images = torch.rand(4, 3, 8, 8)
    for suffix in (".png", ".bmp", ".webp"):
        path = save_sheet(images, tmp_path / suffix[1:] / f"grid{suffix}", zoom=2)
        assert [p.name for p in path.parent.iterdir()] == [path.name]
        with Image.open(path) as picture:
            assert picture.size == (34, 34)
            if suffix != ".webp":  # which loses a little
                assert np.array_equal(np.asarray(picture)[::2, ::2], sheet(images))
