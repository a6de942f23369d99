"""The parts of an evaluation. Each draws what it needs, measures it, and returns plain numbers and its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ddpm_faces import images
from ddpm_faces.data.store import Store
from ddpm_faces.evaluation import plots
from ddpm_faces.evaluation.control import obedience, single_attributes
from ddpm_faces.evaluation.extractors import Extractor
from ddpm_faces.evaluation.memorisation import Memory, nearest, pixel_parts, pixels
from ddpm_faces.evaluation.metrics import compare
from ddpm_faces.evaluation.reference import blurred, look_at_store, noise, spread
from ddpm_faces.evaluation.samples import Studio, to_tensor
from ddpm_faces.evaluation.strips import score_strips
from ddpm_faces.judge import Judge, scores

# The attributes that are easiest to see in a small picture, in the data's own names.
EASY = (
    *("Eyeglasses", "Smiling", "Male", "Blond_Hair", "Black_Hair", "Bangs", "Bald", "Wearing_Hat", "Wearing_Lipstick"),
    *("Mouth_Slightly_Open", "Goatee", "Gray_Hair"),
)
PAIRS = 64  # samples shown beside their nearest training pictures
SCALES, STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0), (5, 10, 15, 25)
SLACK = 1.1  # the guidance chosen may cost so much of the lowest distance


class Part(NamedTuple):
    """What a part found: numbers for report.json, and pictures by file name."""

    numbers: dict[str, Any]
    pictures: dict[str, Image.Image]


@dataclass
class Suite:
    """What all parts share. reference: pictures of the test split, at most. each: pictures an attribute asked alone, each way.

    persons, columns: of a strip.
    """

    studio: Studio
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
        return self.studio.model.config.kind

    @property
    def names(self) -> tuple[str, ...]:
        return self.studio.model.names

    def conditions(self, n: int) -> Tensor:
        """Those of the test split, in its own order: each for about as many pictures as any other."""
        rows = np.arange(n) * len(self.test) // n
        vectors = torch.from_numpy(self.test.conditions[rows]).float()
        return vectors if self.names else vectors[:, :0]

    def samples(self, n: int | None = None, what: str = "samples", **changes) -> np.ndarray:
        """Pictures with the test split's conditions, each from noise of its own."""
        n = n or self.n
        return self.studio.draw(self.conditions(n), list(range(self.seed, self.seed + n)), what, **changes)

    def quality(self) -> Part:
        """The model, and three rulers from the same run: real pictures, the same out of focus, and noise."""
        generated = self.samples()
        real = look_at_store(self.extractor, self.test, self.reference, "the test split")
        exclusive = self.extractor.name != "attributes"
        trained_on = self.train.images[spread(len(self.train), self.n)]
        rows = {
            "the model": self.extractor.look(generated, "the model's pictures"),
            "real training pictures (the floor)": look_at_store(self.extractor, self.train, self.n, "training pictures"),
            "the same, blurred": self.extractor.look(blurred(trained_on), "blurred pictures"),
            "noise (the ceiling)": self.extractor.look(noise(trained_on), "noise"),
        }
        table = {label: {"pictures": len(o.features)} | compare(o, real, exclusive) for label, o in rows.items()}
        tint = (generated.mean(axis=(0, 1, 2)) - self.test.images.mean(axis=(0, 1, 2))) / 127.5
        fid = [row["FID"] for row in table.values()]
        numbers = {
            "rows": table,
            "reference pictures": len(real.features),
            "share of the way from the floor to blurred pictures": (fid[0] - fid[1]) / (fid[2] - fid[1]),
            "colour: mean minus the test split's": [round(v, 4) for v in tint.tolist()],
        }
        overview = sheet(to_tensor(generated[spread(len(generated), 64)]), 8, title="64 of the pictures measured")
        return Part(numbers, {"samples.png": overview})

    def control(self) -> Part:
        """How often the judge sees what was asked: whole vectors of the test split, and single attributes alone."""
        asked = self.conditions(self.n)
        exclusive = self.kind == "digits"
        real = self.judge.look(self.test.images, progress="the judge on real pictures").logits
        own = scores(real, torch.from_numpy(np.array(self.test.conditions)), exclusive)
        whole = obedience(self.judge.look(self.samples(), progress="the judge").logits, asked, exclusive)
        table = {
            name: {
                "judge on real": own["balanced"][k],
                "with a whole vector": whole.balanced[k],
                "accuracy with a whole vector": whole.accuracy[k],
                "asked yes": whole.yes[k],
                "asked no": whole.no[k],
            }
            for k, name in enumerate(self.names)
        }
        if not exclusive:
            vectors, seeds = single_attributes(self.names, self.names, self.each)
            alone = self.studio.draw(vectors, [self.seed + s for s in seeds], "attributes asked alone")
            found = obedience(self.judge.look(alone, progress="the judge").logits, vectors, exclusive)
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
                layout = lay_out_faces(InterpolateConfig(attr=(item,), **settings), self.names)
                label, index = item, self.names.index(item)
            pictures = self.studio.draw(layout.conditions, layout.seeds, f"strips: {label}")
            score, logits = score_strips(self.judge, pictures, index, self.persons)
            table[label] = score._asdict()
            curves[label] = logits.mean(dim=0).tolist()
            shown.append(to_tensor(pictures[: self.columns]))
        mean = {key: float(np.mean([row[key] for row in table.values()])) for key in next(iter(table.values()))}
        overview = sheet(torch.cat(shown), self.columns, left=list(table), title="the first person of each strip")
        return Part({"table": table, "means": mean}, {"strips.png": overview, "curves.png": plots.curves(curves)})

    def memorisation(self) -> Part:
        """The nearest training pictures (and, of faces, mirror images) of the samples and of the test split."""
        generated, mirror = self.samples(), self.test.info["shape"][-1] == 3  # digits, which are grey, have no mirror images
        held_out = self.test.images[spread(len(self.test), self.n)]
        own = self.judge.look(self.train.images, progress="the judge on training pictures").features
        parts = [own]
        if mirror:
            parts.append(self.judge.look(self.train.images[:, :, ::-1], progress="and on their mirror images").features)
        spaces = {
            "features": Memory(*(nearest(self.judge.look(p).features, parts) for p in (generated, held_out))),
            "pixels": Memory(*(nearest(pixels(p), pixel_parts(self.train.images, mirror)) for p in (generated, held_out))),
        }
        count = min(PAIRS, len(generated))
        rows = [to_tensor(generated[:count])]
        for memory in spaces.values():
            index = memory.generated.which[:count]
            found = to_tensor(self.train.images[(index % len(self.train)).numpy()])
            rows.append(torch.where((index >= len(self.train))[:, None, None, None], found.flip(3), found))
        columns = 16
        blocks = torch.stack(rows, dim=1).split(columns)  # of 16 samples, each above its nearest
        order = [block.transpose(0, 1).flatten(0, 1) for block in blocks if len(block) == columns]
        title = "samples; below each its nearest training picture in features, then in pixels"
        overview = sheet(torch.cat(order), columns, left=["sample", "features", "pixels"] * len(order), title=title)
        numbers = {space: memory.summary() for space, memory in spaces.items()}
        return Part(
            {"spaces": numbers, "samples": len(generated)}, {"nearest.png": overview, "distances.png": plots.distances(spaces)}
        )

    def sweep(self, n: int, scales: Sequence[float] = SCALES, steps: Sequence[int] = STEPS) -> Part:
        """Quality and obedience against guidance at the default steps, and against steps at the default guidance."""
        real = look_at_store(self.extractor, self.test, self.reference, "the test split")
        own = self.studio.options

        def point(**changes) -> dict[str, float]:
            label = ", ".join(f"{key} {value:g}" for key, value in changes.items())
            pictures = self.samples(n, f"sweep: {label}", **changes)
            found = compare(self.extractor.look(pictures), real, exclusive=False)
            if self.names:
                obeyed = obedience(self.judge.look(pictures).logits, self.conditions(n), self.kind == "digits")
                found["obedience"] = float(np.nanmean(obeyed.balanced))
            return {**own, **changes, **found}

        guidance = [point(guidance=scale) for scale in sorted({*scales, own["guidance"]})] if self.names else []
        by_steps = [point(steps=count) for count in sorted({*steps, own["steps"]})]
        numbers: dict[str, Any] = {"pictures a point": n, "by guidance": guidance, "by steps": by_steps}
        if guidance:
            numbers["guidance chosen"] = choose(guidance)
        return Part(numbers, {"sweep.png": plots.sweep(guidance, by_steps)})


def sheet(pictures: Tensor, columns: int, **labels: Any) -> Image.Image:
    """Many small pictures, at least 64 pixels high."""
    return images.grid(pictures, columns, zoom=max(1, 64 // pictures.shape[2]), **labels)


def means(table: dict[str, dict[str, float]], names: Sequence[str]) -> dict[str, float]:
    """The mean of each balanced accuracy over these names, leaving out those that could not be measured."""
    keys = [key for key in ("judge on real", "with a whole vector", "alone") if key in next(iter(table.values()))]
    return {key: float(np.nanmean([table[name][key] for name in names])) for key in keys}


def choose(points: list[dict[str, float]]) -> float:
    """The guidance obeyed best among those whose distance is at most SLACK times the lowest."""
    least = min(point["FID"] for point in points)
    return max((p for p in points if p["FID"] <= SLACK * least), key=lambda p: p["obedience"])["guidance"]
