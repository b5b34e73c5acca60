"""FID and KID between two folders of images, by torch-fidelity."""

import statistics
from pathlib import Path
from typing import Any

from kmgan_lib.data.folder import folder, sides
from kmgan_lib.metrics import inception

INPUT = 299  # pixels on a side that the Inception network sees


def compare_folders(
    a: str | Path, b: str | Path, *, image_size: int | None = None, layer: str = "2048",
    inception_weights: Path | None = None, data_root: str | Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """FID and KID of the images in one folder against those in another, read as for training.

    Parameters
    ----------
    a, b : path
        As for `kmgan_lib.data.folder.folder`.
    image_size : int, optional
        Side in pixels to which the central squares of both are resized (Lanczos) before the network resizes them to
        299. By default the smaller one of the folders' medians of the shorter side, at most 299: images of a generator
        and its training images are compared at the generator's size. Larger images would be better known by their
        sharpness than by what they show.
    layer, inception_weights, data_root
        As for `kmgan_lib.metrics.inception`.

    Returns
    -------
    dict
        ``fid``, ``kid``, ``kid_std``, ``layer``, ``image_size``; ``images``, how many in each folder; ``resized``, how
        many of these were of another size or no squares; ``subsets``, ``subset_size``, ``extractor``.
    """
    weights = inception.find_weights(inception_weights, data_root=data_root, full=layer == "2048")
    shapes = [sides(str(path)) for path in (a, b)]
    medians = [round(statistics.median(map(min, found))) for found in shapes]
    size = min(INPUT, *medians) if image_size is None else image_size
    images = [folder(str(path), image_size=size).tensor for path in (a, b)]
    measured = inception.inception_measures(*images, layer=layer, weights=weights.path, extractor=inception.EXTRACTOR)
    return {
        **{key: measured[key] for key in ("fid", "kid", "kid_std", "subsets", "subset_size")}, "layer": layer,
        "image_size": size, "images": [len(i) for i in images],
        "resized": [sum(shape != (size, size) for shape in found) for found in shapes],
        "extractor": weights.describe(),
    }  # fmt: skip
