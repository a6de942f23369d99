"""Settings are declared once, as a class, and read from Python, from flags or from JSON.

    class SampleSettings(Settings):
        n: int = Field(16, ge=1, le=4096, description="number of images")

pydantic checks types, ranges and choices. A flag is a field's name with dashes: `--batch-size` sets `batch_size`, and
`--from` sets `from_`. A bool is a switch (--x, --no-x). A tuple's flag takes a list with commas, and may be repeated. A tuple
declared with `json_schema_extra=WORDS` has no flag: it takes the words that stand alone, as in `edit one.jpg two.jpg`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, create_model, field_validator
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ddpm_faces.utils.command import PROGRAM, command, tell
from ddpm_faces.utils.errors import UserError, hint

__all__ = ["WORDS", "Settings", "command", "from_flags", "given", "load_json", "parse"]

S = TypeVar("S", bound="Settings")
WORDS: JsonDict = {"words": True}  # marks the field that takes the words without a flag


class Settings(BaseModel):
    """Base class of settings: keyword arguments only, unknown names refused, `~` expanded in paths, never changed later.

    A bad value raises a UserError that names the field. Validators of subclasses may write flags (`--max-steps`) in their
    messages: those are shown as fields (`max_steps`) to callers in Python. `model_fields_set` holds what was given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __init__(self, **values: Any):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise UserError(_explain(error, type(self), as_flags=False)) from None

    @field_validator("*")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        return Path(os.path.expanduser(value)) if isinstance(value, Path) else value


def parse(cls: type[S], argv: Sequence[str] | None, description: str | None = None) -> S:
    """Settings from flags (those of the command line if `argv` is None).

    description: a command's __doc__, whose first line --help shows. A flag that does not exist, lacks its value or is given
    twice exits with status 2 after one line; a bad value raises a UserError that names the flag.
    """
    return from_flags(cls, given(cls, argv, description))


def given(cls: type[Settings], argv: Sequence[str] | None, description: str | None = None) -> dict[str, Any]:
    """Only what `argv` says, by field name. As `parse`, but fields are checked one by one, not against each other."""
    said = _read_flags(cls, sys.argv[1:] if argv is None else argv, description)
    fields: dict[str, Any] = {name: (field.annotation, field) for name, field in cls.model_fields.items() if name in said}
    checked = from_flags(create_model(cls.__name__, __base__=Settings, **fields), said)
    return {name: getattr(checked, name) for name in said}


def from_flags(cls: type[S], values: dict[str, Any]) -> S:
    """Settings from what `given` returned and other values. Raises a UserError that names the flag."""
    settings = cls.__new__(cls)
    try:
        cls.__pydantic_validator__.validate_python(values, self_instance=settings)
    except ValidationError as error:
        raise UserError(_explain(error, cls, as_flags=True)) from None
    return settings


def load_json(cls: type[S], values: dict[str, Any], source: str) -> S:
    """Settings that were saved as JSON, of exactly the declared types: no text for a number. UserError names `source`."""
    settings = cls.__new__(cls)
    odd = {name: Path(value) for name, value in values.items() if isinstance(value, str) and not _is_text(value)}
    try:
        text = json.dumps(values | dict.fromkeys(odd, "."), default=str)
        cls.__pydantic_validator__.validate_json(text, strict=True, self_instance=settings)
    except (ValidationError, RecursionError) as error:
        reason = _explain(error, cls, as_flags=False) if isinstance(error, ValidationError) else "it is nested too deeply"
        raise UserError(f"{source} is damaged or of another version of ddpm_faces ({reason})") from None
    return settings.model_copy(update=odd)


def _is_text(value: str) -> bool:
    """Whether a text has only letters that JSON knows; paths may have bytes that are none."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:  # argparse would print the whole usage
        tell(f"{self.prog}: {message} (--help lists the flags)")
        sys.exit(2)


class _Switch(argparse.BooleanOptionalAction):
    """--x and --no-x append "yes" and "no", as the other flags append their values."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None) -> None:
        value = "no" if (option_string or "").startswith("--no-") else "yes"
        setattr(namespace, self.dest, [*getattr(namespace, self.dest, []), value])


