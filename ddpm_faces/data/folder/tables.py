"""Tables of labels: CSV, TSV, or the JSON lines of Hugging Face's image folders. The first column names the file."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import NamedTuple

from ddpm_faces.data.damage import explain
from ddpm_faces.utils.errors import UserError

NAMES = ("labels.csv", "labels.tsv", "metadata.csv", "metadata.jsonl")  # looked for in the folder, in this order
LARGEST = 2**28  # bytes


class Table(NamedTuple):
    """path: of the file. columns: the header without its first entry. rows: (file name, the other entries), as they stand."""

    path: Path
    columns: tuple[str, ...]
    rows: list[tuple[str, tuple[str, ...]]]


def find_table(root: Path) -> Path | None:
    """The table that lies in a folder, or beside a zip file, under one of the usual names."""
    folder = root if root.is_dir() else root.parent
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def read_table(path: Path, root: Path) -> Table:
    """A table by its path, which may be relative to the pictures' folder. Raises UserError where it is none."""
    path = path if path.is_file() or not (root / path).is_file() else root / path
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large for a table of labels")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(f"the table {path} cannot be read: {explain(error, path)}") from None
    rows = _json_lines(text, path) if path.suffix.lower() in (".jsonl", ".ndjson") else _separated(text)
    if len(rows) < 2:
        raise UserError(
            f"the table {path} has no rows below its header: the first column names the files, the others the labels"
        )
    header, *rest = rows
    if _is_value(header[1] if len(header) > 1 else "") and len(header) > 1:
        raise UserError(f"the table {path} has no header: its first row, {','.join(header)[:60]}, holds values")
    bad = next((i for i, row in enumerate(rest, start=2) if len(row) != len(header)), None)
    if bad is not None:
        raise UserError(f"row {bad} of {path} has {len(rest[bad - 2])} entries, and the header {len(header)}")
    columns = tuple(header[1:])
    if len(set(columns)) != len(columns) or not all(columns):
        raise UserError(f"the header of {path} names a column twice, or not at all: {', '.join(columns)[:100]}")
    return Table(path, columns, [(row[0].strip(), tuple(entry.strip() for entry in row[1:])) for row in rest])


def _separated(text: str) -> list[list[str]]:
    first = text.partition("\n")[0]
    separator = max(("\t", ";", ","), key=first.count)
    return [row for row in csv.reader(io.StringIO(text), delimiter=separator) if any(entry.strip() for entry in row)]


def _json_lines(text: str, path: Path) -> list[list[str]]:
    try:
        found = [json.loads(line) for line in text.splitlines() if line.strip()]
        columns = [name for name in dict.fromkeys(key for row in found for key in row) if name != "file_name"]
        return [["file_name", *columns], *([row["file_name"], *(_plain(row.get(c)) for c in columns)] for row in found)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"the table {path} is not JSON lines with a file_name each ({explain(error)})") from None


def _plain(value: object) -> str:
    return "" if value is None else str(value)


def _is_value(word: str) -> bool:
    """Whether a word of the header looks like an entry of a row."""
    return word.strip().lower() in ("-1", "0", "1", "true", "false", "yes", "no")
