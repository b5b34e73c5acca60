"""The book's own kit: records of runs, the ledger of claims, the sweep that fills both, tables, figures and widgets.

It is part of the book's checkout, is installed from there by ``make setup``, and adds ``kmgan sweep``,
``kmgan records`` and ``kmgan bench`` to the library's commands. The library imports nothing from it.
"""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
STATIC = CHECKOUT / "book" / "_static"
PHONE = "application/vnd.kmgan.phone+webp"  # of a figure's second image, which the book's pages show to phones
