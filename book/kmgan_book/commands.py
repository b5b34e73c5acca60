"""The commands that need a checkout: ``kmgan sweep``, ``kmgan records`` and ``kmgan bench``."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kmgan_book import CHECKOUT
from kmgan_lib.cli import DataRoot, console, say, table
from kmgan_lib.errors import RunFailed, UsageError, shorten
from kmgan_lib.files import expanded

# No shell expands `~` after `--results=`.
PATH: dict[str, Any] = {"parser": expanded, "metavar": "PATH"}
Results = Annotated[Path | None, typer.Option(**PATH, help="Folder of the records; by default the book's.")]


def sweep(
    profile: Annotated[str, typer.Option(help="smoke, quick, long or paper: size and length.")] = "quick",
    seeds: Annotated[str | None, typer.Option(help="Such as 0,1,2; by default the ledger's, or 0 with --only.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Presets such as 'cifar10/*'; may be repeated.")] = None,
    shard: Annotated[str, typer.Option(help="i/n: the i-th of n parts, for n machines or a job array.")] = "1/1",
    budget: Annotated[str | None, typer.Option(help="Time after which runs are stopped, such as 25m or 3h.")] = None,
    jobs: Annotated[int, typer.Option(help="Runs at the same time.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    data_root: DataRoot = None,
    runs: Annotated[Path, typer.Option(**PATH, help="Where run directories and logs go.")] = Path("runs"),
    results: Results = None,
    print_: Annotated[bool, typer.Option("--print", help="Only print the runs, one command each.")] = False,
) -> None:
    """Train, measure and record what the ledger of claims lacks, or the presets that --only names.

    Each run is a process of its own and resumes where it stopped. Under the smoke profile nothing is recorded.
    """
    from kmgan_book import claims, records, tables
    from kmgan_book import sweep as library

    place = results or records.RESULTS
    limit = library.seconds(budget) if budget is not None else float("inf")
    part = library.shard_of(shard)
    plan = library.planned(profile, only=only or (), seeds=_seeds(seeds), results=place, shard=part)
    if print_:
        options = {
            "data_root": data_root, "results": results, "device": device if device != "auto" else None,
            "runs": runs if runs != library.RUNS else None,
        }  # fmt: skip
        for run in plan:
            print(claims.command_of(run.preset, run.profile, [run.seed], **options))
        return
    if not plan:
        console.print("nothing to do: every run that was asked for is recorded")
        return
    outcomes = library.sweep(
        plan, runs=runs, results=None if profile == "smoke" else place, jobs=jobs, budget=limit, device=device,
        data_root=data_root, report=lambda outcome: say(tables.line(outcome)),
    )  # fmt: skip
    console.print(tables.outcomes(outcomes))
    if failed := sum(outcome.status == "failed" for outcome in outcomes):
        raise RunFailed(f"{failed} of {len(plan)} runs failed: see their .log files")


def _seeds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    words = text.split(",")
    if not all(word.strip().isdecimal() and len(word) < 20 for word in words):
        raise UsageError(f"--seeds {shorten(text)}: write whole numbers, such as 0,1,2")
    return [int(word) for word in words]


def records_(
    action: Annotated[str, typer.Argument(help="ledger, table, check, add or replay.")] = "ledger",
    target: Annotated[
        str | None, typer.Argument(help="table: presets such as 'mnist/*'; add and replay: a run directory.")
    ] = None,
    profile: Annotated[str, typer.Option(help="Profile of the table.")] = "quick",
    results: Results = None,
) -> None:
    """Show the verdicts on the paper's claims; list, check or add the records behind them; keep a run's replay."""
    from kmgan_book import claims, records, tables
    from kmgan_lib.training.run import Run

    place = results or records.RESULTS
    of_run = action in ("add", "replay")
    if not of_run and action not in ("ledger", "table", "check"):
        raise UsageError(f"records {action}: choose ledger, table, check, add or replay")
    if of_run and target is None:
        raise UsageError(f"records {action} needs a run directory")
    if not of_run and action != "table" and target is not None:
        raise UsageError(f"records {action} works on all records: leave out {target}")
    if results is not None and not of_run and not place.is_dir():
        raise UsageError(f"{place} is not a folder of records")
    if action == "ledger":
        print(tables.ledger(claims.verdicts(results=place)))
    elif action == "table":
        console.print(tables.recorded(target or "*", profile, results=place))
    elif action == "check":
        wrong = records.check(results=place)
        if wrong:
            raise RunFailed("; ".join(wrong))
        say(f"{len(records.all_records(results=place))} records in {place} are sound")
    elif action == "replay":
        from kmgan_book import replays

        say(f"{replays.keep(Run.open(Path(str(target))), replays=results or replays.REPLAYS)}")
    else:
        say(f"{records.save(Run.open(Path(str(target))), results=place).directory}")


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Small networks, few repeats: a few minutes.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="methods, plain, kmeans, growth or startup; may be repeated.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    out: Annotated[Path, typer.Option("--out", "-o", **PATH, help="The report, as JSON.")] = Path("bench.json"),
) -> None:
    """Measure the speed of the library side by side with a plain PyTorch loop."""
    sys.path.insert(0, str(CHECKOUT))  # the benchmarks are not part of a package
    from benchmarks import bench as library
    from kmgan_lib.files import write_json

    if os.name == "nt":
        raise UsageError("kmgan bench runs on Linux and macOS only: it needs their memory counters and terminals")
    unknown = set(only or ()) - set(library.SECTIONS)
    if unknown:
        raise UsageError(f"--only {min(unknown)}: choose from {', '.join(library.SECTIONS)}")
    report = library.measure(quick=quick, only=only or (), device=device)
    rows = table("what", "images/s", "speed", "utilisation", "peak MB")
    for name, r in (report.get("methods", {}) | report.get("plain", {})).items():
        numbers = f"{r['images_per_second']:,.0f}", f"{r['speed']:.2f}", f"{r.get('utilisation', 0):.0%}"
        rows.add_row(name, *numbers, f"{r['peak_megabytes'][-1]:,.0f}")
    write_json(out, report)
    if rows.row_count:  # the other sections are only in the report
        console.print(rows)
    say(out)
