"""Which guidance, and how many steps? Quality and obedience against both; the default guidance is chosen here."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from ddpm_faces.evaluation import plots
from ddpm_faces.evaluation.control import judged, single_attributes
from ddpm_faces.evaluation.metrics import compare
from ddpm_faces.evaluation.reference import blurred, extract_from_store
from ddpm_faces.evaluation.suite import EASY, Part, Suite

SCALES, STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0), (4, 6, 8, 15, 25)
NEAR = 0.05  # of the way from the lowest KID to the blurred pictures': what is as good as the lowest
WELL = 0.01  # of balanced accuracy: what is obeyed as well; more guidance costs diversity


def sweep(suite: Suite) -> Part:
    """Quality and obedience against guidance at the default steps, and against steps at the default guidance.

    "obedience" is that to whole vectors, or to digits; "alone" that to single attributes that are easy to see.
    """
    real = extract_from_store(suite.extractor, suite.test, suite.reference, "the test split")
    n = suite.sweep_n
    soft = suite.extractor.extract(blurred(suite.real(n, suite.train)), "blurred pictures")
    own = suite.cache.options
    if own["guidance"] is None:  # all of a point is drawn with one scale, also what is asked alone
        own = own | {"guidance": suite.cache.model.guidance}
    easy = [name for name in EASY if name in suite.names]
    vectors, seeds = single_attributes(suite.names, easy, max(1, n // 48))

    @cache  # both curves have the default point
    def point(guidance: float, steps: int) -> dict[str, Any]:
        label, changes = f"guidance {guidance:g}, {steps} steps", {"guidance": guidance, "steps": steps}
        pictures = suite.samples(n, label, **changes)
        found = compare(suite.extractor.extract(pictures, f"features: {label}"), real, exclusive=False)
        found |= suite.faces_found(pictures)
        if suite.names:
            found["obedience"] = float(np.nanmean(judged(suite, pictures, suite.conditions(n)).balanced))
        if easy:
            alone = suite.cache.draw(vectors, [suite.seed + s for s in seeds], f"asked alone: {label}", **changes)
            found["alone"] = float(np.nanmean(judged(suite, alone, vectors).balanced))
        return {**own, **changes, **found}

    by_guidance = [point(scale, own["steps"]) for scale in sorted({*SCALES, own["guidance"]})] if suite.names else []
    possible = [count for count in STEPS if count <= suite.cache.model.schedule.steps]
    by_steps = [point(own["guidance"], count) for count in sorted({*possible, own["steps"]})]
    numbers: dict[str, Any] = {"pictures a point": n, "by guidance": by_guidance, "by steps": by_steps}
    numbers["KID of blurred pictures"] = compare(soft, real, exclusive=False)["KID"]
    if by_guidance:
        numbers["guidance chosen"] = choose(by_guidance, numbers["KID of blurred pictures"])
    return Part(numbers, {"sweep.png": plots.sweep(by_guidance, by_steps)})


def choose(points: list[dict[str, float]], ruler: float) -> float:
    """Of those whose KID is NEAR the lowest, the lowest guidance that is obeyed as WELL as any of them.

    Obeyed alone, where that was measured. ruler: the KID of blurred pictures. KID is unbiased, so that the choice does not
    depend on how many pictures were drawn.
    """

    def obeyed(p: dict[str, float]) -> float:
        return p.get("alone", p["obedience"])

    least = min(p["KID"] for p in points)
    good = [p for p in points if p["KID"] <= least + NEAR * max(0.0, ruler - least)]
    best = max(obeyed(p) for p in good)
    return min(p["guidance"] for p in good if obeyed(p) >= best - WELL)
