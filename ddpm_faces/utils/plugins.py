"""Modules named by `--import`: importing one registers its data sets, presets, samplers or networks."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable

from ddpm_faces.utils.errors import UserError


def import_modules(names: Iterable[str]) -> None:
    """Import each module by its dotted name; the working folder is searched last. UserError where there is no such module."""
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserError(f"cannot import '{name}': give a module's name, as in experiments.report_unet")
        if os.getcwd() not in sys.path:  # an installed script, unlike `python -m`, does not look there
            sys.path.append(os.getcwd())
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not (error.name and f"{name}.".startswith(f"{error.name}.")):
                raise  # a module that the named one needs
            raise UserError(
                f"cannot import '{name}': there is no module '{error.name}' in this folder or this Python"
            ) from None
