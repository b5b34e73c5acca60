"""The command ``kmgan compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kmgan_lib.cli_output import DataRoot
from kmgan_lib.errors import UsageError


def compare(
    a: Annotated[str, typer.Argument(metavar="FOLDER_A", help="A folder, zip archive or file of arrays.")],
    b: Annotated[str, typer.Argument(metavar="FOLDER_B", help="Another one.")],
    size: Annotated[
        int | None, typer.Option(help="Side to resize to; by default that of the smaller images, at most 299.")
    ] = None,
    layer: Annotated[str, typer.Option(help="2048 for FID and KID; 768 where the weights end there.")] = "2048",
    inception_weights: Annotated[
        Path | None, typer.Option(help="The 2015 weights; by default $KMGAN_INCEPTION, or what the data root has.")
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """FID and KID between two folders of images, by torch-fidelity."""
    from kmgan_lib.metrics.compare import compare_folders

    if layer not in ("2048", "768"):
        raise UsageError(f"--layer {layer}: choose 2048 or 768")
    found = compare_folders(
        a, b, image_size=size, layer=layer, inception_weights=inception_weights, data_root=data_root
    )
    side, name = found["image_size"], "" if layer == "2048" else "768"
    for path, count, resized in zip((a, b), found["images"], found["resized"], strict=True):
        how = f"{resized:,} of them cut to the central square and resized to" if resized else "all of them"
        typer.echo(f"{path}: {count:,} images, {how} {side}x{side}")
    subsets = f"{found['subsets']} subsets of {found['subset_size']:,}"
    typer.echo(f"FID{name} {found['fid']:.3f}")
    typer.echo(f"KID{name} {found['kid']:.5f} ± {found['kid_std']:.5f} ({subsets})")
    typer.echo(f"features: {found['extractor']['name']}, which resizes to 299x299")
