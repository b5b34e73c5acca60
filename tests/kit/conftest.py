"""Records that are made up in memory, verdicts that follow from them, and what stands for Python in a sweep."""

import functools
import json
import operator
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kmgan_book import claims
from kmgan_book.claims import Claim, Verdict
from kmgan_book.records import Record

from ..conftest import MadeUp

NOWHERE = Path("nowhere")
Patch = pytest.MonkeyPatch


def record(seed: int, numbers: Mapping[str, float | None], folder: Path = NOWHERE, **result: Any) -> Record:
    """A record with these numbers of measures, such as ``classifier_score.value``; with None for one it diverged."""
    metrics, row = dict[str, dict[str, Any]](), dict[str, Any]()
    for measure, value in numbers.items():
        name, key, *end = measure.split(".")
        if name == "history":
            row[key] = value
        elif end:  # of a list, of which only the ends are read
            metrics.setdefault(name, {}).setdefault(key, []).append(value)
        else:
            metrics.setdefault(name, {})[key] = value
    diverged = None in numbers.values()
    status = {"status": "diverged" if diverged else "completed", "metrics": {} if diverged else metrics}
    made = Record(folder, {"seed": seed, **status, **result})
    made.__dict__["history"] = [row]
    return made


def put_in(root: Any, place: Sequence[Any], value: Any) -> None:
    """Replace a part of a nested structure, or with ... as a value remove it."""
    node = functools.reduce(operator.getitem, place[:-1], root)
    if value is ...:
        del node[place[-1]]
    else:
        node[place[-1]] = value


def verdict_on(claim: Claim, found: Mapping[str, Sequence[Record]]) -> Verdict:
    """The verdict on a claim from records of every preset that it needs."""
    parts = {part: [each.evaluate(found) for each in listed] for part, listed in claim.parts.items()}
    return Verdict(claim, claims._word(parts), claim.profiles[-1], parts, [], found)


def commit(folder: Path, at: int = 0) -> str:
    """The full name of a commit of all that is in a folder, so many hours after a moment of 2023."""
    env = {**os.environ, "GIT_COMMITTER_DATE": f"{1_700_000_000 + 3600 * at} +0000"}
    for words in ("init -q", "add -A", "-c user.name=n -c user.email=e@x commit -qm m --allow-empty", "rev-parse HEAD"):
        command = ["git", *words.split()]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, encoding="utf8", env=env)
    return done.stdout.strip()


# What stands for `python -m kmgan_lib`: it notes its process number and that of the seed, and does what is said.
SCRIPT = """#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in --out) out=$2;; --seed) seed=$2;; evaluate) echo "$@"; {evaluate};; esac
  shift
done
echo $$ > {folder}/pid; echo "$seed" >> {folder}/begun
{train}
"""


def pretended(made_up: MadeUp, folder: Path, train: str, evaluate: str = "exit 0", seeds: int = 1, **made: Any) -> str:
    """The path of a script that stands for Python in a sweep; COPY in what it does is to copy a run that is made up."""
    for seed in range(seeds):
        run = made_up(folder / "made", "digits/kmgan", profile="smoke", seed=seed, **made)
        config = {key: run.result[key] for key in ("preset", "profile", "seed")}
        (run.directory / "config.json").write_text(json.dumps(config))
    copy = f'cp -r {folder}/made/digits/kmgan/smoke-seed"$seed" "$out"'
    path = folder / "python"
    path.write_text(SCRIPT.format(folder=folder, evaluate=evaluate, train=train.replace("COPY", copy)))
    path.chmod(0o755)
    return str(path)
