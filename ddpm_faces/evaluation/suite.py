"""The parts of an evaluation. Each draws what it needs, measures it, and returns plain numbers and its pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ddpm_faces import images
from ddpm_faces.data.store import Store, spread
from ddpm_faces.evaluation import detector, plots
from ddpm_faces.evaluation.control import obedience, single_attributes
from ddpm_faces.evaluation.denoising import denoising_errors, harder, levels
from ddpm_faces.evaluation.extractors import Extractor
from ddpm_faces.evaluation.memorisation import PART, Distances, Nearest, nearest, pixel_parts, pixels
from ddpm_faces.evaluation.metrics import compare
from ddpm_faces.evaluation.reference import blurred, extract_from_store, noise
from ddpm_faces.evaluation.report import FACES, STRANGERS
from ddpm_faces.evaluation.samples import SampleCache
from ddpm_faces.evaluation.strips import score_strips, strangers
from ddpm_faces.images import to_tensor
from ddpm_faces.judge import Judge, scores

# The attributes that are easiest to see in a small picture, in the data's own names.
EASY = (
    *("Eyeglasses", "Smiling", "Male", "Blond_Hair", "Black_Hair", "Bangs", "Bald", "Wearing_Hat", "Wearing_Lipstick"),
    *("Mouth_Slightly_Open", "Goatee", "Gray_Hair"),
)
MODEL, FLOOR, BLURRED = "the model", "real training pictures (the floor)", "the same, blurred"
NOISE = "noise (the ceiling)"
PAIRS, LOOKED_AT = 64, 5_000  # samples shown beside their nearest training pictures; at most so many are compared with them
DENOISED = 500  # training pictures, and as many held-out ones, whose noise is predicted
NEAR = 0.05  # of the way from the lowest KID to the blurred pictures': what is as good as the lowest
WELL = 0.01  # of balanced accuracy: what is obeyed as well; more guidance costs diversity
SCALES, STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0), (4, 6, 8, 15, 25)


class Part(NamedTuple):
    """What a part found: numbers for report.json, and pictures by file name."""

    numbers: dict[str, Any]
    pictures: dict[str, Image.Image]


@dataclass
class Suite:
    """What all parts share. reference: pictures of the test split, at most. each: pictures an attribute asked alone, each way.

    persons, columns: of a strip.
    """

    cache: SampleCache
    judge: Judge
    extractor: Extractor
    train: Store
    test: Store
    n: int
    seed: int = 0
    reference: int = 10_000
    each: int = 16
    persons: int = 4
    columns: int = 7

    @property
    def kind(self) -> str:
        return self.cache.model.config.kind

    @property
    def names(self) -> tuple[str, ...]:
        return self.cache.model.names

    @property
    def shows_faces(self) -> bool:
        """Digits are grey."""
        return self.test.image_shape[0] == 3

    def conditions(self, n: int) -> Tensor:
        """Those of the test split, in its own order: each for about as many pictures as any other."""
        rows = np.arange(n) * len(self.test) // n
        vectors = torch.from_numpy(self.test.conditions[rows]).float()
        return vectors if self.names else vectors[:, :0]

    def samples(self, n: int | None = None, what: str = "samples", **changes) -> np.ndarray:
        """Pictures with the test split's conditions, each from noise of its own."""
        n = n or self.n
        return self.cache.draw(self.conditions(n), list(range(self.seed, self.seed + n)), what, **changes)

    def real(self, n: int, store: Store | None = None) -> np.ndarray:
        """Pictures spread over the test split, or over another store."""
        store = store or self.test
        return store.images[spread(len(store), n)]

    def faces_found(self, pictures: np.ndarray) -> dict[str, float]:
        """{FACES: the share of them}, or nothing where pictures are of digits or the detector is not installed."""
        return {FACES: detector.share_with_face(pictures)} if self.shows_faces and detector.available() else {}

    def quality(self) -> Part:
        """The model and rulers from the same run: real pictures, the same out of focus, and noise; of each as many."""
        count = min(self.n, len(self.train))
        generated = self.samples()
        generated = generated[spread(len(generated), count)]
        trained_on = self.real(count, self.train)
        pictures = {MODEL: generated, FLOOR: trained_on, BLURRED: blurred(trained_on), NOISE: noise(trained_on)}
        real = extract_from_store(self.extractor, self.test, self.reference, "the test split")
        rows = {
            MODEL: self.extractor.extract(generated, "the model's pictures"),
            FLOOR: extract_from_store(self.extractor, self.train, count, "training pictures"),
            BLURRED: self.extractor.extract(pictures[BLURRED], "blurred pictures"),
            NOISE: self.extractor.extract(pictures[NOISE], "noise"),
        }
        multiclass = self.extractor.name != "attributes"
        table = {label: {"pictures": len(o.features)} | compare(o, real, multiclass) for label, o in rows.items()}
        for label, row in table.items():
            row |= self.faces_found(pictures[label])
        tint = (generated.mean(axis=(0, 1, 2)) - self.test.images.mean(axis=(0, 1, 2))) / 127.5
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

    def control(self) -> Part:
        """How often the judge sees what was asked: whole vectors of the test split, and single attributes alone."""
        asked = self.conditions(self.n)
        exclusive, thresholds = self.kind == "digits", self.judge.config.thresholds
        real = self.judge.extract(self.test.images, progress="the judge on real pictures").logits
        own = scores(real, torch.from_numpy(np.array(self.test.conditions)), exclusive, thresholds)
        whole = obedience(self.judge.extract(self.samples(), progress="the judge").logits, asked, exclusive, thresholds)
        table = {
            name: {
                "judge on real": own["balanced"][k],
                "accuracy on real": own["accuracy"][k],
                "with a whole vector": whole.balanced[k],
                "accuracy with a whole vector": whole.accuracy[k],
                "asked yes": whole.yes[k],
                "asked no": whole.no[k],
            }
            for k, name in enumerate(self.names)
        }
        if not exclusive:
            vectors, seeds = single_attributes(self.names, self.names, self.each)
            alone = self.cache.draw(vectors, [self.seed + s for s in seeds], "attributes asked alone")
            found = obedience(self.judge.extract(alone, progress="the judge").logits, vectors, exclusive, thresholds)
            for k, row in enumerate(table.values()):
                row |= {"alone": found.balanced[k], "accuracy alone": found.accuracy[k], "asked alone": 2 * self.each}
        numbers: dict[str, Any] = {"table": table, "means": means(table, self.names)}
        if exclusive:
            numbers["recognised"] = sum(a * n for a, n in zip(whole.accuracy, whole.yes, strict=True) if n) / len(asked)
            said = real.argmax(dim=1).numpy()
            numbers["recognised of real ones"] = float((said == self.test.conditions.argmax(axis=1)).mean())
        else:
            easy = [name for name in EASY if name in table]
            numbers["means of the easiest to see"] = means(table, easy)
            numbers["the easiest to see"] = easy
        return Part(numbers, {"control.png": plots.bars(table, "balanced accuracy (for digits: of each against the rest)")})

    def strips(self) -> Part:
        """Strips as `interpolate` draws them: of each attribute that is easy to see, or from digit to digit."""
        from ddpm_faces.interpolate import InterpolateConfig, lay_out_digits, lay_out_faces

        table, curves, shown = {}, {}, []
        digits = self.kind == "digits"
        asked = [(d, (d + 3) % 10) for d in range(10)] if digits else [n for n in EASY if n in self.names]
        for item in asked:
            settings: dict[str, Any] = {"n": self.persons, "columns": self.columns, "seed": self.seed}
            if isinstance(item, tuple):
                layout = lay_out_digits(InterpolateConfig(from_digit=item[0], to_digit=item[1], **settings))
                label, index = f"{item[0]} to {item[1]}", item[1]
            else:
                layout = lay_out_faces(InterpolateConfig(attr=(item,), **settings), self.names, self.cache.model.scales)
                label, index = item, self.names.index(item)
            pictures = self.cache.draw(layout.conditions, layout.seeds, f"strips: {label}")
            x = to_tensor(pictures).unflatten(0, (self.persons, -1))
            score, logits = score_strips(self.judge, x, layout.conditions.unflatten(0, (self.persons, -1)), index)
            table[label] = score._asdict()
            curves[label] = logits.mean(dim=0).tolist()
            shown.append(x[0])
        mean = {key: float(np.mean([row[key] for row in table.values()])) for key in next(iter(table.values()))}
        overview = sheet(torch.cat(shown), self.columns, left=list(table), title="the first person of each strip")
        numbers = {"table": table, "means": mean, STRANGERS: strangers(self.judge, to_tensor(self.real(64)))}
        return Part(numbers, {"strips.png": overview, "curves.png": plots.curves(curves)})

    def memorisation(self) -> Part:
        """The nearest training pictures (and, of faces, mirror images) of the samples and of the test split."""
        generated, mirror = self.samples(), self.shows_faces  # digits have no mirror images
        generated = generated[spread(len(generated), LOOKED_AT)]
        held_out = self.real(len(generated))
        features = [*self.judge.extract(self.train.images, progress="the judge on training pictures").features.split(PART)]
        if mirror:
            images = self.train.images[:, :, ::-1]
            features += self.judge.extract(images, progress="and on their mirror images").features.split(PART)
        sets = (generated, "samples"), (held_out, "held-out pictures")
        count = (1 + mirror) * -(-len(self.train) // PART)

        def near(queries: Tensor, parts: Iterable[Tensor], what: str) -> Nearest:  # which takes minutes among all of CelebA
            return nearest(queries, tqdm(parts, f"nearest to {what}", count, leave=False, unit=f"{PART} img"))

        found = {
            "features": Distances(*(near(self.judge.extract(p).features, features, what) for p, what in sets)),
            "pixels": Distances(*(near(pixels(p), pixel_parts(self.train.images, mirror), what) for p, what in sets)),
        }
        count = min(PAIRS, len(generated))
        rows = [to_tensor(generated[:count])]
        for distances in found.values():
            index = distances.generated.which[:count]
            x = to_tensor(self.train.images[(index % len(self.train)).numpy()])
            rows.append(torch.where((index >= len(self.train))[:, None, None, None], x.flip(3), x))
        columns = 16
        blocks = torch.stack(rows, dim=1).split(columns)  # of 16 samples, each above its nearest
        order = [block.transpose(0, 1).flatten(0, 1) for block in blocks if len(block) == columns]
        title = "samples; below each its nearest training picture in features, then in pixels"
        overview = sheet(torch.cat(order), columns, left=["sample", "features", "pixels"] * len(order), title=title)
        spaces = {space: distances.summary() for space, distances in found.items()}
        numbers = {"spaces": spaces, "samples": len(generated), "denoising": self.denoising()}
        return Part(numbers, {"nearest.png": overview, "distances.png": plots.distances(found)})

    def denoising(self) -> dict[str, float]:
        """The error of the predicted noise on training pictures and on as many of the test split."""
        model, count = self.cache.model, min(DENOISED, len(self.train), len(self.test))
        at, known = levels(model.schedule.steps), len(self.names)  # an unconditional model is shown none

        def errors(store: Store, what: str) -> Tensor:
            return denoising_errors(
                model.network, store, spread(len(store), count), model.schedule, at, model.device, self.cache.precision,
                show=lambda c: c[:, :known], progress=f"predicting the noise of {what}",
            )  # fmt: skip

        trained_on, held_out = errors(self.train, "training pictures"), errors(self.test, "held-out ones")
        return {
            "pictures": count,
            "error on training pictures": float(trained_on.mean()),
            "error on held-out ones": float(held_out.mean()),
            **harder(trained_on, held_out)._asdict(),
        }

    def sweep(self, n: int, scales: Sequence[float] = SCALES, steps: Sequence[int] = STEPS) -> Part:
        """Quality and obedience against guidance at the default steps, and against steps at the default guidance.

        "obedience" is that to whole vectors, or to digits; "alone" that to single attributes that are easy to see.
        """
        real = extract_from_store(self.extractor, self.test, self.reference, "the test split")
        soft = self.extractor.extract(blurred(self.real(n, self.train)), "blurred pictures")
        own, exclusive, thresholds = self.cache.options, self.kind == "digits", self.judge.config.thresholds
        easy = [name for name in EASY if name in self.names]
        vectors, seeds = single_attributes(self.names, easy, max(1, n // 48))

        def point(**changes) -> dict[str, float]:
            label = ", ".join(f"{key} {value:g}" for key, value in changes.items())
            pictures = self.samples(n, f"sweep: {label}", **changes)
            found = compare(self.extractor.extract(pictures, f"features: {label}"), real, exclusive=False)
            found |= self.faces_found(pictures)
            if self.names:
                obeyed = obedience(self.judge.extract(pictures).logits, self.conditions(n), exclusive, thresholds)
                found["obedience"] = float(np.nanmean(obeyed.balanced))
            if easy:
                alone = self.cache.draw(vectors, [self.seed + s for s in seeds], f"asked alone: {label}", **changes)
                obeyed = obedience(self.judge.extract(alone).logits, vectors, exclusive, thresholds)
                found["alone"] = float(np.nanmean(obeyed.balanced))
            return {**own, **changes, **found}

        guidance = [point(guidance=scale) for scale in sorted({*scales, own["guidance"]})] if self.names else []
        possible = [count for count in steps if count <= self.cache.model.schedule.steps]
        by_steps = [point(steps=count) for count in sorted({*possible, own["steps"]})]
        numbers: dict[str, Any] = {"pictures a point": n, "by guidance": guidance, "by steps": by_steps}
        numbers["KID of blurred pictures"] = compare(soft, real, exclusive=False)["KID"]
        if guidance:
            numbers["guidance chosen"] = choose(guidance, numbers["KID of blurred pictures"])
        return Part(numbers, {"sweep.png": plots.sweep(guidance, by_steps)})


def sheet(pictures: Tensor, columns: int, **labels: Any) -> Image.Image:
    """Many small pictures, at least 64 pixels high."""
    return images.grid(pictures, columns, zoom=max(1, 64 // pictures.shape[2]), **labels)


def means(table: dict[str, dict[str, float]], names: Sequence[str]) -> dict[str, float]:
    """The mean of each balanced accuracy over these names, leaving out those that could not be measured."""
    keys = [key for key in ("judge on real", "with a whole vector", "alone") if key in next(iter(table.values()))]
    return {key: float(np.nanmean([table[name][key] for name in names])) for key in keys}


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
