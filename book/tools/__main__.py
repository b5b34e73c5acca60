"""Build the book: ``python -m book.tools [--profile smoke|quick|paper] [--only CHAPTER]``.

Exit status 0: the pages are in ``_build/html``. 1: a chapter, Jupyter Book or the offline check failed; pages of an
earlier build are moved to ``_build/html.previous``. 2: wrong use, nothing executed or written.
"""

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console

from book.tools import offline, profiles, render, status
from book.tools.execute import PROJECT, Runner, fingerprint, last_outcome
from book.tools.profiles import Profile, WrongUse


def plan(root: Path, profile: str, only: str | None) -> tuple[Profile, dict[str, Path], list[Path]]:
    """Return the profile, all chapters and those to execute, or raise `WrongUse`."""
    known = profiles.chapters(root)
    chosen = profiles.load(root, profile)
    if only and only not in known:
        raise WrongUse(f"unknown chapter {only!r}{profiles.did_you_mean(only, known)}")
    return chosen, known, [known[only]] if only else list(known.values())


def state(executed: bool, source: Path, profile: Profile, folder: Path) -> str:
    """Say in a word or two how a chapter's shown copy came about."""
    outcome = last_outcome(folder, source.stem)
    if outcome is None:
        return "not executed"
    if outcome.fingerprint != fingerprint(source, profile.chapters[source.stem]):
        return "executed earlier; changed since"
    return "executed" if executed else "executed earlier"


def build(root: Path, name: str, only: str | None, console: Console) -> int:
    """Execute, render, check, publish; return the exit status."""
    began = time.monotonic()
    profile, known, todo = plan(root, name, only)
    folder = root / "build" / "book" / profile.name
    runner = Runner(folder, profile, console)
    failures = [outcome for outcome in runner.run(todo) if outcome.failure]
    if failures:
        each = "; ".join(" ".join(f"{outcome.chapter}, {outcome.failure}".split()) for outcome in failures)
        return fail(f"{len(failures)} of {len(todo)} chapters failed: {each}", root, runner)
    fresh = {chapter: state(path in todo, path, profile, folder) for chapter, path in known.items()}
    outcomes = {chapter: last_outcome(folder, chapter) for chapter in known}
    staged = render.stage(root, folder, status.page(root, profile, outcomes, fresh))
    try:
        with console.status("rendering"):
            pages = render.render(staged)
    except render.RenderFailed as error:
        return fail(str(error), root, runner)
    external, large = offline.external_loads(pages), offline.too_large(pages)
    for what, lines in {"pages load from other hosts:": list(external), "pages are too large:": list(large)}.items():
        if lines:
            return fail("\n".join([what, *lines]), root, runner)
    render.publish(pages, root)
    address = root / render.PAGES / "index.html"
    runner.say(
        f"book built in {time.monotonic() - began:.0f} s (profile {profile.name}): {address}", style="bold green"
    )
    return 0


def fail(reason: str, root: Path, runner: Runner) -> int:
    """Say where the old pages went and, last, why there are no new ones."""
    if render.withdraw(root):
        runner.say(f"the pages of an earlier build are now in {render.PREVIOUS}")
    runner.say(f"book not built: {reason}", style="bold red")
    return 1


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book.tools", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--profile", default="smoke", help="a profile of book/profiles.yml (default: smoke)")
    parser.add_argument("--only", metavar="CHAPTER", help="execute this chapter only, show the others as last executed")
    parser.add_argument(
        "--root", type=Path, default=PROJECT, help="the folder that holds _toc.yml (default: this project)"
    )
    options = parser.parse_args(arguments)
    try:
        return build(options.root.resolve(), options.profile, options.only, Console())
    except WrongUse as error:
        sys.stderr.write(f"book: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("book: interrupted; pages of an earlier build are unchanged\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
