"""Training an attribute classifier on real images, and measuring on the test split how often it is right."""

from __future__ import annotations

import time
from datetime import date

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ddpm_faces.data import find_source, open_dataset
from ddpm_faces.data.dataset import Dataset, batch_indices
from ddpm_faces.data.loader import Loader
from ddpm_faces.evaluation.accuracy import scores
from ddpm_faces.models.classifier import ClassifierNetwork
from ddpm_faces.models.classifier_checkpoint import Classifier, ClassifierConfig
from ddpm_faces.training.config import ClassifierSettings
from ddpm_faces.utils.devices import autocast, find_device, find_precision, place
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.memory import is_out_of_memory
from ddpm_faces.utils.plugins import import_modules
from ddpm_faces.utils.threads import use_threads


def train_classifier(settings: ClassifierSettings, channels: tuple[int, ...] = ClassifierNetwork.CHANNELS) -> Classifier:
    """A new classifier for a data set; its facts say with which settings, and how right it is on the test split. UserError.

    channels: widths of the stages.
    """
    import_modules(settings.import_)
    source, device = find_source(settings.data), find_device(settings.device)
    find_precision(settings.precision, device)
    use_threads(settings.threads)
    if settings.epochs is None:
        settings = settings.model_copy(update={"epochs": source.classifier_epochs})
    wanted = (settings.crop, settings.size, settings.table)
    train, test = (open_dataset(settings.data, settings.data_root, split, *wanted) for split in ("train", "test"))
    torch.manual_seed(settings.seed)
    config = ClassifierConfig(labels=train.labels, image=train.image_shape, channels=channels, frequencies=train.frequencies)
    network = place(config.network(), device)
    start = time.monotonic()
    try:
        fit(network, train, settings)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"out of memory with batch_size {settings.batch_size}: try half of it") from None
    measured = measure(Classifier(network, config, str(settings.path)), test)
    facts = {
        "data": settings.data,
        "licence": source.licence,
        "settings": settings.model_dump(mode="json", exclude={"data_root", "table", "out", "import_"}),
        "pictures": {"train": len(train), "test": len(test)},
        "minutes": round((time.monotonic() - start) / 60, 1),
        "date": date.today().isoformat(),
        **measured,
    }
    if source.crops:
        facts["crop"] = settings.crop or source.crops[0]
    return Classifier(network, config.model_copy(update={"facts": facts}), str(settings.path))


def fit(network: ClassifierNetwork, dataset: Dataset, settings: ClassifierSettings) -> None:
    """Train in place: AdamW with a one-cycle learning rate; cross-entropy for classes, a binary one for each attribute.

    Images are shifted and, where a mirror image keeps its labels, mirrored.
    """
    from tqdm import tqdm

    device, one_hot = next(network.parameters()).device, dataset.labels.one_hot
    precision = find_precision(settings.precision, device)
    steps = max(1, round((settings.epochs or 0) * len(dataset) / settings.batch_size))
    adam = torch.optim.AdamW(network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, settings.lr, total_steps=max(steps + 1, 20), pct_start=0.2)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    loader, rng = Loader(dataset, device), torch.Generator().manual_seed(settings.seed)
    flip = bool(find_source(settings.data).recipe.get("flip", False))
    network.train()
    with tqdm(range(steps), "training the classifier", unit="step", leave=False) as bar:
        for step in bar:
            images, labels = loader(batch_indices(len(dataset), settings.batch_size, step, settings.seed))
            x = augment(images.float() / 127.5 - 1, settings.shift, flip, rng)
            with autocast(device, precision):
                logits = network(x.contiguous(memory_format=torch.channels_last)).float()
            if one_hot:
                loss = F.cross_entropy(logits, labels.argmax(dim=1))
            else:
                loss = F.binary_cross_entropy_with_logits(logits, (labels > 0).float())
            adam.zero_grad()
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.unscale_(adam)
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            scaler.step(adam)
            scaler.update()
            rate.step()
            if step % 20 == 0:
                bar.set_postfix(loss=f"{loss.item():.4f}")
    network.eval()


def augment(images: Tensor, shift: int, flip: bool, rng: torch.Generator) -> Tensor:
    """Each image of (B, C, H, W) moved by up to `shift` pixels, its edge repeated, and mirrored or not if `flip`."""
    batch, _, height, width = images.shape
    padded = F.pad(images, [shift] * 4, mode="replicate")
    corner = torch.randint(0, 2 * shift + 1, (2, batch, 1), generator=rng)
    rows, columns = corner[0] + torch.arange(height), corner[1] + torch.arange(width)  # (B, H), (B, W)
    if flip:
        columns = torch.where(torch.rand(batch, 1, generator=rng) < 0.5, columns.flip(1), columns)
    which = torch.arange(batch)[:, None, None]
    rows, columns = rows[:, :, None].to(images.device), columns[:, None, :].to(images.device)
    return padded.permute(0, 2, 3, 1)[which.to(images.device), rows, columns].permute(0, 3, 1, 2)


def measure(classifier: Classifier, test: Dataset) -> dict[str, object]:
    """ "scores", see `evaluation.accuracy.scores`, and for classes "recognised", the share of all images."""
    logits = classifier.extract(test.images, progress="the test split").logits
    labels, one_hot = torch.from_numpy(np.array(test.conditions)), test.labels.one_hot
    found = scores(logits, labels, one_hot, classifier.config.thresholds)
    measured: dict[str, object] = {"scores": {key: [round(v, 4) for v in values] for key, values in found.items()}}
    if one_hot:
        measured["recognised"] = float((logits.argmax(dim=1) == labels.argmax(dim=1)).double().mean())
    return measured
