"""Write the ledger of claims into the README: ``python -m book.tools.readme``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from book.tools.execute import PROJECT
from kmgan_book import claims, tables
from kmgan_lib.files import write_atomically

BEGIN, END = "<!-- the ledger: written by `make readme` -->", "<!-- end of the ledger -->"


def with_ledger(text: str) -> str:
    """Return the text with the ledger of today's records between its two marks."""
    block = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if len(block.findall(text)) != 1:
        raise ValueError(f"the README needs the lines {BEGIN} and {END}")
    table = f"{BEGIN}\n\n{tables.markdown(claims.verdicts())}\n\n{END}"
    return block.sub(lambda _: table, text)


def main(root: Path = PROJECT) -> int:
    """Run the command line."""
    path = root / "README.md"
    text = with_ledger(path.read_text(encoding="utf8"))
    write_atomically(path, lambda partial: partial.write_text(text, encoding="utf8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
