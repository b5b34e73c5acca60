"""Build the book, print it, or update address and README: ``python -m book.tools [build|pdf|address|readme]``.

Exit status 0: done. 1: a chapter, Jupyter Book, the check of the pages or Chromium failed; if no book was built, pages
of an earlier build are moved to ``_build/html.previous``. 2: wrong use, nothing was executed or written.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from book.tools import address, offline, pdf, profiles, render, status
from book.tools.execute import PROJECT, Outcome, Runner, fingerprint, last_outcome
from kmgan_lib.errors import RunFailed, UsageError


def state(executed: bool, outcome: Outcome | None, now: str) -> str:
    """Say in a word or two where a chapter's shown copy comes from; ``now`` is the fingerprint of its source."""
    if outcome is None:
        return "not executed"
    if outcome.fingerprint != now:
        return "executed earlier; changed since"
    return "executed" if executed else "executed earlier"


def pages(root: Path, runner: Runner, known: dict[str, Path], todo: list[Path]) -> Path:
    """Execute, render and check; return the folder of the pages. A `RunFailed` says why there are none."""
    failures = [outcome for outcome in runner.run(todo) if outcome.failure]
    if failures:
        each = "; ".join(" ".join(f"{outcome.chapter}, {outcome.failure}".split()) for outcome in failures)
        raise RunFailed(f"{len(failures)} of {len(todo)} chapters failed: {each}")
    folder, parameters = runner.folder, runner.profile.chapters
    rows: status.Rows = {}
    for chapter, path in known.items():
        outcome = last_outcome(folder, chapter)
        rows[chapter] = state(path in todo, outcome, fingerprint(path, parameters[chapter])), outcome
    staged = render.stage(root, folder, status.page(root, runner.profile, rows))
    with runner.console.status("rendering"):
        made = render.render(staged)
    for what, found in (("load from other hosts", offline.external_loads), ("are too large", offline.too_large)):
        if lines := list(found(made)):
            raise RunFailed("\n".join([f"pages {what}:", *lines]))
    return made


def build(root: Path, name: str, only: str | None) -> int:
    """Execute, render, check, publish; return the exit status."""
    began = time.monotonic()
    known, profile = profiles.chapters(root), profiles.load(root, name)
    profiles.need(not only or only in known, f"unknown chapter {only!r}{profiles.did_you_mean(only, known)}")
    runner = Runner(root / "build" / "book" / profile.name, profile, Console())
    try:
        render.publish(pages(root, runner, known, [known[only]] if only else list(known.values())), root)
    except RunFailed as error:
        if render.withdraw(root):
            runner.say(f"the pages of an earlier build are now in {render.PREVIOUS}")
        runner.say(f"book not built: {error}", style="bold red")
        return 1
    took, shown = time.monotonic() - began, root / render.PAGES / "index.html"
    runner.say(f"book built in {took:.0f} s (profile {profile.name}): {shown}", style="bold green")
    return 0


def main(arguments: list[str] | None = None, root: Path = PROJECT) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book.tools", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", nargs="?", default="build", choices=("build", "pdf", "address", "readme"))
    parser.add_argument("--profile", default="smoke", help="build, pdf: one of book/profiles.yml (default: smoke)")
    parser.add_argument("--only", help="build: execute this chapter only, show the others as last executed")
    parser.add_argument("--url", help="address: https://github.com/owner/name; by default the present one")
    options = parser.parse_args(arguments)
    try:
        if options.what == "build":
            return build(root, options.profile, options.only)
        if options.what == "pdf":
            sys.stdout.write(f"{pdf.make(root, options.profile)}\n")
        elif options.what == "address":
            address.write(root, options.url)
        else:
            from book.tools import readme  # which needs torch

            readme.write(root)
    except (UsageError, RunFailed, subprocess.SubprocessError) as error:
        sys.stderr.write(f"book: {error}\n")
        return getattr(error, "status", 1)
    except KeyboardInterrupt:
        sys.stderr.write("book: interrupted; pages of an earlier build are unchanged\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
