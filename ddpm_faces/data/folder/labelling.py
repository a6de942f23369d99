"""What the pictures of a folder are labelled with, in which split each is, and what of it was not understood."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from ddpm_faces.conditions.labels import NO_LABELS, Labels
from ddpm_faces.data.damage import explain
from ddpm_faces.data.folder.tables import Table
from ddpm_faces.data.pictures import Pictures
from ddpm_faces.data.source import SPLITS
from ddpm_faces.utils.errors import UserError

VALUES = {"1": 1, "true": 1, "yes": 1, "0": -1, "-1": -1, "false": -1, "no": -1, "": 0, "1.0": 1, "0.0": -1, "-1.0": -1}
SPLIT_NAMES = {"train": 0, "training": 0, "valid": 1, "val": 1, "validation": 1, "dev": 1, "test": 2, "testing": 2}
MOST_CLASSES = 1000


@dataclass
class Labelled:
    """labels: what a condition means. values: of each labelled picture, by its name (K,). splits: 0, 1 or 2, by name.

    notes: what was left out, and why. how: where the split comes from.
    """

    labels: Labels
    values: dict[str, tuple[int, ...]]
    splits: dict[str, int]
    how: str
    notes: list[str] = field(default_factory=list)

    def split(self, name: str) -> list[str]:
        """The pictures of a split, in order."""
        return [picture for picture in self.values if self.splits[picture] == SPLITS.index(name)]

    def condition(self, name: str) -> np.ndarray:
        """The condition (K,) of a picture."""
        return np.array(self.values[name], dtype=np.int8)

    def counts(self) -> str:
        """ "400, 50, 50": pictures in the three splits."""
        found = Counter(self.splits[name] for name in self.values)
        return ", ".join(str(found[i]) for i in range(len(SPLITS)))

    def describe(self, place: str) -> str:
        """What was understood, in a few lines."""
        table = np.array(list(self.values.values())).reshape(len(self.values), -1)
        lines = [f"{place}: {len(self.values):,} pictures; train, valid, test: {self.counts()} ({self.how})"]
        if self.labels.names:
            shares = (table > 0).mean(axis=0)
            shown = ", ".join(f"{name} {share:.0%}" for name, share in zip(self.labels.names, shares, strict=True))
            lines.append(f"  {len(self.labels)} {self.labels.kind}: {shown}"[:600])
        else:
            lines.append("  no labels: the model will be unconditional")
        if self.labels.kind == "attributes":
            unsaid = float((table == 0).mean())
            lines += [f"  {unsaid:.0%} of the entries are not said"] if unsaid else []
            constant = [name for name, column in zip(self.labels.names, table.T, strict=True) if len(set(column)) == 1]
            if constant:
                lines.append(f"  the same in every picture, so that nothing can be learned of it: {', '.join(constant)}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def label(pictures: Pictures, table: Table | None) -> Labelled:
    """Labels by the table, or else by sub-folders, or none. Raises UserError where they cannot be read."""
    names = list(pictures.sizes)
    folders = _split_folders(names)
    inner = {name: _without_split(name) if folders else name for name in names}
    if table is not None:
        found = _by_table(names, inner, table)
    else:
        found = _by_folders(names, inner)
    if folders and "split" not in found.how:
        found.splits, found.how = {name: SPLIT_NAMES[PurePosixPath(name).parts[0].lower()] for name in names}, "by folder"
    found.labels = _with_exclusive(found.labels, pictures.place)
    return found


def _split_folders(names: list[str]) -> bool:
    """Whether every picture lies in a folder called train, valid or test, and there are two of these at least."""
    first = [PurePosixPath(name).parts[0].lower() for name in names if len(PurePosixPath(name).parts) > 1]
    return len(first) == len(names) and set(first) <= set(SPLIT_NAMES) and len(set(first)) > 1


def _without_split(name: str) -> str:
    return PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix()


def _by_hash(names: list[str]) -> dict[str, int]:
    """A split that stays the same when pictures are added: a tenth test, a tenth valid, by the hash of the name."""
    tenth = {name: int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10 for name in names}
    return {name: {0: 2, 1: 1}.get(tenth[name], 0) for name in names}


HASHED = "by a hash of the name: 80%, 10%, 10%"


def _by_folders(names: list[str], inner: dict[str, str]) -> Labelled:
    """One class for each sub-folder, as torchvision's ImageFolder; unconditional where all lie in one."""
    folder = {name: PurePosixPath(inner[name]).parent.as_posix() for name in names}
    classes = _sorted(folder.values())
    if len(classes) < 2 or len(classes) > MOST_CLASSES or "." in classes:
        odd = "sub-folders were not read as classes: some pictures lie beside them, or they are too many"
        notes = [odd] if len(classes) > 1 else []
        return Labelled(NO_LABELS, dict.fromkeys(names, ()), _by_hash(names), HASHED, notes)
    return _classes(names, folder, classes)


