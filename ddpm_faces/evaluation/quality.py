"""Are the pictures like real ones? Distances to the test split, beside rulers from the same run."""

from __future__ import annotations

from ddpm_faces.data.store import spread
from ddpm_faces.evaluation.metrics import compare
from ddpm_faces.evaluation.reference import blurred, extract_from_store, noise
from ddpm_faces.evaluation.suite import Part, Suite, sheet
from ddpm_faces.images import to_tensor

MODEL, FLOOR, BLURRED = "the model", "real training pictures (the floor)", "the same, blurred"
NOISE = "noise (the ceiling)"


def quality(suite: Suite) -> Part:
    """The model and rulers from the same run: real pictures, the same out of focus, and noise; of each as many."""
    count = min(suite.n, len(suite.train))
    generated = suite.samples()
    generated = generated[spread(len(generated), count)]
    trained_on = suite.real(count, suite.train)
    pictures = {MODEL: generated, FLOOR: trained_on, BLURRED: blurred(trained_on), NOISE: noise(trained_on)}
    real = extract_from_store(suite.extractor, suite.test, suite.reference, "the test split")
    rows = {
        MODEL: suite.extractor.extract(generated, "the model's pictures"),
        FLOOR: extract_from_store(suite.extractor, suite.train, count, "training pictures"),
        BLURRED: suite.extractor.extract(pictures[BLURRED], "blurred pictures"),
        NOISE: suite.extractor.extract(pictures[NOISE], "noise"),
    }
    multiclass = suite.extractor.name != "attributes"
    table = {label: {"pictures": len(o.features)} | compare(o, real, multiclass) for label, o in rows.items()}
    for label, row in table.items():
        row |= suite.faces_found(pictures[label])
    tint = (generated.mean(axis=(0, 1, 2)) - suite.test.images.mean(axis=(0, 1, 2))) / 127.5
    fid = {label: row["FID"] for label, row in table.items()}
    numbers = {
        "rows": table,
        "reference pictures": len(real.features),
        "features": real.features.shape[1],
        "share of the way": (fid[MODEL] - fid[FLOOR]) / (fid[BLURRED] - fid[FLOOR]),
        "tint": [round(v, 4) for v in tint.tolist()],
    }
    overview = sheet(to_tensor(generated[spread(count, 64)]), 8, title="64 of the pictures measured")
    return Part(numbers, {"samples.png": overview})
