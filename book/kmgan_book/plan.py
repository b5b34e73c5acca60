"""Which runs a sweep has before it: what the ledger lacks or patterns name, and which part of them is whose."""

import contextlib
import fnmatch
import shlex
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from kmgan_book import claims, records
from kmgan_book.claims import Needed, command_of
from kmgan_lib import presets
from kmgan_lib.errors import UsageError
from kmgan_lib.fields import shown

# Table 4 of the paper: row, preset behind the slash, Inception Score and its spread (none printed for ALI).
TABLE_4: tuple[tuple[str, str, float, float | None], ...] = (
    ("MBGAN", "mbgan", 4.27, 0.07), ("MLGAN-clipping", "mlgan-clip", 5.23, 0.29), ("DCGAN", "dcgan", 5.37, 0.06),
    ("MIX + WGAN", "mix_wgan", 4.04, 0.07), ("Improved GANs", "improved_gan", 4.36, 0.04), ("ALI", "ali", 4.79, None),
    ("Wasserstein GANs", "wgan", 3.82, 0.06), ("KM-GAN", "kmgan", 5.39, 0.05),
)  # fmt: skip


def seconds(text: str) -> float:
    """Seconds of a time such as ``90s``, ``25m`` or ``3h``; a `UsageError` if it is none."""
    with contextlib.suppress(ValueError):
        amount = float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
        if 0 < amount < float("inf"):
            return amount
    raise UsageError(f"{text}: write a time as 90s, 25m or 3h")


def shard_of(text: str) -> tuple[int, int]:
    """Numbers i and n of a shard ``i/n``, the i-th of n parts; a `UsageError` if it is none."""
    first, _, count = text.partition("/")
    if not (first.isdecimal() and count.isdecimal() and len(text) < 20 and 1 <= int(first) <= int(count)):
        raise UsageError(f"--shard {shown(text)}: write i/n, such as 1/8 to 8/8")
    return int(first), int(count)


def planned(
    profile: str, *, only: Sequence[str] = (), seeds: Sequence[int] | None = None, results: Path = records.RESULTS,
    shard: tuple[int, int] = (1, 1),
) -> list[Needed]:  # fmt: skip
    """The runs that a sweep has before it, the most valuable first.

    Those of the presets whose names match `only`, such as ``cifar10/*``, of `seeds` (0 by default); without patterns
    what the ledger of claims lacks, of these seeds if they are given. Runs that have a record in `results` are left
    out, unless the ledger reads a measure that it lacks.

    A shard (i, n) is the i-th of n parts. The parts divide the runs that there would be without any record, one by one
    in turn, so that each machine's part stays the same while others record theirs.
    """
    i, n = shard
    if n > 1:
        whole = planned(profile, only=only, seeds=seeds, results=results / "none")
        part = set(whole[i - 1 :: n])
        return [run for run in planned(profile, only=only, seeds=seeds, results=results) if run in part]
    if profile not in presets.PROFILES:
        raise UsageError(f"unknown profile {profile} (one of {', '.join(presets.PROFILES)})")
    for seed in seeds or ():
        if not 0 <= seed < 2**31:
            raise UsageError(f"seed={seed} must be between 0 and {2**31 - 1}")
    lacking = claims.lacking(profile, results=results)
    if not only:
        return [run for run in lacking if seeds is None or run.seed in seeds]
    matching = {pattern: fnmatch.filter(presets.PRESETS, pattern) for pattern in only}
    for pattern in (pattern for pattern, names in matching.items() if not names):
        raise UsageError(f"no preset matches {pattern} (`kmgan list` shows all)")
    names = [name for found in matching.values() for name in found]
    runs = dict.fromkeys(Needed(name, profile, seed) for seed in seeds or (0,) for name in names)
    recorded = {run for run in runs if records.place(*run, results=results).exists()}
    return [run for run in runs if run not in recorded - set(lacking)]


def command(run: Needed, **options: object) -> str:
    """The plain command that does one run of a sweep, for job arrays and GNU parallel.

    `options` are those of ``kmgan sweep``, such as ``data_root``; None stands for the default.
    """
    given = [(f"--{key.replace('_', '-')}", str(value)) for key, value in options.items() if value is not None]
    return shlex.join([*shlex.split(command_of(run.preset, run.profile, [run.seed])), *chain.from_iterable(given)])
