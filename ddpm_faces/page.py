"""`python -m ddpm_faces.page --model celeba64 --out face.html`: the whole model in one HTML file that opens in a browser.

The file needs no server and no network. --serve serves it on this machine, for browsers that open no files.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ddpm_faces.utils.settings import command, parse
from ddpm_faces.web.settings import PageSettings


@command
def main(argv: Sequence[str] | None = None) -> None:
    settings = parse(PageSettings, argv, __doc__)
    from ddpm_faces.models.checkpoint import load
    from ddpm_faces.utils import files
    from ddpm_faces.web.build import build_page
    from ddpm_faces.web.serve import serve

    if settings.out is not None:
        files.check_folder(settings.out.parent)
    model = load(settings.model)
    page = build_page(model, settings.int8)
    path = files.write(settings.out or files.free_path(Path("out") / f"{model.name}.html"), page.encode())
    print(f"{path}: {len(page) / 1e6:.1f} MB; open it in a browser")
    if settings.serve:
        serve(path, settings.port)


if __name__ == "__main__":
    sys.exit(main())
