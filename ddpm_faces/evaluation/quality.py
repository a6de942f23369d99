"""Are the images like real ones? Distances to the test split, beside rulers from the same run."""

from __future__ import annotations

from ddpm_faces.data.dataset import spread
from ddpm_faces.evaluation import detector
from ddpm_faces.evaluation.metrics import compare
from ddpm_faces.evaluation.part import Numbers, Part
from ddpm_faces.evaluation.reference import REFERENCE, blurred, extract_dataset, noise
from ddpm_faces.evaluation.report import heading, percent, table
from ddpm_faces.evaluation.samples import Request
from ddpm_faces.evaluation.suite import Suite, sheet
from ddpm_faces.utils.images import to_tensor

NEEDS_CONDITIONS = False
MODEL, FLOOR, BLURRED = "the model", "real training images (the floor)", "the same, blurred"
NOISE = "noise (the ceiling)"


def requests(suite: Suite) -> list[Request]:
    """One set of samples, which other parts measure too."""
    return [suite.samples()]


def measure(suite: Suite) -> Part:
    """The model and rulers from the same run: real images, the same out of focus, and noise; of each as many."""
    count = min(suite.settings.n, len(suite.train))
    generated = suite.cache.sample(suite.samples())
    generated = generated[spread(len(generated), count)]
    trained_on = suite.real(count, suite.train)
    images = {MODEL: generated, FLOOR: trained_on, BLURRED: blurred(trained_on), NOISE: noise(trained_on)}
    extractor = suite.extractor
    real = extract_dataset(extractor, suite.test, REFERENCE, "the test split")
    extracted = {
        MODEL: extractor.extract(generated, "generated images"),
        FLOOR: extract_dataset(extractor, suite.train, count, "training images"),
        BLURRED: extractor.extract(images[BLURRED], "blurred images"),
        NOISE: extractor.extract(images[NOISE], "noise"),
    }
    rows = {
        label: {"images": len(x.features)} | compare(x, real, extractor.one_hot) | suite.faces_found(images[label])
        for label, x in extracted.items()
    }
    tint = (generated.mean(axis=(0, 1, 2)) - suite.test.images.mean(axis=(0, 1, 2))) / 127.5
    fid = {label: row["FID"] for label, row in rows.items()}
    numbers = {
        "rows": rows,
        "reference images": len(real.features),
        "features": real.features.shape[1],
        "share of the way": (fid[MODEL] - fid[FLOOR]) / (fid[BLURRED] - fid[FLOOR]),
        "tint": [round(v, 4) for v in tint.tolist()],
    }
    overview = sheet(to_tensor(generated[spread(count, 64)]), 8, title="64 of the images measured")
    missing = (detector.MISSING,) if suite.source.faces and not detector.available() else ()
    return Part(numbers, {"samples.png": overview}, missing)


def verdict(numbers: Numbers) -> str:
    """How far the images are from real ones, on the way to blurred ones."""
    share = percent(numbers["share of the way"])
    return f"By FID the images are {share} of the way from real training images (0%) to the same images blurred (100%)."


def report(numbers: Numbers, about: Numbers) -> list[str]:
    """The table, and how to read it."""
    lines = [
        *heading("Quality", numbers), *table(numbers["rows"]), "",
        f"Distances to {numbers['reference images']} real images of the test split, through the same crop. FID is biased "
        f"upwards where images are few beside its {numbers['features']} features: compare it at equal counts only.",
        *([about["caution"]] if about["caution"] else []),
    ]  # fmt: skip
    if not about["made elsewhere"]:
        said = "the very conditions of the test images, which training images do not have"
        lines += [f"A conditional model was asked for {said}."]
    if any(detector.FACES in row for row in numbers["rows"].values()):
        lines += ["Faces found: the share of images in which dlib's frontal detector finds a face."]
    return [*lines, f"Mean colour minus the test split's: {numbers['tint']}.", "", "![](samples.png)"]
