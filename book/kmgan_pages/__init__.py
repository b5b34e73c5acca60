"""What single pages of the book show: diagrams, galleries, what moves in the page, the answer, the benchmarks.

It reads records and verdicts with `kmgan_book`, which imports nothing of it.
"""