def _classes(names: list[str], of: dict[str, str], classes: list[str]) -> Labelled:
    one_hot = np.eye(len(classes), dtype=int)
    values = {name: tuple(one_hot[classes.index(of[name])].tolist()) for name in names}
    return Labelled(Labels(tuple(classes), one_hot=True), values, _by_hash(names), HASHED)


def _by_table(names: list[str], inner: dict[str, str], table: Table) -> Labelled:
    rows, notes = _matched(names, inner, table)
    columns = [i for i, name in enumerate(table.columns) if name.lower() != "split"]
    if not columns:
        raise UserError(f"the table {table.path} names files only: add a column of labels")
    kept = list(rows)
    if len(columns) == 1 and not all(rows[n][columns[0]].lower() in VALUES for n in kept):
        of = {name: rows[name][columns[0]] for name in kept if rows[name][columns[0]]}
        notes += [f"{len(kept) - len(of)} pictures have no class in {table.path.name}: left out"] if len(of) < len(kept) else []
        found = _classes(list(of), of, _sorted(of.values()))
        if len(found.labels) > MOST_CLASSES:
            raise UserError(
                f"column {table.columns[columns[0]]} of {table.path} has {len(found.labels)} different entries: no classes"
            )
    else:
        found = _attributes(rows, table, columns)
    found.notes = notes
    headers = [name.lower() for name in table.columns]
    if "split" in headers:
        words = {name: rows[name][headers.index("split")] for name in found.values}
        unknown = sorted(word for word in set(words.values()) if word.lower() not in SPLIT_NAMES)
        if unknown:
            raise UserError(f"the column split of {table.path} says {unknown[0]!r}: use train, valid or test")
        found.splits = {name: SPLIT_NAMES[word.lower()] for name, word in words.items()}
        found.how = "by the column split"
    return found


def _sorted(classes: Iterable[str]) -> list[str]:
    """Each class once: numbers by their value, words by the alphabet."""
    return sorted(set(classes), key=lambda c: (len(c), c) if c.isdigit() else (0, c))


def _attributes(rows: dict[str, tuple[str, ...]], table: Table, columns: list[int]) -> Labelled:
    labels = Labels(tuple(table.columns[i].strip().replace(" ", "_") for i in columns))
    values = {}
    for name, row in rows.items():
        wrong = next((i for i in columns if row[i].lower() not in VALUES), None)
        if wrong is not None:
            entry = f"{name} has {table.columns[wrong]} = {row[wrong]!r}"
            raise UserError(f"{table.path}: {entry}; write 1 and -1 (or 0), true, yes, or leave it empty")
        values[name] = tuple(VALUES[row[i].lower()] for i in columns)
    return Labelled(labels, values, _by_hash(list(values)), HASHED)


def _matched(names: list[str], inner: dict[str, str], table: Table) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The row of each picture: by its whole name, or else by its last part, in any case, and without the ending."""
    by_key: dict[str, list[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        without_ending = PurePosixPath(inner[name]).with_suffix("").as_posix()
        keys = {name, inner[name], path.name, path.name.lower(), path.stem.lower(), without_ending}
        for key in keys:
            by_key.setdefault(key, []).append(name)
    rows: dict[str, tuple[str, ...]] = {}
    missing, doubled = [], []
    for file, row in table.rows:
        named = (file, file.lower(), PurePosixPath(file).name.lower())
        found = next((by_key[key] for key in named if key in by_key), [])
        if len(found) != 1:
            missing.append(file)
        elif found[0] in rows and rows[found[0]] != row:
            raise UserError(f"{table.path} has two different rows for {file}")
        elif found[0] in rows:
            doubled.append(file)
        else:
            rows[found[0]] = row
    if not rows:
        raise UserError(
            f"{table.path} and the pictures disagree: none of {len(table.rows)} rows names one of {len(names)} pictures"
        )
    notes = []
    if missing:
        notes.append(
            f"{len(missing)} rows of {table.path.name} name no picture, or several (the first: {missing[0]}): left out"
        )
    if doubled:
        notes.append(f"{len(doubled)} rows of {table.path.name} are there twice (the first: {doubled[0]})")
    if len(rows) < len(names):
        first = next(name for name in names if name not in rows)
        notes.append(f"{len(names) - len(rows)} pictures have no row in {table.path.name} (the first: {first}): left out")
    return {name: rows[name] for name in names if name in rows}, notes


def _with_exclusive(labels: Labels, place: Path) -> Labels:
    """The labels with the exclusive groups of labels.json, {"exclusive": [["Red", "Blue", "Green"]]}, if there is one."""
    path = (place if place.is_dir() else place.parent) / "labels.json"
    if not path.is_file() or labels.one_hot:
        return labels
    try:
        groups = json.loads(path.read_text())["exclusive"]
        pairs = tuple((labels.find(a), labels.find(b)) for group in groups for i, a in enumerate(group) for b in group[i + 1 :])
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f'{path} is not {{"exclusive": [["Red", "Blue"]]}} ({explain(error)})') from None
    return Labels(labels.names, exclusive=pairs)
