"""Whether networks in bf16 train as well as in float32: the same seeds, judged by the classifier score.

``python benchmarks/precision.py [--jobs 2] [--runs FOLDER] [--out FILE]``

The rule, written before the runs: bf16 is as good for a preset if no seed fails (a failed run diverges or scores
below 3, as in the ledger of claims) and its mean score is at least that of float32 less 0.25, the tolerance of claim
C10. Float32 scores come from the book's records where they are there; everything else is trained, and a second call
goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from kmgan_book import conditions, records
from kmgan_lib.files import read_json, write_json
from kmgan_lib.training.run import commit, device_name

PRESETS, SEEDS, PROFILE = ("mnist/kmgan", "mnist/dcgan-carpedm20"), (0, 1, 2), "quick"
PART = "all but the features' head and the last sigmoid"  # of the networks, in bf16
TOLERANCE = 0.25
MEASURE, KEY = conditions.SCORE.split(".")


def trained(preset: str, seed: int, precision: str, runs: Path) -> dict[str, Any]:
    """The result of a run, which is trained first if it was not yet."""
    record = records.place(preset, PROFILE, seed)
    if precision == "float32" and record.exists():
        return read_json(record / "result.json")
    out = runs / f"{preset}-{precision}-seed{seed}"
    result = out / "result.json"
    if result.exists() and (known := read_json(result))["metrics"]:
        return known
    words = ["train", preset, "--profile", PROFILE, "--seed", str(seed), "--set", f"precision={precision}"]
    log = out.with_name(f"{out.name}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:  # a run that diverges ends with status 1, and its result says so
        subprocess.run(
            [sys.executable, "-m", "kmgan_lib", *words, "--out", str(out), "--resume"], check=False,
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, env={"OMP_NUM_THREADS": "1", **os.environ},
        )  # fmt: skip
    return read_json(result)


def judged(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The scores of both precisions, and what the rule says; a diverged run has no score."""
    scores = {p: [r["metrics"].get(MEASURE, {}).get(KEY) for r in runs] for p, runs in results.items()}
    failed = [score is None or score < conditions.FAILED for score in scores["bf16"]]
    found: dict[str, Any] = {"seeds": list(SEEDS), "scores": scores, "failed": sum(failed), "as_good": False}
    if None not in scores["bf16"] and None not in scores["float32"]:
        difference = statistics.mean(scores["bf16"]) - statistics.mean(scores["float32"])
        found |= {"difference": difference, "as_good": not any(failed) and difference >= -TOLERANCE}
    devices = {p: sorted({r["device"] for r in runs}) for p, runs in results.items()}
    return found | {"devices": devices, "commits": {p: [r["commit"] for r in runs] for p, runs in results.items()}}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time")
    parser.add_argument("--runs", type=Path, default=Path("runs/precision"), help="folder of the runs")
    parser.add_argument("--out", type=Path, help="write the report there, as JSON")
    options = parser.parse_args()
    plan = [(preset, precision, seed) for preset in PRESETS for precision in ("float32", "bf16") for seed in SEEDS]
    with ThreadPoolExecutor(options.jobs) as pool:
        done = pool.map(lambda run: trained(run[0], run[2], run[1], options.runs), plan)
        results = dict(zip(plan, done, strict=True))
    report: dict[str, Any] = {
        "rule": " ".join((__doc__ or "").split("\n\n")[2].split()), "profile": PROFILE, "part": PART,
        "device": device_name(torch.device("cpu")).partition(",")[0], "commit": commit(),
    }  # fmt: skip
    report["presets"] = {
        preset: judged({p: [results[preset, p, seed] for seed in SEEDS] for p in ("float32", "bf16")})
        for preset in PRESETS
    }
    for preset, found in report["presets"].items():
        verdict = "as good as" if found["as_good"] else "not as good as"
        sys.stdout.write(f"{preset}: bf16 is {verdict} float32: {found['scores']}\n")
    if options.out:
        write_json(options.out, report)


if __name__ == "__main__":
    main()
