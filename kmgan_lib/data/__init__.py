"""Images in: one uint8 tensor with its provenance, from real data, a stand-in, or a folder of your own."""

from kmgan_lib.data.images import Images
from kmgan_lib.data.load import DATASETS, Dataset, find, load

__all__ = ["DATASETS", "Dataset", "Images", "find", "load"]
