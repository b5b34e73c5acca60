"""Recorded trainings that play in the page: samples of the same noise through a run as one image, and its curves."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from kmgan_book import CHECKOUT, report
from kmgan_book.report import Html, badge_of, script, webp
from kmgan_lib import files
from kmgan_lib.errors import UsageError
from kmgan_lib.training.run import Run, data_label

REPLAYS = CHECKOUT / "book" / "replays"
SHEET, SHOWN, ACROSS = 8, 5, 6  # images in a row of a snapshot, of a frame; frames in a row of the image
POINTS = 100  # of a curve
CURVES = {"loss_d": "loss of D", "loss_g": "loss of G", "assignment_entropy": "entropy of assignment"}
WIDTH, PANEL = 320, 74  # of the drawing of the curves


def record(run: Run, *, replays: Path = REPLAYS) -> Path:
    """Keep a run's snapshots as one image, ``mnist-kmgan-seed0.webp`` or so, and beside it its curves and settings.

    The run was trained with ``snapshots=30`` or so. The image, whose path is returned, takes some 150 KB.
    """
    snapshots = sorted((run.directory / "samples").glob("*.png"))
    if len(snapshots) < 2:
        raise UsageError(f"{run.directory} has no snapshots to replay: train with --set snapshots=30")
    side = SHOWN * (run.preset.image_size + 1) - 1
    rows = -(-len(snapshots) // ACROSS)
    sprite = Image.new("RGB", (ACROSS * side, rows * side))
    for index, path in enumerate(snapshots):
        with Image.open(path) as file:
            sprite.paste(file.convert("RGB").crop((0, 0, side, side)), (index % ACROSS * side, index // ACROSS * side))
    columns = [column for column in CURVES if any(column in row for row in run.history)]
    every = max(1, -(-len(run.history) // POINTS))
    kept = run.history[every - 1 :: every]
    told = {
        "preset": run.preset.name, "profile": run.profile, "seed": run.seed, "iterations": run.preset.iterations,
        "frames": [int(path.stem) for path in snapshots],
        "history": {key: [float(f"{row[key]:.4g}") for row in kept] for key in ("iteration", *columns)},
        "data": data_label(run.result.get("data", {})), "commit": str(run.result.get("commit", ""))[:7],
        "device": run.result.get("device", ""),
        "score": run.result.get("metrics", {}).get("classifier_score", {}).get("value"),
    }  # fmt: skip
    gray = sprite.convert("L") if run.preset.channels == 1 else sprite
    target = replays / f"{run.preset.name.replace('/', '-')}-seed{run.seed}.webp"
    target.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomically(target, lambda place: gray.save(place, format="WEBP", quality=55, method=6))
    files.write_json(target.with_suffix(".json"), told)
    return target


def replay(names: Mapping[str, str], *, caption: str, replays: Path = REPLAYS) -> Html:
    """Recorded trainings beside each other that play together: images of the same noise, and curves with a cursor.

    A slider, its keys, a finger or the mouse moves through them. Without JavaScript, and in print, the end shows.
    `names` maps titles to names of replays, all with frames of the same iterations; the caption's badge follows it.
    """
    told = {title: files.read_json(replays / f"{name}.json") for title, name in names.items()}
    frames = next(iter(told.values()))["frames"]
    if any(each["frames"] != frames for each in told.values()):
        raise UsageError("replays beside each other need frames of the same iterations")
    rows, last = -(-len(frames) // ACROSS), len(frames) - 1
    length = max(each["iterations"] for each in told.values())
    histories = [each["history"] for each in told.values()]
    ranges = {  # one scale for all sides
        column: (min(min(each[column]) for each in own), max(max(each[column]) for each in own))
        for column in CURVES
        if (own := [each for each in histories if column in each])
    }
    sides = []
    for (title, each), name in zip(told.items(), names.values(), strict=True):
        data = webp((replays / f"{name}.webp").read_bytes())
        score = "" if each["score"] is None else f", score {each['score']:.2f}"
        place = f"{100 * (last % ACROSS) / (ACROSS - 1):.4g}% {100 * (last // ACROSS) / max(1, rows - 1):.4g}%"
        sides.append(
            f"<div><strong>{escape(title)}{score}</strong>"
            f'<div class="replay-frame" role="img" aria-label="{escape(title)}: {SHOWN**2} generated images, always of '
            f"the same noise, through {len(frames)} moments of training\" style=\"background-image:url('{data}');"
            f'background-size:{100 * ACROSS}% {100 * rows}%;background-position:{place}"></div>'
            f"{_curves(each['history'], ranges, length)}</div>"
        )
    keys = ("profile", "data", "seed", "device", "commit")
    parts = [", ".join(dict.fromkeys(str(each[key]) for each in told.values())) for key in keys]
    badge = badge_of("recorded · {} · {} · seed {} · {} · commit {}".format(*parts))
    given = {"frames": frames, "across": ACROSS, "rows": rows, "length": length}
    body = (
        f'<div class="live-row">{"".join(sides)}</div>'
        '<div class="live-controls" hidden><button type="button">Play</button>'
        f'<input type="range" min="0" max="{last}" value="{last}" aria-label="Moment of training">'
        f"<output></output></div><figcaption>{escape(caption)} {badge}</figcaption>"
    )
    kind = "replay several" if len(sides) > 1 else "replay"
    return Html(f"{report.live(kind, body, given)}\n{script('replay.js')}")


def _curves(history: Mapping[str, Sequence[float]], ranges: Mapping[str, tuple[float, float]], length: int) -> str:
    """Curves below each other, each in its range, and the line that the script moves."""
    drawn = []
    for place, (column, (low, high)) in enumerate(ranges.items()):
        top, height = PANEL * place + 18, PANEL - 26
        points = " ".join(
            f"{WIDTH * step / length:.1f},{top + height * (1 - (value - low) / ((high - low) or 1)):.1f}"
            for step, value in zip(history["iteration"], history.get(column, ()), strict=False)
        )
        span = f": {low:.3g} to {high:.3g}".replace("-", "−")  # for which a phone has no room
        text = f"{CURVES[column]}<tspan>{span}</tspan>"
        drawn.append(f'<text x="0" y="{top - 5}">{text}</text><polyline points="{points}"/>')
    height = PANEL * len(drawn)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" aria-hidden="true"><line class="replay-cursor" x1="{WIDTH}" x2="{WIDTH}" '
        f'y1="0" y2="{height}"/>{"".join(drawn)}</svg>'
    )
