"""An evaluation as something to read: report.md from the numbers of report.json."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

FACES, STRANGERS = "faces found", "two different real ones"
STRIPS = """monotone: rank correlation of the column and the asked logit; rise: that logit's change; others: mean absolute
change of the other logits; person: cosine of the two ends' features; step: mean perceptual distance of neighbours; jump: the
largest step of a strip in its mean one."""

COPIES = "A copy: the nearest is at most a third as far as the second nearest (Yoon et al. 2023)."
CHOICE = """of those whose KID is at most a twentieth of the way from the lowest to that of blurred pictures, the lowest that is
obeyed as well as any of them, or less by 0.01."""
THRESHOLD = """Balanced accuracy, as the classifier sees it; 0.5 is chance. A yes begins where yes and no are equally likely
among pictures of which half have the attribute: at the log odds of its frequency in training. Accuracies are taken at 0."""
PRECISION = "Precision tells little in these features, in which even noise has some: read FID, KID and recall."
VECTORS = "A conditional model was asked for the very attributes of the test pictures, which training pictures do not have."


def cell(value: Any) -> str:
    """A number in four digits, a dash for what could not be measured."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(rows: dict[str, dict[str, Any]], keys: Iterable[str] | None = None) -> list[str]:
    """Markdown lines: a row for each label, a column for each key (by default those of the first row)."""
    keys = list(keys or next(iter(rows.values())))
    lines = ["| | " + " | ".join(keys) + " |", "|---" * (len(keys) + 1) + "|"]
    return lines + [f"| {label} | " + " | ".join(cell(row.get(key, "")) for key in keys) + " |" for label, row in rows.items()]


def sentence(facts: dict[str, Any]) -> str:
    """ "a 1, b 2" of numbers by name."""
    return ", ".join(f"{key} {cell(value)}" for key, value in facts.items())


def protocol(about: dict[str, Any]) -> str:
    """One line that must stand beside every figure."""
    alone = about["guidance alone"]
    other = f" ({alone:g} where one attribute alone is asked)" if alone != about["guidance"] else ""
    return (
        f"{about['pictures']} pictures by {about['model']}, {about['sampler']} {about['steps']} steps, guidance "
        f"{about['guidance']:g}{other}, seed {about['seed']}; extractor {about['extractor']}; crop {about['crop']}; reference "
        f"{about['reference']}"
    )


def heading(title: str, part: dict[str, Any]) -> list[str]:
    """A part's title, and how and when it was measured."""
    return [f"## {title}", "", f"`{' '.join(part['command'])}`, {part['date']}", ""]


def markdown(report: dict[str, Any]) -> str:
    """The whole report."""
    about = report["about"]
    lines = [f"# {about['model']}, measured", "", protocol(about) + ".", "", f"`{about['extractor']}` is {about['note']}.", ""]
    lines += [f"Classifier: {about['classifier']}.", ""]
    if quality := report.get("quality"):
        lines += [
            *heading("Quality", quality), *table(quality["rows"]), "",
            f"Against {quality['reference pictures']} real pictures of the test split, through the same crop. FID is biased "
            f"upwards where pictures are few beside its {quality['features']} features: compare it at equal counts only.",
        ]  # fmt: skip
        if about["extractor"] != "inception":
            lines += ["The classifier was fitted to training pictures, which makes the floor a little higher than it would be."]
            lines += [PRECISION]
        lines += [VECTORS]
        if any(FACES in row for row in quality["rows"].values()):
            lines += ["Faces found: the share of pictures in which dlib's frontal detector finds a face."]
        lines += [
            f"The model is {quality['share of the way']:.0%} of the way from the floor to blurred pictures, by FID. Mean "
            f"colour minus the test split's: {quality['tint']}.", "", "![](samples.png)", "",
        ]  # fmt: skip
    if control := report.get("control"):
        lines += [*heading("Control", control), THRESHOLD, ""]
        lines += [f"All: {sentence(control['means'])}."]
        if "recognised" in control:
            facts = {key: control[key] for key in ("recognised", "recognised of real ones")}
            lines += [f"Digits: {sentence(facts)}."]
        if easy := control.get("means of the easiest to see"):
            lines += [f"The easiest to see: {sentence(easy)}."]
        if "asked alone" in (first := next(iter(control["table"].values()))):
            error = (0.25 / first["asked alone"]) ** 0.5
            lines += [f"Asked alone, one figure is known to {error:.2f} at worst (standard error); --each makes it more exact."]
        lines += ["", *table(control["table"]), "", "![](control.png)", ""]
    if strips := report.get("strips"):
        rows = strips["table"] | {"mean": strips["means"], STRANGERS: strips[STRANGERS]}
        lines += [*heading("Interpolation", strips), *table(rows), ""]
        lines += [STRIPS, "", "![](strips.png)", "![](curves.png)", ""]
    if memory := report.get("memorisation"):
        lines += [*heading("Memorisation", memory), *table(memory["spaces"]), ""]
        lines += [
            f"Distances of {memory['samples']} samples and of the test split to the nearest training picture. {COPIES}",
            "",
        ]
        noise = memory["denoising"]
        trained_on, held_out = (cell(noise[f"error on {which}"]) for which in ("training pictures", "held-out ones"))
        lines += [
            f"The noise in {noise['pictures']} training pictures is predicted with a mean squared error of {trained_on}, in as "
            f"many held-out ones with {held_out}. With each step counting alike these are harder by {noise['harder']:.1%}, "
            f"with a standard error of {noise['standard_error']:.1%}: more than two of them is overfitting.",
            "",
        ]
        lines += ["![](distances.png)", "![](nearest.png)", ""]
    if sweep := report.get("sweep"):
        for key in ("by guidance", "by steps"):
            if sweep[key]:
                name = key.removeprefix("by ")
                rows = {cell(point[name]): point for point in sweep[key]}
                shown = [k for k in sweep[key][0] if k not in ("sampler", name)]
                lines += [*heading(f"Sweep {key}", sweep), *table(rows, shown), ""]
        kid = cell(sweep["KID of blurred pictures"])
        lines += [f"{sweep['pictures a point']} pictures a point. KID of as many blurred pictures: {kid}."]
        if "guidance chosen" in sweep:
            lines += [f"Chosen: guidance {sweep['guidance chosen']:g}, {CHOICE}"]
        lines += ["![](sweep.png)", ""]
    for what in report["left out"]:
        lines.append(f"Left out: {what}.")
    return "\n".join(lines).rstrip() + "\n"
