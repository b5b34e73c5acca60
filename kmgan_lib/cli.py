"""The command ``kmgan``: it turns arguments into calls of the library, and errors into one line and an exit status."""

import logging
import os
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from kmgan_lib import __version__
from kmgan_lib.errors import RunFailed, UsageError, first_to_report

app = typer.Typer(
    name="kmgan", help="Train, sample and evaluate KM-GAN and its baselines (--version: print the version).",
    pretty_exceptions_enable=False, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
console = Console(markup=False, emoji=False)  # names and paths are printed as they are, with their brackets and colons
DataRoot = Annotated[Path | None, typer.Option(help="Folder with the data sets; by default $KMGAN_DATA.")]
Source = Annotated[Path, typer.Argument(help="A run directory, a generator.safetensors, or a preset's name.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Image to write; its extension gives the format.")]


def say(text: object) -> None:
    """Print one line and leave its wrapping to the terminal, so that a path copied from there is whole."""
    console.print(str(text), highlight=False, soft_wrap=True)


def table(first: str, *others: str, **options: Any) -> Table:
    """A table that truncates nothing: the first column is never wrapped, the others are."""
    return Table(Column(first, no_wrap=True), *(Column(name, overflow="fold") for name in others), **options)


@app.command("list")
def list_(preset: Annotated[str | None, typer.Argument(help="Show every field of this preset.")] = None) -> None:
    """List presets, methods and measures, or the fields of one preset with their sources."""
    from kmgan_lib import presets
    from kmgan_lib.config import choices

    if preset is None:
        from kmgan_lib.metrics import METRICS

        rows = table("preset", "method", "what differs from dataset/kmgan")
        for name, p in presets.PRESETS.items():
            base = presets.PRESETS[f"{name.split('/')[0]}/kmgan"].as_dict() | {"name": name, "method": p.method}
            differs = [f"{key}={value}" for key, value in p.as_dict().items() if (key, value) not in base.items()]
            rows.add_row(name, p.method, ", ".join(differs))
        rows.add_row("folder:PATH", "kmgan", "your images: channels=3, image_size=32; --set method=... for others")
        console.print(rows)
        rows = table("measure", "what it is", "when")
        for name, measure in METRICS.items():
            rows.add_row(name, measure.text, "after training" if measure.quick else "evaluate --only or --all")
        console.print(rows)
        return
    rows = table("field", "value", "source", "meaning", title=preset)
    rows.columns[2].max_width = max(12, console.width - 68)  # else the longest names do not fit into the meaning
    resolved = presets.resolve(preset)
    for name, known in resolved.fields().items():
        words = f" ({', '.join(choices(known))})" if choices(known) else ""
        rows.add_row(name, str(getattr(resolved, name)), known.json_schema_extra["source"], known.description + words)
    console.print(rows)


@app.command()
def data(
    action: Annotated[str, typer.Argument(help="show (what is found where), fetch, or check (read all).")] = "show",
    name: Annotated[str | None, typer.Argument(help="A data set.")] = None,
    data_root: DataRoot = None,
) -> None:
    """Show which data sets are found where, fetch one, or check that they read well."""
    from kmgan_lib import data as library

    if action not in ("show", "fetch", "check"):
        raise UsageError(f"data {action}: choose show, fetch or check")
    known = [n for n, d in library.DATASETS.items() if d.layouts or action != "fetch"]
    if name not in known and (name or action == "fetch"):
        what = f"{name} is no data set" if name else "data fetch needs a name"
        raise UsageError(f"{what} (one of {', '.join(known)})")
    if name and action == "fetch":
        say(f"{name} is in {library.fetch(name)}")
        return
    rows = table("data set", "found", "where", "content" if action == "check" else "stand-in")
    for dataset in [name] if name else known:
        known_as = library.DATASETS[dataset]
        place = library.find(dataset, root=data_root) if known_as.layouts else ("with the library", "")
        about = known_as.standin_text if action == "show" else ""
        if action == "check" and (name or place):
            loaded = library.load(dataset, root=data_root, download=False, split="all", standin="never")
            about = f"{len(loaded):,} images, SHA-256 {loaded.provenance['sha256']:.16}"
        rows.add_row(dataset, *map(str, place or ("no", "")), about)
    console.print(rows)


@app.command()
def train(
    preset: Annotated[str, typer.Argument(help="dataset/method[-variant] as `kmgan list` shows, or folder:PATH.")],
    profile: Annotated[str, typer.Option(help="smoke, quick, long or paper: size and length.")] = "quick",
    seed: Annotated[int, typer.Option(help="Fixes weights, batches and noise.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    data_root: DataRoot = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; by default runs/PRESET/PROFILE-seedK.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint, if any.")] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value: replaces a field; repeatable.")] = None,
) -> None:
    """Train a preset, then measure it."""
    from kmgan_lib import distributed, presets
    from kmgan_lib.training.trainer import train as train_

    if wrong := [pair for pair in set_ or () if "=" not in pair]:
        raise UsageError(f"--set {wrong[0]}: write key=value, such as --set k=20")
    fields: dict[str, Any] = {key.strip(): value.strip() for key, value in (pair.split("=", 1) for pair in set_ or ())}
    presets.resolve(preset, profile, **fields)  # before the keys become arguments
    run = train_(
        preset, profile=profile, seed=seed, device=device, data_root=data_root, out=out, resume=resume, **fields
    )
    if distributed.rank() > 0:
        return  # only one of several processes measures and reports
    say("{iterations:,} iterations, {images_per_second:,.0f} images/s: ".format(**run.result) + str(run.directory))
    _evaluate(run, data_root)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run directory, such as runs/mnist/kmgan/quick-seed0.")],
    only: Annotated[list[str] | None, typer.Option(help="A measure that `kmgan list` names; may be repeated.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every measure that applies; some take minutes.")] = False,
    inception_weights: Annotated[Path | None, typer.Option(help="Default: $KMGAN_INCEPTION or data root's.")] = None,
    data_root: DataRoot = None,
) -> None:
    """Measure a finished run; the results go into its result.json and metrics.jsonl.

    Without --only or --all: the quick measures, which `kmgan train` takes at its end.
    """
    from kmgan_lib.training.run import Run

    if only and all_:
        raise UsageError("--only and --all exclude each other: name some measures, or take all")
    if (opened := Run.open(run)).result.get("status") != "completed":
        raise UsageError(f"{run} is not completed: `kmgan train ... --out {run} --resume` continues it")
    _evaluate(opened, data_root, only=only, everything=all_, inception_weights=inception_weights)


