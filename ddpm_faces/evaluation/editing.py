"""Edits of real faces with known labels: do they show what was asked, and is it still the same person, in the same photo?

Judged by a classifier that the edits' automatic strength does not use, and by dlib's face recognition network.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ddpm_faces.data.celeba import CROPS
from ddpm_faces.evaluation import detector, identity
from ddpm_faces.evaluation.fingerprints import SAMPLING, code_fingerprint, fingerprint
from ddpm_faces.evaluation.part import Numbers, Part
from ddpm_faces.evaluation.report import cell, heading, percent, render, table
from ddpm_faces.evaluation.samples import Request
from ddpm_faces.evaluation.suite import Suite, sheet
from ddpm_faces.generation.edit import METHODS, edit
from ddpm_faces.models.classifier_checkpoint import Classifier, load_classifier, shipped_classifiers
from ddpm_faces.utils import files
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.images import to_tensor, to_uint8

NEEDS_CONDITIONS = True
CURVE = (1.5, 2.5, 4.0, 6.0)  # strengths of the curves
SHOWN = 8  # edits of each attribute in the picture
EXPLAINED = """added, removed: the share of edits after which the judge says what was asked, from photos labelled without and
with; identity: distance of face embeddings; nearest: the share of edits to which their own photo is the nearest of all photos
here; others: mean change of the judge's other logits; outside: mean change, of 255 shades, of the pixels by how little they
belong to the region; faces kept: of the photos in which the detector finds a face, the share in which it still does."""


class Edits(NamedTuple):
    """N edits of real photos: pixels before and after (N, H, W, 3) uint8, the attribute (N,) and its wanted sign (N,).

    region (N, H, W) in [0, 1], strength (N,).
    """

    before: np.ndarray
    after: np.ndarray
    attribute: Tensor
    sign: Tensor
    region: np.ndarray
    strength: np.ndarray


def requests(suite: Suite) -> list[Request]:
    """None: the photos are real."""
    return []


def photos(suite: Suite, each: int) -> tuple[np.ndarray, Tensor, Tensor]:
    """Rows of the test split (N,), the attributes (N,) to change there, and the signs wanted (N,).

    For each attribute that is easy to see, about half of `each` photos have it and lose it; fewer where so few have it.
    """
    rows, attributes, signs = [], [], []
    for name in suite.easily_seen:
        k = suite.labels.index(name)
        for wanted in (1, -1):
            others = np.flatnonzero(suite.test.conditions[:, k] == -wanted)
            count = min(max(1, each // 2), len(others))
            rows += others[np.arange(count) * len(others) // max(count, 1)].tolist()
            attributes += [k] * count
            signs += [wanted] * count
    return np.array(rows, dtype=int), torch.tensor(attributes), torch.tensor(signs)


def make_edits(suite: Suite, each: int, **options: Any) -> Edits:
    """Edit `each` photos of every attribute; those that were edited before, in the same way, are read."""
    rows, attributes, signs = photos(suite, each)
    before = np.asarray(suite.test.images[rows])
    after, region, strength = np.empty_like(before), np.empty(before.shape[:3], np.float32), np.empty(len(rows), np.float32)
    facts = [
        suite.cache.identity,
        code_fingerprint(SAMPLING),
        fingerprint(suite.classifier.network),
        options,
        suite.test.fingerprint,
    ]
    folder = suite.folder / "edits" / hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    label = " ".join(map(str, options.values())) or "edits"
    for start in tqdm(range(0, len(rows), 16), label, unit="16 edits", leave=False):
        part = slice(start, start + 16)
        path = folder / f"{hashlib.sha256(rows[part].tobytes() + attributes[part].numpy().tobytes()).hexdigest()[:16]}.npz"
        try:
            found = np.load(path)
            after[part], region[part], strength[part] = found["after"], found["region"], found["strength"]
        except (OSError, EOFError, ValueError, KeyError):
            wishes = [{suite.labels.names[k]: float(s)} for k, s in zip(attributes[part], signs[part], strict=True)]
            done = edit(suite.model, to_tensor(before[part]), wishes, classifier=suite.classifier, **options)
            after[part], region[part], strength[part] = to_uint8(done.image), done.region[:, 0].numpy(), done.strength.numpy()
            content = io.BytesIO()
            np.savez(content, after=after[part], region=region[part], strength=strength[part])
            files.write(path, content.getvalue())
    return Edits(before, after, attributes, signs, region, strength)


def find_judge(suite: Suite) -> Classifier | None:
    """The classifier that judges: --judge, or another shipped one that knows the model's labels, or None."""
    given = suite.settings.judge
    names = (
        [given]
        if given is not None
        else [n for n in shipped_classifiers() if Path(n).stem != Path(suite.classifier.source).stem]
    )
    for name in names:
        judge = load_classifier(name, suite.settings.device)
        if judge.config.image == suite.model.image_shape and set(suite.labels.names) <= set(judge.names):
            return judge.select(suite.labels.names)
        if given is not None:
            raise UserError(f"the judge {given} is for other images or names than {suite.model.source}")
    return None


