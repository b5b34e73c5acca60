"""Nothing is run from a file: no module has the means to, and pickles that carry code are refused, their code unrun."""

import ast
import io
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from book.tools import profiles
from kmgan_book import claims
from kmgan_lib import data, files, generator
from kmgan_lib.data import readers
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import classifier, inception_measures
from kmgan_lib.training.run import CHECKPOINT, KEYS, load_checkpoint

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*(ROOT / "kmgan_lib").rglob("*.py"), *(ROOT / "book" / "tools").rglob("*.py")])


def test_no_module_can_run_what_a_file_holds() -> None:
    """What ruff's S rules do not look for: they refuse pickles, eval, unsafe YAML, shells and unpacking as it comes."""
    calls = [
        (ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords})
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8")))
        if isinstance(node, ast.Call)
    ]
    loads = [keywords for name, keywords in calls if name == "torch.load"]
    assert loads
    assert all(keywords.get("weights_only") == "True" for keywords in loads)
    assert all(keywords.get("allow_pickle") == "False" for name, keywords in calls if name in ("np.load", "numpy.load"))
    assert not {"torch.jit.load", "torch.hub.load", "joblib.load", "pd.read_pickle"} & {name for name, _ in calls}


class Bomb:
    """An object whose unpickling touches a file."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.target,)


def written(content: object) -> list[bytes]:
    """A file that holds this, as torch writes it, as it did once, and as pickle does."""
    new, old = io.BytesIO(), io.BytesIO()
    torch.save(content, new)
    torch.save(content, old, _use_new_zipfile_serialization=False)
    return [new.getvalue(), old.getvalue(), pickle.dumps(content)]


@pytest.fixture
def bomb(tmp_path: Path) -> Iterator[Bomb]:
    """A live bomb that must not have gone off."""
    made = Bomb(tmp_path / "ran")
    pickle.loads(pickle.dumps(made))
    assert made.target.exists()
    made.target.unlink()
    yield made
    assert not made.target.exists()


PLAIN = torch.zeros(10, 1, 4, 4, dtype=torch.uint8)
# What a file is, its names, who reads it, and what is said; as if checksums were right, where there are any.
READ: dict[str, tuple[list[str], Callable[[Path], object], str]] = {
    "checkpoint": ([CHECKPOINT], lambda p: load_checkpoint(p, "cpu"),
                   r"checkpoint\.pt is not a usable checkpoint"),
    "generator": ([files.GENERATOR], generator.load_generator, "is not a generator written by kmgan"),
    "batch of CIFAR": ([f"cifar-10-batches-py/{name}" for name in readers.BATCHES],
                       lambda p: data.load("cifar10", root=p), "data_batch_1 is not the file of the release"),
    "pretrained classifier": (["resnet-.th"], lambda p: classifier.load_resnet56(p / "resnet-.th"),
                         "is not the ResNet-56 it should be"),
    "weights of Inception": (["weights.pth"], lambda p: inception_measures(PLAIN, PLAIN, weights=p / "weights.pth"),
                             "is no plain data"),
}  # fmt: skip


@pytest.mark.parametrize("what", READ)
def test_a_bomb_in_a_file_is_refused(tmp_path: Path, bomb: Bomb, what: str) -> None:
    names, read, message = READ[what]
    if what == "weights of Inception":
        pytest.importorskip("torch_fidelity")
    around = dict.fromkeys(("data", "labels", "state_dict", "weights", "history"), bomb)
    for content in written(bomb) + written({**dict.fromkeys(KEYS, 1), **around}):
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=message):
            read(tmp_path)


def test_a_bomb_as_a_classifier_of_the_cache(tmp_path: Path, bomb: Bomb, caplog: pytest.LogCaptureFixture) -> None:
    for content in written(bomb):
        (tmp_path / "judge.safetensors").write_bytes(content)
        assert classifier._load(tmp_path / "judge.safetensors", torch.nn.Sequential()) is None
    assert caplog.text.count("cannot be used") == 3


TAGS = ["!!python/object/apply:os.system ['touch ran']", "!!python/name:os.system", "!!python/object/new:tuple [[1]]"]


@pytest.mark.parametrize("name", ["claims.yml", "profiles.yml", "_toc.yml"])
def test_a_tag_of_python_in_a_file_of_the_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert yaml.unsafe_load("!!python/name:os.system").__name__ == "system", "the tags are live"
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text("root: index\n")
    path = tmp_path / name if name == "_toc.yml" else tmp_path / "book" / name
    for tag in TAGS:
        path.write_text(f"C1:\n  title: {tag}\n")
        with pytest.raises(UsageError, match=f"{name}.*: could not determine a constructor"):
            claims.load(path) if name == "claims.yml" else profiles.load(tmp_path, "smoke")
    assert not (tmp_path / "ran").exists()


def test_a_record_with_a_bomb_in_it_is_text(tmp_path: Path, bomb: Bomb) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"preset": pickle.dumps(bomb).decode("latin1")}))
    assert isinstance(files.read_json(tmp_path / "x.json")["preset"], str)
