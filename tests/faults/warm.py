"""What the process that forks children imports: torch, and all that a first run loads."""

import tempfile

import torch

import kmgan_book.sweep  # noqa: F401
from kmgan_lib import train
from kmgan_lib.methods import base

torch.set_num_threads(1)  # which starts none: threads do not survive a fork
base.NORM_BATCHES = 2  # of every checkpoint's generator; most of the time of a run as short as these
with tempfile.TemporaryDirectory() as folder:
    sizes = {"batch": 8, "iterations": 2, "snapshots": 1, "width": 0.125, "init_images": 60}
    train("digits/kmgan", profile="smoke", device="cpu", out=f"{folder}/first", **sizes)
