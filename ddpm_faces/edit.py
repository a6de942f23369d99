"""`python -m ddpm_faces.edit photo.jpg --set Eyeglasses`: change attributes of a real face, and keep the rest of the photo.

Several photos or a folder at once; --strip goes from the photo to beyond the edit, --compare shows what was changed, and where.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ddpm_faces.generation.edit_settings import EditSettings
from ddpm_faces.utils.command import also_function
from ddpm_faces.utils.settings import command, parse


@command
def main(argv: Sequence[str] | None = None) -> int:
    settings = parse(EditSettings, argv, __doc__)
    from ddpm_faces.generation.edit_files import edit_files

    return 0 if edit_files(settings) else 1


if __name__ == "__main__":
    sys.exit(main())
also_function(__name__, "ddpm_faces.generation.edit")
