"""Photos in, edited photos out: what `python -m ddpm_faces.edit` does with files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ddpm_faces.data import alignment, faces, photo
from ddpm_faces.data.alignment import Similarity
from ddpm_faces.data.pictures import ENDINGS
from ddpm_faces.generation.conditions import check_wish
from ddpm_faces.generation.edit import Edited
from ddpm_faces.generation.edit_photo import aligned, crop_of, edit_photo
from ddpm_faces.generation.edit_settings import EditSettings
from ddpm_faces.generation.face_settings import FaceSettings
from ddpm_faces.models.checkpoint import load
from ddpm_faces.models.classifier_checkpoint import Classifier, find_classifier
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils import files
from ddpm_faces.utils.command import tell
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.images import grid, to_tensor, write_gif, write_image
from ddpm_faces.utils.threads import use_threads

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)  # of the edit's strength, in the columns of a strip
SHOWN = 128  # pixels of a face in strips and comparisons


class Editor(NamedTuple):
    """What all photos of a call share."""

    settings: EditSettings
    model: DiffusionModel
    classifier: Classifier
    crop: str

    @property
    def fade(self) -> int:
        """Over how many pixels a change fades out: an aligned picture ends where the crop does, and has no seam."""
        return 0 if self.settings.aligned else alignment.FADE

    def options(self) -> dict[str, object]:
        """Keyword arguments of `edit`."""
        s = self.settings
        return {
            "attributes": s.attributes, "strength": s.strength, "steps": s.steps, "depth": s.depth, "keep": s.keep,
            "method": s.method, "classifier": self.classifier, "seed": s.seed, "precision": s.precision,
        }  # fmt: skip


def edit_files(settings: EditSettings) -> bool:
    """Edit every photo and say what was written. Returns whether all could be edited; one alone raises its UserError."""
    paths = list(find_photos(settings.photos))
    outs: list[Path] = []
    for path in paths:
        outs.append(out_path(settings, path, len(paths), outs))
    use_threads(settings.threads)
    model = load(settings.model, settings.device)
    model.require("attributes")
    crop = crop_of(model)
    check_wish(model, settings.set)  # before any work
    model.labels.parse(settings.attributes)
    editor = Editor(settings, model, find_classifier(model, settings.classifier, model.device), crop)
    skipped = 0
    for path, out in zip(paths, outs, strict=True):
        try:
            edit_file(editor, path, out)
        except UserError as error:
            if len(paths) == 1:
                raise
            tell(f"ddpm_faces: skipped: {error}")
            skipped += 1
    if skipped:
        tell(f"ddpm_faces: {len(paths) - skipped} of {len(paths)} photos edited, {skipped} skipped")
    return not skipped


def find_photos(given: tuple[Path, ...]) -> Iterator[Path]:
    """The photos themselves, and those in folders, by name. Raises UserError where there is none."""
    for path in given:
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS)
        if not found:
            raise UserError(f"{path} holds no photos ({', '.join(ENDINGS)})")
        yield from found


def out_path(settings: EditSettings, path: Path, count: int, taken: list[Path]) -> Path:
    """Where the edit of a photo is written: --out itself for one photo, a file in it for several. Raises UserError.

    taken: by other photos of this call, which may have the same name in another folder.
    """
    words = re.sub(r"[^\w-]+", "_", re.sub(r"(^|,)\s*-", r"\1no-", settings.set)) or "unchanged"
    suffix = path.suffix.lower() if path.suffix.lower() in (".jpg", ".jpeg", ".webp") else ".png"
    name = f"{path.stem}-{words}"[:120] + suffix
    out = settings.out
    single = out is not None and count == 1 and bool(out.suffix)
    if out is not None and out.suffix and count > 1:
        raise UserError(f"--out {out} is one file, for {count} photos: name a folder")
    found = out if out is not None and single else files.free_path((out or Path("out")) / name)
    while found in taken:
        found = files.free_path(found.with_stem(f"{found.stem}-again"))
    files.check_folder(found.parent)
    if single:
        photo.check_ending(found)
        if found.exists() and path.exists() and os.path.samefile(found, path):
            raise UserError(f"{found} is the photo itself: choose another --out")
    return found


def place_faces(
    settings: FaceSettings, path: Path, pixels: np.ndarray, crop: str, all_faces: bool | None = None
) -> list[Similarity]:
    """Where the faces that are meant are: one, or all of them. all_faces: None where the command has no such flag.

    Raises UserError, with what can be done, where there is none or it is too small.
    """
    if settings.aligned:
        return [aligned(pixels, crop)]
    if settings.eyes:
        x1, y1, x2, y2 = settings.eyes
        return [faces.face_at((x1, y1, x2, y2)).similarity]
    found = faces.find_faces(pixels)
    if not found:
        raise UserError(
            f"no face found in {path}: say where its eyes are (--eyes x1,y1,x2,y2), or --aligned if it is a CelebA crop"
        )
    if settings.face > len(found):
        raise UserError(f"--face {settings.face}: {len(found)} found in {path}")
    chosen = found if all_faces else [found[settings.face - 1]]
    large = [face for face in chosen if face.width >= faces.SMALLEST]
    if not large:
        width = f"{chosen[0].width:.0f} pixels wide, less than {faces.SMALLEST}"
        raise UserError(f"the face in {path} is {width}: use a larger photo")
    if len(found) > 1 and not all_faces:
        ways = "--face 2 for another" if all_faces is None else "--face 2 or --all-faces for others"
        print(f"{path}: {len(found)} faces found; taking number {settings.face} by size ({ways})")
    return [face.similarity for face in large]


def edit_file(editor: Editor, path: Path, out: Path) -> None:
    """Edit one photo and write what was asked for. Raises UserError."""
    settings = editor.settings
    opened = photo.open_photo(path)
    places = place_faces(settings, path, opened.pixels, editor.crop, settings.all_faces)
    pixels, edited = edit_photo(editor.model, opened.pixels, places, settings.set, editor.fade, **editor.options())
    for i, place_found in enumerate(edited.estimated):
        label = f"{path}, face {i + 1}" if len(places) > 1 else str(path)
        print(f"{label}: estimated {describe_estimate(editor.model, place_found)}")
    note = f"edited with ddpm_faces: {settings.set}" if settings.note and settings.set else ""
    changed = not np.array_equal(pixels, opened.pixels)
    if not changed and same_kind(path, out):
        files.write(out, path.read_bytes())
    else:
        files.write(out, photo.encode_photo(opened._replace(pixels=pixels), out, note if changed else ""))
    print(f"{out}: {verdict(settings, edited, changed)}")
    if settings.compare:
        print(f"{compare(editor, opened.pixels, pixels, places, edited, out)}: photo, edit, change and region")
    if settings.strip or settings.gif:
        strip(editor, opened.pixels, places[0], float(edited.strength[0]), out)


def same_kind(one: Path, other: Path) -> bool:
    """Whether two file names stand for the same format, so that a file can be copied as it is."""
    kinds = {".jpeg": ".jpg"}
    return kinds.get(one.suffix.lower(), one.suffix.lower()) == kinds.get(other.suffix.lower(), other.suffix.lower())


def describe_estimate(model: DiffusionModel, row: torch.Tensor) -> str:
    """ "Young 97%, Smiling 80%": the attributes that the classifier finds more likely than not, the surest first."""
    shares = {name: (float(value) + 1) / 2 for name, value in zip(model.names, row, strict=True)}
    likely = sorted((name for name, share in shares.items() if share > 0.5), key=lambda name: -shares[name])
    return ", ".join(f"{name} {shares[name]:.0%}" for name in likely) or "nothing for sure"


def verdict(settings: EditSettings, edited: Edited, changed: bool) -> str:
    """What happened to the photo, in a few words."""
    if not settings.set:
        return "nothing was asked for: the photo as it was"
    if not changed:
        return f"{settings.set} is there already, the classifier says: the photo as it was (--strength 4 goes beyond)"
    strengths = ", ".join(f"{float(s):.3g}" for s in edited.strength)
    seen = "" if bool(edited.met.all()) else "; the classifier does not see all of it: try a higher --strength"
    return f"{settings.set} at strength {strengths}{seen}"


def compare(editor: Editor, before: np.ndarray, after: np.ndarray, places: list[Similarity], edited: Edited, out: Path) -> Path:
    """Write photo, edit, change (grey is none) and region of each face, side by side."""
    rows = []
    for place, change, region in zip(places, edited.change, edited.region, strict=True):
        cuts = [alignment.cut(pixels, place, editor.crop, SHOWN) for pixels in (before, after)]
        small = torch.stack([change.float().clamp(-1, 1), region.float().expand(3, -1, -1) * 2 - 1])
        rows += [*to_tensor(np.stack(cuts)), *torch.nn.functional.interpolate(small, (SHOWN, SHOWN), mode="nearest")]
    picture = grid(torch.stack(rows), 4, top=("photo", "edit", "change", "region"), title=editor.settings.set, zoom=1)
    return write_image(picture, out.with_name(f"{out.stem}-compare.png"))


def strip(editor: Editor, before: np.ndarray, place: Similarity, strength: float, out: Path) -> None:
    """Write a strip of one face, from the photo to one and a half times the edit's strength."""
    settings, full = editor.settings, strength or 4.0
    frames = []
    for share in SHARES:
        options = editor.options() | {"strength": share * full}
        after, _ = edit_photo(editor.model, before, [place], settings.set, editor.fade, **options)
        frames.append(alignment.cut(after, place, editor.crop, SHOWN))
    images, labels = to_tensor(np.stack(frames)), [f"{share * full:.3g}" for share in SHARES]
    if settings.strip:
        title = f"{settings.set}, by strength; {editor.model.name}, {settings.method} {settings.steps} steps"
        picture = grid(images, len(SHARES), top=labels, title=title, zoom=1)
        print(f"{write_image(picture, out.with_name(f'{out.stem}-strip.png'))}: strengths {labels[0]} to {labels[-1]}")
    if settings.gif:
        titles = [f"{settings.set} {label}" for label in labels]
        shown = [grid(image[None], 1, title=title, zoom=2) for image, title in zip(images, titles, strict=True)]
        print(f"{write_gif(shown, out.with_name(f'{out.stem}.gif'))}: the same as an animation")
