"""ResNet-56 for CIFAR-10 (He et al., 2016), as trained by Y. Idelbayev (akamaster/pytorch_resnet_cifar10, BSD)."""

import hashlib
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock
from torchvision.transforms import Normalize

from kmgan_lib.errors import UsageError
from kmgan_lib.files import first_line

FILE = "classifiers/cifar10-resnet56-4bfd9763.th"  # below a data root; the name ends in the SHA-256's beginning
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _block(inputs: int, outputs: int) -> nn.Module:
    """Two convolutions; a shortcut to more channels has no parameters: every second pixel, and zeros for the added."""
    if inputs == outputs:
        return BasicBlock(inputs, outputs)
    added = (outputs - inputs) // 2
    shortcut = nn.Sequential(nn.MaxPool2d(1, stride=2), nn.ConstantPad3d((0, 0, 0, 0, added, added), 0.0))
    return BasicBlock(inputs, outputs, 2, shortcut)


def resnet(depth: int = 56, classes: int = 10) -> nn.Sequential:
    """ResNet of 6n + 2 layers for RGB images (b, 3, 32, 32) in [0, 1]; its last layer is the classifier.

    The features before it are (b, 64). Parts are named as in the published weights.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        normalise=Normalize(MEAN, DEVIATION), conv1=nn.Conv2d(3, 16, 3, padding=1, bias=False),
        bn1=nn.BatchNorm2d(16), relu=nn.ReLU(),
    )  # fmt: skip
    inputs = 16
    for i, outputs in enumerate((16, 32, 64), start=1):
        parts[f"layer{i}"] = nn.Sequential(*(_block(outputs if j else inputs, outputs) for j in range(depth // 6)))
        inputs = outputs
    parts |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "linear": nn.Linear(64, classes)}
    return nn.Sequential(parts)


def load_resnet56(path: Path) -> nn.Sequential:
    """The pretrained network from its file, read without running anything that is in it.

    A `UsageError` if the file is not the published one: the numbers of a report name it.
    """
    expected = path.stem.rsplit("-", 1)[-1]
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    net = resnet(56)
    try:
        if not found.startswith(expected):
            raise ValueError(f"SHA-256 {found[:8]}... instead of {expected}...")
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        net.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    except Exception as error:  # torch.load raises many kinds for a broken file, all of them meaning this
        reason = first_line(error)
        raise UsageError(f"{path} is not the ResNet-56 it should be ({reason}): get it again, or remove it") from None
    return net.eval().requires_grad_(False)
