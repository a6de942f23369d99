"""The pictures of a folder or a zip file, by name, which is relative to it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ddpm_faces.data.damage import explain
from ddpm_faces.utils.errors import UserError

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
LARGEST = 2**28  # bytes of a file


@dataclass(frozen=True)
class Pictures:
    """place: where they are. sizes: of the files in bytes, by name, in order. read: the content of a file by name."""

    place: Path
    sizes: Mapping[str, int]
    read: Callable[[str], bytes]


def is_picture(name: str) -> bool:
    """Whether a file's name is one of a picture that is not hidden (macOS leaves such twins in archives)."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return PurePosixPath(name).suffix.lower() in ENDINGS and not hidden


def open_pictures(root: Path) -> Pictures:
    """All pictures below a folder, or in a zip file. Raises UserError where there is none."""
    if root.is_dir():
        found = _in_folder(root)
    elif root.suffix.lower() == ".zip" and root.is_file():
        found = _in_zip(root)
    else:
        raise UserError(f"{root} is no folder and no zip file of pictures")
    if not found.sizes:
        raise UserError(f"{root} holds no pictures ({', '.join(ENDINGS)})")
    return found


def _in_folder(root: Path) -> Pictures:
    try:
        paths = sorted(path for path in root.rglob("*") if path.is_file())
    except OSError as error:
        raise UserError(f"{root} cannot be read: {explain(error)}") from None
    sizes = {name: path.stat().st_size for path in paths if is_picture(name := path.relative_to(root).as_posix())}

    def read(name: str) -> bytes:
        if sizes[name] > LARGEST:
            raise ValueError(f"{sizes[name]:,} bytes are too many for a picture")
        return (root / name).read_bytes()

    return Pictures(root, sizes, read)


def open_zip(path: Path) -> zipfile.ZipFile:
    """An archive, which is not unpacked. Raises UserError if it is damaged."""
    try:
        return zipfile.ZipFile(path)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"{path} cannot be read: {explain(error, path)}") from None


def _in_zip(path: Path) -> Pictures:
    archive = open_zip(path)
    sizes = {entry.filename: entry.file_size for entry in sorted(archive.infolist(), key=lambda e: e.filename)}

    def read(name: str) -> bytes:
        if sizes[name] > LARGEST:
            raise ValueError(f"{sizes[name]:,} bytes are too many for a picture")
        try:
            return archive.read(name)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            raise ValueError(explain(error)) from None

    return Pictures(path, {name: size for name, size in sizes.items() if is_picture(name)}, read)
