"""Every chapter works with other parameters than its own."""

import os
from pathlib import Path
from typing import Any

import papermill
import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"
CHANGED: list[tuple[str, dict[str, Any]]] = [
    ("intro", {"dataset": "fashion", "iterations": 30, "seed": 1}),
    ("primer", {"seed": 1}),
    ("method", {"seed": 5, "k": 7, "d": 2, "b": 12}),
    ("synthetic", {"seed": 3}),
    ("pixels", {"dataset": "fashion", "k": 5, "seed": 1}),
    ("clipping", {"dataset": "fashion", "seed": 1}),
    ("fashion", {"dataset": "digits", "k": 5, "seed": 1}),
    ("cifar10", {"group": "cifar10", "seed": 1}),
    ("celeba", {"lambda_pair": 1.0, "k": 5, "seed": 1}),
    ("ablations", {"dataset": "fashion", "k": 5, "d_round": 100.0, "lambda_pair": 2.0, "clip": 1.0, "iterations": 40}),
    ("ablations", {"dataset": "digits", "grouping": "random", "iterations": 40, "seed": 2}),
    ("speed", {"seed": 1}),
    ("own_images", {"k": 5, "image_size": 28, "iterations": 20, "seed": 1}),
    ("verdict", {}),
    ("evidence", {}),
    ("repair", {"dataset": "fashion", "k": 5, "iterations": 40, "seed": 1}),
]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # of papermill and the notebook client
@pytest.mark.parametrize(("chapter", "changes"), CHANGED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_chapter_runs_with_other_parameters(tmp_path: Path, chapter: str, changes: dict[str, Any]) -> None:
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    papermill.execute_notebook(
        BOOK / f"{chapter}.ipynb", tmp_path / "out.ipynb", parameters={"profile": "smoke", **changes},
        kernel_name="python3", cwd=BOOK, progress_bar=False,
    )  # fmt: skip


def test_every_chapter_is_there() -> None:
    assert {chapter for chapter, _ in CHANGED} == {path.stem for path in BOOK.glob("*.ipynb")}
