"""Measures of a finished run: a registry, each result one JSON line with sample count, time and extractor."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from kmgan_lib import files
from kmgan_lib.errors import UsageError, did_you_mean
from kmgan_lib.metrics import measures  # noqa: F401 - its measures register themselves
from kmgan_lib.metrics.inception import Unavailable
from kmgan_lib.metrics.subject import METRICS, Subject
from kmgan_lib.training import lock
from kmgan_lib.training.run import Run

log = logging.getLogger(__name__)


def applicable(run: Run) -> list[str]:
    """Names of the measures that make sense for a run."""
    return [name for name, measure in METRICS.items() if measure.applies(run.preset)]


def _chosen(run: Run, only: Sequence[str] | None, everything: bool) -> list[str]:
    possible = applicable(run)
    for name in only or ():
        if name not in METRICS:
            raise UsageError(f"unknown measure {name}{did_you_mean(name, METRICS)} (one of {', '.join(METRICS)})")
        if name not in possible:
            needs = METRICS[name].needs
            raise UsageError(
                f"{name} makes no sense for {run.preset.name} (it needs {needs}): choose from {', '.join(possible)}"
            )
    return list(only) if only else [name for name in possible if everything or METRICS[name].quick]


def evaluate(
    run: Run, *, data_root: str | None = None, only: Sequence[str] | None = None, everything: bool = False,
    inception_weights: Path | None = None,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Measure a finished run and add the results to its ``result.json`` and, a line each, to ``metrics.jsonl``.

    ``only`` names measures; by default they are the quick ones that apply. ``everything`` is all that apply; those
    whose weights or packages are not on this machine are left out with a warning. ``data_root`` and
    ``inception_weights`` as in `kmgan_lib.data.load` and `kmgan_lib.metrics.inception.find_weights`.

    By name: ``value``, ``samples``, ``seconds``, ``extractor`` and what else the measure reports. A `UsageError` if a
    name is unknown or makes no sense for this run, or another process trains or measures it.
    """
    subject, results = Subject(run, data_root, inception_weights), dict[str, dict[str, Any]]()
    path = run.directory / files.RESULT
    with lock.held(run.directory):
        for name in _chosen(run, only, everything):
            begun = time.perf_counter()
            try:
                with torch.random.fork_rng(devices=[]):
                    result = METRICS[name].compute(subject)
            except Unavailable as error:
                if not everything:
                    raise
                log.warning("%s is left out: %s", name, error)
                continue
            results[name] = {**files.finite(result), "seconds": round(time.perf_counter() - begun, 2)}
            # At once: a measure that fails later loses nothing. Another process may have measured since.
            known = files.read_json(path) if path.exists() else run.result
            run.result["metrics"] = {**known.get("metrics", {}), name: results[name]}
            files.write_json(path, run.result)
            lines = "".join(files.as_json({"metric": n, **r}, None) for n, r in run.result["metrics"].items())
            files.write_atomically(
                run.directory / "metrics.jsonl", lambda p, t=lines: p.write_text(t, encoding="utf-8")
            )
    return results
