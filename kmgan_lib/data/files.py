"""Which files of a folder or of a zip archive are images, and which class folders they lie in."""

import contextlib
import logging
import os
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

from kmgan_lib.files import CONFIG, HISTORY, RESULT, first_line

log = logging.getLogger(__name__)
ARRAYS = {".npy", ".npz"}
SUFFIXES = ARRAYS | {
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".tga", ".ppm", ".pgm"
}  # fmt: skip
# What cameras, network disks and systems leave beside images: thumbnails, copies, what was deleted. Lower case.
SYSTEM = {
    "@eadir", "@recycle", "#recycle", "#snapshot", "__macosx", "$recycle.bin", "system volume information", "lost+found"
}  # fmt: skip


class File(NamedTuple):
    """A file below a folder or in an archive; ``name`` is its path in there."""

    name: PurePath
    place: Path | zipfile.Path

    @property
    def suffix(self) -> str:
        """Ending of the name, lower case, with its dot."""
        return self.name.suffix.lower()


@contextlib.contextmanager
def found(root: Path) -> Iterator[tuple[list[File], Counter[str]]]:
    """Image files of a folder, zip archive or file of arrays, in the order of their paths, and what was skipped.

    Links are followed, each folder is read once. Hidden and system files and folders are skipped, and so are the runs
    and records of this library, whose sheets of samples are no images of the user's.
    """
    skipped: Counter[str] = Counter()
    if root.is_dir():
        yield sorted(_in_folder(root, skipped)), skipped
        return
    if root.suffix.lower() in ARRAYS:
        yield [File(PurePath(root.name), root)], skipped
        return
    with zipfile.ZipFile(root) as archive:
        names = [PurePosixPath(entry.filename) for entry in archive.infolist() if not entry.is_dir()]
        files = [File(name, zipfile.Path(archive, str(name))) for name in names if _wanted(name.parts, skipped)]
        yield sorted(files, key=lambda file: file.name), skipped


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM


def _wanted(parts: Sequence[str], skipped: Counter[str]) -> bool:
    """Whether a file is an image by its name; if not, it is counted."""
    suffix = PurePath(parts[-1]).suffix.lower()
    if any(map(_hidden, parts)):
        skipped["hidden or system files"] += 1
    elif suffix not in SUFFIXES:
        skipped[f"other files ({suffix or 'no ending'})"] += 1
    else:
        return True
    return False


def _in_folder(root: Path, skipped: Counter[str]) -> Iterator[File]:
    def unreadable(error: OSError) -> None:
        log.warning("left out %s: %s", error.filename, first_line(error))

    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(root, onerror=unreadable, followlinks=True):
        at, status = Path(place), os.stat(place)
        identity = status.st_dev, status.st_ino
        # A link to a folder that the root lies in leads back here, by way of everything else.
        again = identity in seen or (at != root and root.resolve().is_relative_to(at.resolve()))
        a_run = at != root and HISTORY in names and (CONFIG in names or RESULT in names)
        seen.add(identity)
        if again or a_run:
            skipped["runs of kmgan" if a_run else "links to folders that are read already"] += 1
            folders.clear()
            continue
        shown = [name for name in folders if not _hidden(name)]
        skipped["hidden or system folders"] += len(folders) - len(shown)
        # A folder wins over a link to it beside it.
        folders[:] = sorted(shown, key=lambda name: (os.path.islink(at / name), name))
        for name in names:
            if _wanted([name], skipped):
                if (at / name).is_file():
                    yield File((at / name).relative_to(root), at / name)
                else:
                    skipped["links to nothing"] += 1


def told(skipped: Counter[str]) -> str:
    """What was skipped, in a few words; empty if nothing was."""
    return ", ".join(f"{count:,} {what}" for what, count in skipped.most_common(6) if count)


def classes_of(names: Sequence[PurePath]) -> tuple[list[int], tuple[str, ...]] | None:
    """Class numbers of files, and names of the classes: the folders side by side that hold all of them.

    They are looked for in the deepest folder that holds all files. None if a file lies there itself.
    """
    shared = len(PurePath(os.path.commonpath([str(name.parent) for name in names])).parts)
    if any(len(name.parts) < shared + 2 for name in names):
        return None
    folders = [name.parts[shared] for name in names]
    classes = tuple(sorted(set(folders)))
    number = {name: i for i, name in enumerate(classes)}
    return [number[folder] for folder in folders], classes
