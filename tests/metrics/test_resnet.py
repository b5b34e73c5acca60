import hashlib
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import resnet


def saved(folder: Path, content: object) -> Path:
    """Write a file whose name ends in the beginning of its SHA-256, as the published one does."""
    torch.save(content, folder / "file")
    digest = hashlib.sha256((folder / "file").read_bytes()).hexdigest()
    return (folder / "file").rename(folder / f"net-{digest[:8]}.th")


def test_a_resnet56_has_the_published_size_and_names() -> None:
    net = resnet.resnet(56)
    assert sum(p.numel() for p in net.parameters()) == 853_018  # 0.85 M in Table 6 of He et al.
    names = set(net.state_dict())
    assert {"conv1.weight", "bn1.running_var", "layer1.8.conv2.weight", "layer3.0.bn1.bias", "linear.bias"} <= names
    assert not [name for name in names if "normalise" in name]


def test_weights_are_read_and_the_last_layer_stands_on_64_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = resnet.resnet(56).eval()
    path = saved(tmp_path, {"state_dict": {f"module.{k}": v for k, v in source.state_dict().items()}})
    net = resnet.load_resnet56(path)
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(net(images), source(images))
        features = net[:-1](images)
        assert features.shape == (3, 64)
        torch.testing.assert_close(F.linear(features, source[-1].weight, source[-1].bias), source(images))  # pyright: ignore


def test_the_shortcut_takes_every_second_pixel_and_adds_empty_channels() -> None:
    block = resnet._block(4, 8).eval()
    torch.nn.init.zeros_(block.get_parameter("bn2.weight"))  # only the shortcut is left
    x = torch.rand(2, 4, 6, 6)
    with torch.no_grad():
        out = block(x)
    assert torch.equal(out[:, 2:6], x[:, :, ::2, ::2])
    assert out[:, :2].abs().sum() + out[:, 6:].abs().sum() == 0


@pytest.mark.parametrize("content", [{"state_dict": {}}, {}, "text"], ids=["empty", "no", "text"])
def test_another_file_and_a_damaged_one_are_refused(tmp_path: Path, content: object) -> None:
    path = saved(tmp_path, content)
    with pytest.raises(UsageError, match="is not the ResNet-56 it should be"):
        resnet.load_resnet56(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UsageError, match="SHA-256"):
        resnet.load_resnet56(path)