def measure(suite: Suite) -> Part:
    """The defaults by attribute, the changes of all other attributes, and every method over the strength."""
    judge = find_judge(suite)
    if judge is None or suite.crop not in CROPS:
        return Part({"edits": 0}, {}, ("editing: needs faces of a CelebA crop, and a second classifier as --judge",))
    edits = make_edits(suite, suite.settings.edits)
    scored = score(suite, judge, edits)
    names = [suite.labels.names[k] for k in dict.fromkeys(edits.attribute.tolist())]
    rows = {name: summary(scored, edits, edits.attribute == suite.labels.index(name)) for name in names}
    means = {key: mean_of([row[key] for row in rows.values()]) for key in next(iter(rows.values()))}
    changed = matrix(judge, edits, names)
    curves = {method: curve(suite, judge, method) for method in METHODS} if suite.settings.edit_curves else {}
    numbers = {
        "edits": len(edits.before), "judge": Path(judge.source).name, "table": rows, "means": means,
        "reference": reference(suite, edits), "matrix": changed, "curves": curves,
    }  # fmt: skip
    pictures = {"edits.png": gallery(edits, names, suite), "edit-matrix.png": draw_matrix(changed)}
    if curves:
        pictures["edit-curves.png"] = draw_curves(curves, means)
    missing = () if identity.available() else ("identity: dlib and its weights are not installed (ddpm_faces[photo])",)
    return Part(numbers, pictures, missing)


def score(suite: Suite, judge: Classifier, edits: Edits) -> dict[str, Tensor]:
    """Every measure of every edit, (N,)."""
    k, each = edits.attribute, torch.arange(len(edits.before))
    before, after = (judge.extract(x).logits for x in (edits.before, edits.after))
    moved = (after - before).abs()
    shades = torch.from_numpy(np.abs(edits.after.astype(np.float32) - edits.before).mean(axis=3))
    beyond = 1 - torch.from_numpy(edits.region)
    found = {
        "success": (edits.sign * (after[each, k] - judge.config.thresholds[k]) > 0).double(),
        "others": (moved.sum(dim=1) - moved[each, k]) / max(moved.shape[1] - 1, 1),
        "outside": (shades * beyond).sum(dim=(1, 2)) / beyond.sum(dim=(1, 2)).clamp(min=1),
        "strength": torch.from_numpy(edits.strength).double(),
    }
    if identity.available() and suite.crop is not None:
        persons, first = np.unique(edits.before, axis=0, return_inverse=True)
        of_photos, of_edits = identity.embed(persons, suite.crop), identity.embed(edits.after, suite.crop)
        distances = torch.cdist(of_edits, of_photos)
        own = torch.from_numpy(first.reshape(-1))
        found["identity"] = distances[each, own].double()
        found["nearest"] = (distances.argmin(dim=1) == own).double()
    return found


def mean_of(values: list[float]) -> float:
    """The mean of what could be measured; NaN if nothing could."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def summary(scored: dict[str, Tensor], edits: Edits, chosen: Tensor) -> dict[str, float]:
    """Means over the chosen edits, adding and removing told apart."""

    def mean(key: str, rows: Tensor) -> float:
        return float(scored[key][rows].mean()) if key in scored and bool(rows.any()) else float("nan")

    added, removed = (mean("success", chosen & (edits.sign == sign)) for sign in (1, -1))
    row = {"added": added, "removed": removed, "success": mean_of([added, removed])}
    row |= {key: mean(key, chosen) for key in ("identity", "nearest", "others", "outside", "strength")}
    if detector.available():
        kept = edits.after[chosen.numpy()][detector.with_face(edits.before[chosen.numpy()])]
        row["faces kept"] = detector.share_with_face(kept) if len(kept) else float("nan")
    return row


def reference(suite: Suite, edits: Edits) -> dict[str, float]:
    """What the identity distance is between different persons here, and between a photo and its JPEG of quality 50."""
    if not identity.available() or suite.crop is None:
        return {}
    persons = np.unique(edits.before, axis=0)[:64]
    found, compressed = identity.embed(persons, suite.crop), []
    for pixels in persons:
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "JPEG", quality=50)
        compressed.append(np.asarray(Image.open(content)))
    apart = torch.cdist(found, found)
    same = (found - identity.embed(np.stack(compressed), suite.crop)).norm(dim=1)
    return {
        "another person": float(apart[~torch.eye(len(found), dtype=torch.bool)].mean()),
        "JPEG of quality 50": float(same.mean()),
    }


def matrix(judge: Classifier, edits: Edits, names: list[str]) -> dict[str, dict[str, float]]:
    """How far each attribute's edit (a row) moves the judge's logits of the others: means, in the direction of adding."""
    change = (judge.extract(edits.after).logits - judge.extract(edits.before).logits) * edits.sign[:, None]
    columns = [judge.names.index(name) for name in dict.fromkeys([*names, "Young", "Attractive"]) if name in judge.names]
    rows = {}
    for name in names:
        mean = change[edits.attribute == judge.names.index(name)].mean(dim=0)
        rows[name] = {judge.names[k]: float(mean[k]) for k in columns}
    return rows


def curve(suite: Suite, judge: Classifier, method: str) -> dict[str, dict[str, float]]:
    """A method's success and identity by strength, over a few photos of each attribute."""
    found = {}
    for strength in CURVE:
        edits = make_edits(suite, suite.settings.edit_curves, method=method, strength=strength)
        scored = score(suite, judge, edits)
        row = {key: float(value.mean()) for key, value in scored.items() if key != "strength"}
        found[f"{strength:g}"] = row
    return found


