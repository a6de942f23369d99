"""The report's network is the report's, and the library learns of it by importing its module."""

from __future__ import annotations

import pytest
import torch

from ddpm_faces.conditions import CELEBA
from ddpm_faces.models.architectures import PRESETS
from ddpm_faces.models.model import Config
from experiments.report_unet import ReportUNet


def test_the_reports_network_is_the_reports():
    network = ReportUNet()
    assert sum(p.numel() for p in network.parameters()) == 1_380_080  # of its listing, with the fourth up block
    x, t = torch.randn(1, 3, 64, 64), torch.tensor([500])
    with torch.no_grad():
        answers = [network(x, t, c * torch.ones(1, 40)) for c in (0, 1)]
    assert answers[0].shape == x.shape and (answers[0] - answers[1]).abs().max() > 1e-4, "the condition is seen"


def test_the_library_builds_it_from_a_checkpoints_description():
    preset = PRESETS["report"]
    config = Config(labels=CELEBA, image=(3, 64, 64), embedding=5, unet=preset.sizes, architecture=preset.architecture)
    assert isinstance(config.network(), ReportUNet) and preset.recipe["weighting"] == "uniform"
    with pytest.raises(ValueError, match="no sizes to choose"):
        Config(labels=CELEBA, image=(3, 64, 64), embedding=5, unet={"blocks": 1}, architecture="report")
    with pytest.raises(ValueError, match="images of shape"):
        Config(labels=CELEBA, image=(3, 60, 60), embedding=5, unet={}, architecture="report")
