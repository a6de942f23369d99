"""What a condition is: labels (names and their rules), a prior over attributes, and paths from one condition to another."""

from __future__ import annotations

from ddpm_faces.conditions.celeba import CELEBA
from ddpm_faces.conditions.digits import DIGITS
from ddpm_faces.conditions.labels import NO_LABELS, Labels

KNOWN = (NO_LABELS, CELEBA, DIGITS)


def known_labels(names: tuple[str, ...]) -> Labels:
    """The Labels of a file that holds names only, as older formats do: CelebA's in any order, digits, or plain attributes."""
    found = next((labels for labels in KNOWN if set(labels.names) == set(names)), None)
    return Labels(names) if found is None else Labels(names, found.one_hot, found.exclusive)


__all__ = ["CELEBA", "DIGITS", "NO_LABELS", "Labels", "known_labels"]
