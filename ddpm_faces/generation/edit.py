"""Edit aligned photos: from a wish to the photo's path, the difference of two conditions along it, and the change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ddpm_faces.diffusion.editing import difference, difference_ddpm
from ddpm_faces.diffusion.inversion import CHAINS, Path, Rung, invert_ddim, noised_path, sample_ddim
from ddpm_faces.generation.conditions import check_wish
from ddpm_faces.generation.invert import find_rungs
from ddpm_faces.generation.regions import region
from ddpm_faces.models.classifier_checkpoint import Classifier, find_classifier
from ddpm_faces.models.model import DiffusionModel
from ddpm_faces.utils.devices import autocast, find_precision, full_precision
from ddpm_faces.utils.errors import UserError, hint

Wish = str | Mapping[str, float]
Keep = Literal["region", "all", "none"]
Strength = float | Sequence[float] | Literal["auto"]
METHODS = ("difference", "noised", "ddpm", "ddim", *CHAINS)
STEPS, DEPTH = 10, 0.95  # of the inversion; experiments/README.md tells how they were chosen
STRENGTHS = (2.5, 4.0, 6.0, 9.0)  # that "auto" tries, in turn
MARGIN = 1.0  # of the classifier's logit, above which "auto" is content


class Edited(NamedTuple):
    """What `edit` gives, on the CPU, for N photos.

    image (N, C, H, W) in [-1, 1]; change, what was added to the photo, already within the region; region (N, 1, H, W) in
    [0, 1]; estimated (N, K), the attributes of the photo in [-1, 1], 1 for surely present; strength (N,), the guidance that was
    used, 0 where the photo was left alone; met (N,), whether the classifier sees every wish fulfilled.
    """

    image: Tensor
    change: Tensor
    region: Tensor
    estimated: Tensor
    strength: Tensor
    met: Tensor


def edit(
    model: DiffusionModel,
    photos: Tensor,
    wish: Wish | Sequence[Wish],
    *,
    attributes: Wish = "",
    strength: Strength = "auto",
    steps: int = STEPS,
    depth: float = DEPTH,
    keep: Keep = "region",
    method: str = "difference",
    classifier: Classifier | None = None,
    seed: int = 0,
    batch_size: int = 32,
    precision: str = "auto",
    progress: bool = False,
) -> Edited:
    """Change attributes of aligned photos (N, C, H, W) in [-1, 1], of the model's size, and leave the rest to the photo.

    wish: "Eyeglasses,-Smiling", a mapping of names to values in [-1, 1], or one of these for each photo. attributes: what is
    known of the photos, which corrects the classifier's estimate. strength: the guidance from the photo's attributes to the
    wish, one for each photo if there are several, or "auto": the smallest of STRENGTHS at which the classifier sees the wish
    (or comes nearest to it), and no edit where it does already. steps, depth: of the inversion, see
    `ladder`. keep: "region" changes the attribute's own place only (regions.py), "all" the whole image, "none" gives the
    sampled image without the photo's pixels, for comparison. method: "difference" (editing.py); "noised" and "ddpm", the
    same along noised copies (FlowEdit, edit-friendly DDPM); "ddim", "o-belm", "bdia" or "edict", inversion and sampling under
    the wish. classifier: by default the shipped one that fits the model. Raises UserError on anything impossible.
    """
    model.require("attributes")
    if photos.ndim != 4 or tuple(photos.shape[1:]) != model.image_shape:
        raise UserError(f"photos are {('N', *model.image_shape)} for this model, not {tuple(photos.shape)}: align them first")
    if method not in METHODS:
        raise UserError(f"no method '{method}': choose {', '.join(METHODS)}{hint(method, METHODS)}")
    wishes = _read_wishes(model, wish, len(photos))
    strengths = _read_strengths(strength, len(photos))
    rungs = find_rungs(model, steps, depth)
    classifier = classifier or find_classifier(model, device=model.device)
    if classifier.names != model.names:
        if not set(model.names) <= set(classifier.names):
            raise UserError(f"the classifier {classifier.source} knows other names than {model.source}")
        classifier = classifier.select(model.names)
    estimated = estimate(classifier, photos, model.labels.parse(attributes) if isinstance(attributes, str) else attributes)

    parts = []
    with full_precision(model.device) if precision == "no" else autocast(model.device, find_precision(precision, model.device)):
        for start in tqdm(range(0, len(photos), batch_size), "editing", leave=False, disable=not progress):
            rows = slice(start, start + batch_size)
            plan = _Plan(model, classifier, rungs, method, keep, seed, only_open=strength == "auto")
            parts.append(plan.edit(photos[rows], wishes[rows], estimated[rows], [scale[rows] for scale in strengths]))
    return Edited(*(torch.cat(part) for part in zip(*parts, strict=True)))


def estimate(classifier: Classifier, photos: Tensor, known: Mapping[str, float] | None = None) -> Tensor:
    """Attributes (N, K) of photos as the classifier sees them: 2 p - 1 in [-1, 1], with what is known put in its place."""
    found = torch.tanh(classifier.extract(photos).logits / 2)
    for name, value in (known or {}).items():
        found[:, classifier.labels.index(classifier.labels.find(name))] = value
    return found


def _read_wishes(model: DiffusionModel, wish: Wish | Sequence[Wish], n: int) -> list[dict[str, float]]:
    """A mapping of exact names to values for each of n photos. UserError where nothing can be made of it."""
    given = [wish] if isinstance(wish, str | Mapping) else list(wish)
    if len(given) not in (1, n):
        raise UserError(f"{len(given)} wishes for {n} photos: give one, or one for each")
    read = [check_wish(model, one) for one in given]
    return read * n if len(read) == 1 else read


def _read_strengths(strength: Strength, n: int) -> list[Tensor]:
    """The strengths (n,) to try in turn. UserError on what is none."""
    if isinstance(strength, str):
        if strength != "auto":
            raise UserError(f"the strength is auto or a number, not '{strength}'")
        return [torch.full((n,), scale) for scale in STRENGTHS]
    try:
        scales = torch.as_tensor(strength, dtype=torch.float32).cpu()
    except (TypeError, ValueError):
        raise UserError(f"the strength is auto or a number, not {strength!r:.80}") from None
    if scales.shape not in ((), (n,)) or not bool((scales.abs() <= 100).all()):
        raise UserError(f"the strength is one number up to 100, or one for each of {n} photos, not {strength!r:.80}")
    return [scales.expand(n)]


@dataclass(frozen=True)
class _Plan:
    """One batch of edits: the model and how it is inverted."""

    model: DiffusionModel
    classifier: Classifier
    rungs: list[Rung]
    method: str
    keep: Keep
    seed: int
    only_open: bool

    def edit(self, photos: Tensor, wishes: list[dict[str, float]], estimated: Tensor, strengths: list[Tensor]) -> Edited:
        """The batch's result. strengths: (N,) each, tried in turn; with `only_open`, where the wish is not met yet."""
        n = len(photos)
        dtype = next(self.model.network.parameters()).dtype
        x = photos.to(self.model.device, dtype)
        source, target = (rows.to(x) for rows in conditions(self.model, wishes, estimated))
        mask = torch.stack([region(w, self.model.image_shape, self.model.config.facts.crop) for w in wishes]).to(x)
        changed = _Inverted(self, x, source, target)
        wanted, least = self.wanted(wishes)

        image, change = x.clone(), torch.zeros_like(x)
        used = torch.zeros(n)
        margin = self.margin(x, wanted, least)
        asked = torch.tensor([bool(wish) for wish in wishes])
        for scales in strengths:
            rows = (asked & (margin < 0) if self.only_open else asked).nonzero().flatten()
            if not len(rows):
                break
            image_now, change_now = changed(rows, scales[rows], mask[rows])
            margin_now = self.margin(image_now, wanted[rows], least[rows])
            better = margin_now > margin[rows] if self.only_open else torch.ones_like(rows, dtype=torch.bool)
            rows, kept = rows[better], better.to(x.device)  # what is stronger, but no clearer, is only further from the photo
            image[rows], change[rows] = image_now[kept], change_now[kept]
            used[rows], margin[rows] = scales[rows], margin_now[better]
        return Edited(image.cpu(), change.cpu(), mask.cpu().expand(n, -1, -1, -1), estimated, used, margin >= 0)

    def wanted(self, wishes: list[dict[str, float]]) -> tuple[Tensor, Tensor]:
        """The direction (N, K) in which each logit should go, 0 where it does not matter, and how far at least (N, K)."""
        values = torch.stack([self.model.labels.vector(wish) for wish in wishes])
        return values.sign(), (2 * torch.atanh(values.abs().clamp(max=0.99))).clamp(max=MARGIN)

    def margin(self, image: Tensor, wanted: Tensor, least: Tensor) -> Tensor:
        """By how much the classifier's logit for the wish that it sees least exceeds what is needed: (N,); inf for no wish."""
        logits = self.classifier.extract(image.float().clamp(-1, 1)).logits - self.classifier.config.thresholds
        return (wanted * logits - least).masked_fill(wanted == 0, float("inf")).amin(dim=1)


