"""`python -m ddpm_faces.optimise --set "Eyeglasses,Bangs" --n 4`: search the noise for what a model draws only by luck.

Gradients of a classifier run back through the whole chain of sampling into its noise; the person stays, as far as the wish
allows. --photo begins with the noise behind a photo. The sheet shows each start before and after the search.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ddpm_faces.generation.optimise_settings import OptimiseSettings
from ddpm_faces.utils.command import also_function
from ddpm_faces.utils.settings import command, parse


@command
def main(argv: Sequence[str] | None = None) -> None:
    settings = parse(OptimiseSettings, argv, __doc__)
    from ddpm_faces.generation.optimise_files import optimise_files

    optimise_files(settings)


if __name__ == "__main__":
    sys.exit(main())
also_function(__name__, "ddpm_faces.generation.optimise")
