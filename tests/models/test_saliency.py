from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_classifier import random_classifier

from ddpm_faces.conditions import Labels
from ddpm_faces.models.classifier_checkpoint import load_classifier
from ddpm_faces.models.saliency import GradCam, centre_prior, crop, salient_boxes, spectral_residual


def odd_one(top: int, left: int) -> torch.Tensor:
    """A bright square on a fine texture."""
    image = 0.1 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    image[:, :, top : top + 7, left : left + 7] = 1
    return image


@pytest.mark.parametrize("place", [(8, 40), (40, 8)])
def test_the_spectral_residual_finds_the_odd_one_out(place):
    seen = spectral_residual(odd_one(*place))
    assert seen.shape == (1, 1, 64, 64)
    assert float(seen.max()) == 1.0
    assert float(seen.min()) >= 0
    y, x = divmod(int(seen.argmax()), 64)
    assert abs(y - place[0] - 3) < 8
    assert abs(x - place[1] - 3) < 8


def test_the_spectral_residual_is_the_papers():
    """The same in numpy, step by step."""
    image = torch.rand(1, 1, 64, 64) * 2 - 1
    spectrum = np.fft.fft2(image[0, 0].double().numpy())
    amplitude = np.log(np.abs(spectrum) + 1e-12)
    expected = sum(np.roll(amplitude, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
    energy = np.abs(np.fft.ifft2(np.exp(amplitude - expected + 1j * np.angle(spectrum)))) ** 2
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(energy, 2.5, mode="nearest", truncate=8 / 2.5)
    assert np.allclose(spectral_residual(image)[0, 0].numpy(), blurred / blurred.max(), atol=1e-4)


def test_grad_cam_is_its_equation_and_leaves_no_graph():
    """Channel weights by finite differences: the logit's change when a whole map of the last stage is raised a little."""
    classifier = random_classifier(Labels(("a", "b", "c")), (3, 16, 16))
    network, images = classifier.network.double(), torch.randn(1, 3, 16, 16).double()
    seen = GradCam(classifier, torch.tensor([[0.0, -1.0, 0.0]]))(images)
    assert not seen.requires_grad
    last = network.features(images)[-2].detach()

    def logit(maps: torch.Tensor) -> float:
        return -float(network.logits(F.silu(network.norm(maps)).mean(dim=(2, 3)))[0, 1])

    raised = torch.eye(last.shape[1]).double()[:, :, None, None] * 1e-5
    weights = torch.tensor([(logit(last + more) - logit(last - more)) / 2e-5 / last[0, 0].numel() for more in raised])
    wanted = F.relu((weights[None, :, None, None] * last).sum(dim=1, keepdim=True))
    wanted = F.interpolate(wanted, size=(16, 16), mode="bilinear")
    assert float(wanted.max()) > 0
    assert torch.allclose(seen, wanted / wanted.max(), atol=1e-5)


def test_the_shipped_classifier_looks_at_the_mouth_for_a_smile_and_at_the_eyes_for_glasses():
    import ddpm_faces

    model, classifier = ddpm_faces.load("celeba64"), load_classifier("celeba64")

    def height(name: str) -> float:
        faces = ddpm_faces.generate(model, name, n=4, seed=0, steps=8)
        signs = torch.zeros(4, len(classifier.names))
        signs[:, classifier.names.index(name)] = 1
        seen = GradCam(classifier, signs)(faces).sum(dim=(0, 1, 3))
        return float((seen * torch.arange(64)).sum() / seen.sum())

    assert height("Eyeglasses") + 4 < height("Smiling")


def test_the_box_holds_the_largest_region_and_a_margin():
    maps = torch.zeros(1, 1, 40, 40)
    maps[0, 0, 5:25, 10:20] = 1  # 200 of 1600 pixels
    maps[0, 0, 30:34, 30:34] = 0.9
    assert salient_boxes(maps, 0.8, 0.1) == [(3, 9, 27, 21)]
    assert salient_boxes(torch.ones(1, 1, 40, 40)) == [(0, 0, 40, 40)]
    with pytest.raises(ValueError, match="quantile"):
        salient_boxes(maps, 1.0)


def test_a_crop_is_enlarged_and_differentiable():
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    out = crop(images, [(0, 0, 8, 8), (0, 0, 16, 16)])
    assert torch.equal(out[1], images[1])
    out[0].sum().backward()
    assert float(images.grad[0, :, 8:, :].abs().max()) == 0
    assert float(images.grad[0, :, :8, :8].abs().min()) > 0


def test_the_prior_looks_at_the_middle():
    seen = centre_prior(torch.zeros(2, 3, 20, 20))
    assert seen.shape == (2, 1, 20, 20)
    assert float(seen[0, 0, 10, 10]) > 0.9 > 0.2 > float(seen[0, 0, 0, 0])