def conditions(model: DiffusionModel, wishes: list[dict[str, float]], estimated: Tensor) -> tuple[Tensor, Tensor]:
    """The source and the target conditions (N, K) of edits: the photo's attributes, which differ in the wish.

    The source has the opposite of each wish, whatever the estimate says, and the target the wish; in both, what excludes it
    gives way.
    """
    sources, targets = [], []
    for wish, row in zip(wishes, estimated.double().numpy(), strict=True):
        source = row.copy()
        for name, value in wish.items():
            if value:
                source[model.labels.index(name)] = -np.sign(value)
        target = source
        for name, value in wish.items():
            target = model.labels.set_attribute(target, name, value, frozenset(wish))
        sources.append(torch.from_numpy(source))
        targets.append(torch.from_numpy(target))
    return torch.stack(sources).float(), torch.stack(targets).float()


class _Inverted:
    """Photos on their way to noise, once, and back under as many strengths as are tried."""

    def __init__(self, plan: _Plan, x: Tensor, source: Tensor, target: Tensor) -> None:
        self.plan, self.x, self.source, self.target = plan, x, source, target
        eps, rungs = plan.model.eps(source), plan.rungs
        if plan.method in ("noised", "ddpm"):
            generator = torch.Generator("cpu").manual_seed(plan.seed)
            self.path = noised_path(eps, x, rungs, lambda: torch.randn(x.shape[1:], generator=generator).expand_as(x).to(x))
        elif plan.method in CHAINS:
            self.pair = CHAINS[plan.method].invert(eps, x, rungs)
        else:
            self.path = invert_ddim(eps, x, rungs)

    def __call__(self, rows: Tensor, strength: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The edited images of some rows, and what was added to the photos."""
        plan, x = self.plan, self.x[rows]
        eps = plan.model.eps(self.target[rows], strength, away_from=self.source[rows])
        if plan.method in ("difference", "noised", "ddpm"):
            path = Path([state[rows] for state in self.path.x], [e[rows] for e in self.path.e])
            recursion = difference_ddpm if plan.method == "ddpm" else difference
            change = recursion(eps, path, plan.rungs)
        elif plan.method in CHAINS:
            above, below = self.pair
            change = CHAINS[plan.method].sample(eps, (above[rows], below[rows]), plan.rungs) - x
        else:
            change = sample_ddim(eps, self.path.x[-1][rows], plan.rungs) - x
        if plan.keep == "region":
            change = mask * change
        image = (x + change).clamp(-1, 1)
        return image, image - x