def _read_flags(cls: type[Settings], argv: Sequence[str], description: str | None) -> dict[str, Any]:
    """The text, or list of texts for a tuple, that each flag was given."""
    fields = cls.model_fields
    words = next((name for name, field in fields.items() if field.json_schema_extra == WORDS), None)
    flags = {_flag(name): name for name in fields if name != words}
    parser = _parser(flags, fields, description, words)
    valued = [flag for flag, name in flags.items() if fields[name].annotation is not bool]
    said, rest = parser.parse_known_args(_join(argv, valued))
    alone = vars(said).pop(words, []) if words else []  # argparse takes those of one place only
    if words:
        alone, rest = [*alone, *(w for w in rest if not w.startswith("-"))], [w for w in rest if w.startswith("-")]
    if rest:
        word = rest[0].partition("=")[0]
        close = f"no flag {word}{hint(word, flags)}" if word.startswith("--") else f"unexpected word {word!r}"
        parser.error(f"{close}; put commas between the values of one flag" if not word.startswith("--") else close)
    values: dict[str, Any] = {words: alone} if words and alone else {}
    for name, texts in vars(said).items():
        if typing.get_origin(fields[name].annotation) is tuple:
            values[name] = [part.strip() for text in texts for part in text.split(",") if part.strip()]
        elif len(texts) == 1:
            values[name] = texts[0]
        else:
            parser.error(f"{_flag(name)} is given twice: {' and '.join(map(shlex.quote, texts))}; say it once")
    return values


def _parser(
    flags: Mapping[str, str], fields: Mapping[str, FieldInfo], description: str | None, words: str | None = None
) -> _Parser:
    from ddpm_faces.utils.version import __version__

    summary = (description or "").strip().partition("\n")[0]  # python -OO drops docstrings
    parser = _Parser(PROGRAM.get(), description=summary, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"ddpm_faces {__version__}")
    if words:
        parser.add_argument(words, nargs="*", metavar=_metavar(words, fields[words]), help=_help(fields[words]))
    for flag, name in flags.items():
        field = fields[name]
        if field.annotation is bool:
            parser.add_argument(flag, dest=name, action=_Switch, help=_help(field))
        else:
            parser.add_argument(flag, dest=name, action="append", metavar=_metavar(name, field), help=_help(field))
    return parser


def _join(argv: Sequence[str], valued: Sequence[str]) -> list[str]:
    """Write `--set -Male` as `--set=-Male`: argparse would take a word that begins with a minus for another flag."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in valued and word.startswith("-") and not word.startswith("--"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _flag(name: str) -> str:
    return f"--{name.rstrip('_').replace('_', '-')}"


def _metavar(name: str, field: FieldInfo) -> str:
    """What --help shows for the value: its choices, its `title`, or the last word of its name."""
    if typing.get_origin(field.annotation) is typing.Literal:
        return f"{{{','.join(map(str, typing.get_args(field.annotation)))}}}"
    return field.title or name.rstrip("_").split("_")[-1].upper()


def _help(field: FieldInfo) -> str:
    """A field's description, with its range, if that is short, and its default, unless the description says it."""
    text, default, bounds = field.description or "", field.default, _range(field)
    notes = [bounds] if 0 < len(bounds) <= 22 else []
    if default not in (PydanticUndefined, None, (), False, "") and "(default" not in text:
        notes.append(f"default {','.join(map(str, default)) if isinstance(default, tuple) else default}")
    return f"{text} ({'; '.join(notes)})".removesuffix(" ()").replace("%", "%%")


def _range(field: FieldInfo) -> str:
    """ "1 .. 65536", "above 0", "at least 0 and below 1", or nothing."""
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    bounds = {name: f"{getattr(m, name):.15g}" for m in field.metadata for name in words if hasattr(m, name)}
    if set(bounds) == {"ge", "le"}:
        return f"{bounds['ge']} .. {bounds['le']}"
    return " and ".join(f"{words[name]} {bound}" for name, bound in bounds.items())


def _explain(error: ValidationError, cls: type[Settings], as_flags: bool) -> str:
    """The first complaint of pydantic in one line."""
    first = error.errors(include_url=False)[0]
    kind, value = first["type"], first["input"]
    if kind == "value_error":  # raised by a validator of ours
        text = str(first["ctx"]["error"])
        names = {_flag(name): name for name in cls.model_fields}
        return text if as_flags else re.sub(r"--[a-z][a-z0-9-]*", lambda match: names.get(match[0], match[0]), text)
    if not first["loc"]:  # no object at all
        return str(first["msg"])[:200]
    name = str(first["loc"][0])
    if kind == "extra_forbidden":
        return f"there is no setting {name!r}{hint(name, cls.model_fields)}"
    if kind == "missing":
        return f"{_flag(name) if as_flags else name} must be given"
    said = (f"{_flag(name)} {shlex.quote(str(value))}" if as_flags else f"{name}={value!r}")[:200]
    bounds = _range(cls.model_fields[name])
    if bounds and kind.startswith(("greater_than", "less_than")):
        return f"{said} is outside {bounds}" if ".." in bounds else f"{said} must be {bounds}"
    return f"{said}: {first['msg'].removeprefix('Input ')}"