def _evaluate(run: Any, data_root: Path | None, **choice: Any) -> None:
    from kmgan_lib.metrics import evaluate as evaluate_

    rows = table("measure", "value", "samples", "measured with", "seconds")
    for name, result in evaluate_(run, data_root=str(data_root) if data_root else None, **choice).items():
        accuracy = result["extractor"].get("test_accuracy")
        extractor = result["extractor"]["name"] + (f", {100 * accuracy:.2f} % right" if accuracy else "")
        rows.add_row(name, _shown(result), f"{result['samples']:,}", extractor, f"{result['seconds']:.1f}")
    if rows.row_count:
        console.print(rows)


def _shown(result: dict[str, Any]) -> str:
    """A measure's value and, by name, its other numbers and short lists of numbers, except whole ones."""
    lists = {key: value if isinstance(value, list) else [value] for key, value in result.items() if key != "seconds"}
    return ", ".join(
        f"{key.replace('_', ' ')} {' '.join('none' if x is None else f'{x:.4g}' for x in numbers)}"
        for key, numbers in lists.items()
        if 0 < len(numbers) <= 10 and all(isinstance(x, float) or key == "value" for x in numbers)
    )


@app.command()
def sample(
    run: Source,
    n: Annotated[int, typer.Option("-n", max=10_000, help="Number of images.")] = 64,
    seed: Annotated[int, typer.Option(help="Fixes the noise.")] = 0,
    out: Out = Path("grid.png"),
) -> None:
    """Generate images with a trained generator, tiled into one image."""
    _save(run, lambda generator: generator.sample(n, seed=seed), out)


@app.command()
def interpolate(
    run: Source,
    seed_a: Annotated[int, typer.Option(help="Seed of the leftmost image.")] = 0,
    seed_b: Annotated[int, typer.Option(help="Seed of the rightmost image.")] = 1,
    steps: Annotated[int, typer.Option(max=10_000, help="Number of images.")] = 10,
    out: Out = Path("strip.png"),
) -> None:
    """Generate the images between two noise vectors (Section 4.5)."""
    _save(run, lambda generator: generator.interpolate(seed_a, seed_b, steps), out, columns=steps)


def _save(run: Path, draw: Callable[[Any], Any], out: Path, columns: int | None = None) -> None:
    from kmgan_lib.generator import load_generator
    from kmgan_lib.sheets import save_sheet

    if (generator := load_generator(run)).preset.network == "synthetic":
        raise UsageError("the synthetic data are points, not images: use kmgan_lib.load_generator(...).sample")
    say(save_sheet(draw(generator), out, columns=columns, zoom=2))


OF_THE_BOOK = ("sweep", "bench", "records")  # what the book's package, which imports this file, adds if installed
for _found in entry_points(group="kmgan.commands"):
    if _found.name in OF_THE_BOOK:
        app.command(_found.name)(_found.load())


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit status 2: wrong use, 3: directory in use, 1: failed run, 130: interrupted."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)-8s %(message)s")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # other encodings than UTF-8 may lack ±
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    if not console.is_terminal:  # in a pipe or a file every line stays one line
        console.width = 10_000
    words = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if words == ["--version"]:
        print(f"kmgan {__version__}")
        sys.exit(0)
    try:
        if words[0] in OF_THE_BOOK and not entry_points(group="kmgan.commands", name=words[0]):
            raise UsageError(f"kmgan {words[0]} needs a checkout of the book: run `make setup` there first")
        sys.exit(app(words, standalone_mode=False) or 0)  # Typer turns an interruption into a status that it returns
    except (UsageError, RunFailed) as error:
        message, status = str(error), error.status
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:  # `kmgan list | head`: the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the interpreter's own last flush
        sys.exit(1)
    except OSError as error:
        message, status = f"{error.filename or 'a file'}: {error.strerror or error}", 1
    except Exception as error:
        if not hasattr(error, "format_message"):  # which typer's usage errors have; all others keep their traceback
            raise
        message, status = error.format_message(), 2  # pyright: ignore[reportAttributeAccessIssue]
    if first_to_report():
        print(f"kmgan: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