def gallery(edits: Edits, names: list[str], suite: Suite) -> Image.Image:
    """A row for each attribute: photos, each beside its edit, adding and removing in turn."""
    shown = []
    for name in names:
        rows = (edits.attribute == suite.labels.index(name)).nonzero().flatten().numpy()
        chosen = rows[np.arange(SHOWN) * len(rows) // SHOWN]
        shown += [x for row in chosen for x in (edits.before[row], edits.after[row])]
    title = "photos, each beside its edit (photographs of real people: not to be published)"
    return sheet(to_tensor(np.stack(shown)), 2 * SHOWN, left=names, title=title)


def draw_matrix(rows: dict[str, dict[str, float]]) -> Image.Image:
    """The matrix as colours."""
    columns = list(next(iter(rows.values())))
    values = np.array([[row[name] for name in columns] for row in rows.values()])
    figure = Figure(figsize=(1.5 + 0.5 * len(columns), 1.5 + 0.4 * len(rows)), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(values, cmap="RdBu_r", vmin=-6, vmax=6)
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right")
    axes.set_yticks(range(len(rows)), list(rows))
    for i, j in np.ndindex(*values.shape):
        axes.text(
            j, i, f"{values[i, j]:.1f}", ha="center", va="center", fontsize=7, color="w" if abs(values[i, j]) > 4 else "k"
        )
    axes.set(xlabel="change of the judge's logit", ylabel="what was added (or, with the sign turned, removed)")
    figure.colorbar(drawn)
    return render(figure)


def draw_curves(curves: dict[str, dict[str, dict[str, float]]], means: dict[str, float]) -> Image.Image:
    """Success against the distance of identity: further up and to the left is better."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    key = "identity" if any("identity" in row for rows in curves.values() for row in rows.values()) else "others"
    for method, rows in curves.items():
        axes.plot([row[key] for row in rows.values()], [row["success"] for row in rows.values()], "o-", label=method)
        for strength, row in rows.items():
            axes.annotate(strength, (row[key], row["success"]), fontsize=7, xytext=(3, 3), textcoords="offset points")
    axes.plot([means[key]], [means["success"]], "k*", markersize=14, label="difference, strength auto")
    axes.set(xlabel="distance of identity" if key == "identity" else "change of other logits", ylabel="success, by the judge")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    return render(figure)


def verdict(numbers: Numbers) -> str:
    """Whether edits show what was asked, and keep the person."""
    if not numbers["edits"]:
        return ""
    means = numbers["means"]
    return (
        f"Edits of real faces show what was asked in {percent(means['success'])}, with a distance of identity of "
        f"{cell(means['identity'])} beside {cell(numbers['reference'].get('another person'))} between different persons."
    )


def report(numbers: Numbers, about: Numbers) -> list[str]:
    """A row for each attribute, their means, and the curves."""
    if not numbers["edits"]:
        return [*heading("Editing", numbers), "Not measured."]
    lines = [
        *heading("Editing", numbers), *table(numbers["table"] | {"mean": numbers["means"]}), "",
        f"{numbers['edits']} edits, judged by {numbers['judge']}. {EXPLAINED}", "",
    ]  # fmt: skip
    lines += [f"Distance of identity, {label}: {cell(value)}." for label, value in numbers["reference"].items()]
    lines += ["", "![](edits.png)", "![](edit-matrix.png)"]
    if numbers["curves"]:
        rows = {f"{m} at {s}": row for m, rows in numbers["curves"].items() for s, row in rows.items()}
        lines += ["", *table(rows), "", "![](edit-curves.png)"]
    return lines
