"""The average of the weights: the first weights are copied, later ones enter slowly, and the network is left alone."""

import torch
from torch import nn

from ddpm_faces.training.ema import EMA


def test_the_average_by_hand():
    network = nn.Linear(1, 1, bias=False)
    ema = EMA(network, decay=0.5)
    expected = None
    for n, weight in enumerate([4.0, 8.0, -2.0, 6.0, 6.0, 1.0]):
        nn.init.constant_(network.weight, weight)
        ema.update(network)
        decay = min(0.5, (1 + n) / (10 + n))
        expected = weight if expected is None else decay * expected + (1 - decay) * weight
        assert abs(ema.module.weight.item() - expected) < 1e-6 and network.weight.item() == weight
    assert ema.count == 6


def test_the_average_takes_no_gradients_but_the_network_does():
    network = nn.Linear(2, 2)
    ema = EMA(network, decay=0.9)
    assert all(p.requires_grad for p in network.parameters()) and not any(p.requires_grad for p in ema.module.parameters())
    assert torch.equal(ema.module.weight, network.weight)
