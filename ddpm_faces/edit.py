"""`python -m ddpm_faces.edit photo.jpg --set Eyeglasses`: change attributes of a real face, and keep the rest of the photo.

Several photos or a folder at once; --strip goes from the photo to beyond the edit, --compare shows what was changed, and where.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from ddpm_faces.generation.edit_settings import EditSettings
from ddpm_faces.utils.settings import command, parse


@command
def main(argv: Sequence[str] | None = None) -> int:
    settings = parse(EditSettings, argv, __doc__)
    from ddpm_faces.generation.edit_files import edit_files

    return 0 if edit_files(settings) else 1


class _Command(ModuleType):
    """`ddpm_faces.edit` names this command and, in Python, the function: once the command is imported, the module stands for
    both."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        from ddpm_faces.generation.edit import edit

        return edit(*args, **options)


sys.modules[__name__].__class__ = _Command

if __name__ == "__main__":
    sys.exit(main())
