"""The book's build: check parameters, execute chapters with papermill, render with Jupyter Book, check the pages.

``python -m book.tools --help`` lists the options; ``make book`` calls it.
"""
