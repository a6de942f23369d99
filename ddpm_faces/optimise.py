"""`python -m ddpm_faces.optimise --set "Eyeglasses,Bangs" --n 4`: search the noise for what a model draws only by luck.

Gradients of a classifier run back through the whole sampling chain into its noise; the person stays, as far as the wish allows.
The sheet shows each start before and after the search.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ddpm_faces.generation.optimise_settings import OptimiseSettings
from ddpm_faces.utils.settings import command, parse


@command
def main(argv: Sequence[str] | None = None) -> None:
    settings = parse(OptimiseSettings, argv, __doc__)
    import torch

    from ddpm_faces.generation.optimise import optimise
    from ddpm_faces.models.checkpoint import load
    from ddpm_faces.models.classifier_checkpoint import find_classifier
    from ddpm_faces.utils.devices import find_device
    from ddpm_faces.utils.files import free_path
    from ddpm_faces.utils.images import check_images, grid, write_image
    from ddpm_faces.utils.threads import use_threads

    path = check_images(settings.out or free_path(Path("out") / "optimise.png"))
    use_threads(settings.threads)
    model = load(settings.model, find_device(settings.device))
    classifier = find_classifier(model, settings.classifier, model.device)
    condition = model.labels.parse_classes(settings.set) * settings.n if model.labels.one_hot else settings.set
    found = optimise(
        model, condition, settings.n, seed=settings.seed, method=settings.method, iterations=settings.iterations,
        margin=settings.margin, classifier=classifier, beta=settings.beta, guidance=settings.guidance, progress=True,
    )  # fmt: skip
    rows, left = [found.before, found.after], ["before", "after"]
    if settings.show_saliency and found.saliency is not None:
        rows.append(found.after * found.saliency + (found.saliency - 1))
        left.append("looked at")
    assert found.margins is not None
    top = [f"seed {settings.seed + i}: {margin:+.1f}" for i, margin in enumerate(found.margins.tolist())]
    title = f"{settings.set}; {model.name}, {settings.method}, {len(found.losses)} iterations; worst margin in logits"
    write_image(grid(torch.cat(rows), settings.n, top=top, left=left, title=title), path)
    reached = int((found.margins >= settings.margin).sum())
    print(f"{path}: {reached} of {settings.n} starts reached the margin of {settings.margin:g}")


class _Command(ModuleType):
    """`ddpm_faces.optimise` names this command and, in Python, the function: once the command is imported, the module stands
    for both."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        from ddpm_faces.generation.optimise import optimise

        return optimise(*args, **options)


sys.modules[__name__].__class__ = _Command

if __name__ == "__main__":
    sys.exit(main())
