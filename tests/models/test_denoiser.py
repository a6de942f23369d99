"""The U-Net and its conditions: shapes, sizes, and that the condition and the step really reach the output."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from ddpm_faces.conditions import CELEBA
from ddpm_faces.models.architectures import PRESETS
from ddpm_faces.models.denoiser import Denoiser, standard_scales
from ddpm_faces.models.unet import Attention, GroupNorm, UNet, attend, time_embedding


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("preset", "size"), [("toy32", 32), ("mnist32", 32), ("celeba64", 64)])
def test_presets_predict_noise_of_the_images_shape(preset, size):
    network = UNet(3, 3, **PRESETS[preset].sizes)
    out = network(torch.randn(2, 3, size, size), torch.tensor([0, 999]))
    assert out.shape == (2, 3, size, size)
    assert 0 < out.std() < 0.1, "an untrained network says next to nothing: what it must learn has a deviation of 1"


def test_the_face_model_is_as_small_as_promised():
    assert 1.6e6 <= count(Denoiser((3, 64, 64), len(CELEBA), **PRESETS["celeba64"].sizes)) <= 2.0e6


def test_the_condition_reaches_the_output(face_model):
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([5, 500])
    c = torch.zeros(2, 40, requires_grad=True)
    out = face_model.network(x, t, c)
    (gradient,) = torch.autograd.grad(out.square().sum(), c)
    assert (gradient.abs().amin(dim=0) > 1e-6).all(), "every one of the 40 attributes moves the output"
    assert not torch.equal(out, face_model.network(x, t, torch.ones(2, 40)))


def test_the_step_reaches_the_output(face_model):
    x, c = torch.randn(1, 3, 16, 16), torch.zeros(1, 40)
    outs = [face_model.network(x, torch.tensor([t]), c) for t in (0, 1, 999)]
    assert not torch.allclose(outs[0], outs[1], atol=1e-5) and not torch.allclose(outs[0], outs[2], atol=1e-3)


def test_a_null_condition_leaves_only_the_learned_bias(face_model):
    embedded = face_model.network.embed(torch.zeros(1, 40))
    assert torch.equal(embedded[0], face_model.network.embed.bias)


def test_conditions_enter_with_mean_0_and_variance_1_over_the_data(toy_attributes):
    c = torch.from_numpy(toy_attributes).float()  # (8, 40) of -1 and +1
    c = c[:, (c > 0).float().mean(0).clamp(0.1, 0.9) == (c > 0).float().mean(0)]  # those that differ
    frequencies = (c > 0).float().mean(0).tolist()
    present, absent = standard_scales(frequencies, c.shape[1])
    scaled = c * torch.where(c > 0, present, absent)
    assert scaled.mean(0).abs().max() < 1e-5 and (scaled.var(0, unbiased=False) - 1).abs().max() < 1e-4
    assert torch.equal(standard_scales((), 3), torch.ones(2, 3)), "without frequencies all is as it was said"
    assert standard_scales((0.0, 1.0), 2).isfinite().all(), "an attribute that nobody, or everybody, has"


def test_frequencies_change_what_a_rare_attribute_does(face_model):
    config = face_model.config.model_copy(update={"frequencies": (0.05,) * 40})
    network = config.network().eval()
    network.load_state_dict(face_model.network.state_dict())
    x, t, c = torch.randn(1, 3, 16, 16), torch.tensor([500]), torch.eye(40)[:1]
    null = network(x, t, 0 * c)
    assert torch.allclose(null, face_model.network(x, t, 0 * c), atol=1e-5), "an entry that is not said stays unsaid"
    there, away = ((network(x, t, sign * c) - null).abs().mean().item() for sign in (1, -1))
    assert there > 3 * away > 0, "that it is there says more than that it is not"


def test_the_image_enters_as_strongly_as_if_it_came_alone():
    settings = {"channels": (32, 48), "attention": ()}
    alone = UNet(6, 3, **settings).enter.weight
    beside = Denoiser((3, 8, 8), 40, embedding=32, **settings).unet.enter.weight
    image, planes = beside[:, :6].std().item(), beside[:, 6:].std().item()
    assert abs(image / alone.std().item() - 1) < 0.1 and image > 2 * planes


def test_an_unconditional_model_has_no_embedding_and_ignores_conditions():
    network = Denoiser((3, 8, 8), 0, channels=(16,), attention=())
    assert network.embed is None
    out = network(torch.randn(1, 3, 8, 8), torch.tensor([3]), torch.zeros(1, 0))
    assert out.shape == (1, 3, 8, 8)


def test_attention_is_softmax_of_scaled_products():
    torch.manual_seed(0)
    layer = Attention(16, heads=2)
    torch.nn.init.normal_(layer.out.weight)
    x = torch.randn(1, 16, 2, 3)
    q, k, v = layer.qkv(layer.norm(x)).reshape(3, 2, 8, 6)  # each (heads, channels, pixels)
    weights = (q.transpose(1, 2) @ k / 8**0.5).softmax(dim=-1)  # Vaswani et al. 2017, (1)
    expected = x + layer.out((weights @ v.transpose(1, 2)).transpose(1, 2).reshape(1, 16, 2, 3))
    assert (layer(x) - expected).abs().max() < 1e-5


def test_norm_and_attention_learn_in_float32_on_a_cpu():
    """Their bfloat16 kernels' backward passes are slow there (benchmarks/README.md)."""
    torch.manual_seed(0)
    x, norm = torch.randn(2, 16, 4, 4).bfloat16().requires_grad_(), GroupNorm(16)
    q, k, v = torch.randn(3, 2, 4, 16, 8).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        normed, attended = norm(x), attend(q, k, v)
        with torch.no_grad():
            assert attend(q, k, v).dtype == torch.bfloat16, "no gradient, no need"
    assert normed.dtype == torch.bfloat16 and normed.grad_fn.next_functions[0][0].name() == "NativeGroupNormBackward0"
    assert torch.equal(normed, F.group_norm(x.float(), 2).bfloat16())
    assert torch.equal(attended, F.scaled_dot_product_attention(q.float(), k.float(), v.float()))


def test_neighbouring_steps_have_different_embeddings():
    table = time_embedding(torch.arange(1000), 32)
    assert table.shape == (1000, 32)
    assert torch.pdist(table).min() > 0.01


def test_impossible_settings_are_refused():
    for bad in ({"channels": (12,)}, {"channels": ()}, {"attention": (7,)}, {"blocks": 0}):
        with pytest.raises(ValueError):
            UNet(3, 3, **bad)
    with pytest.raises(ValueError, match="multiples of 8"):
        UNet(3, 3)(torch.zeros(1, 3, 20, 20), torch.tensor([0]))


def test_the_way_down_the_middle_and_the_way_up_are_calls_of_their_own(face_model):
    """A control branch copies the first two, and adds to what the third receives."""
    unet, x, t = face_model.network.unet, torch.randn(2, 14, 16, 16), torch.tensor([3, 900])
    temb = unet.embed_time(t)
    h, skips = unet.encode(x, temb)
    bottom = unet.middle(h, temb)
    assert torch.equal(unet.decode(bottom, skips, temb), unet(x, t))
    added = unet.decode(bottom, [skip + 0.1 for skip in skips], temb)
    assert (added - unet(x, t)).abs().max() > 1e-4 and len(skips) == 4


def test_gradients_reach_the_image_through_frozen_weights(face_model):
    x = torch.randn(1, 3, 16, 16, requires_grad=True)
    out = face_model.network(x, torch.tensor([500]), torch.ones(1, 40))
    assert torch.autograd.grad(out.sum(), x)[0].abs().min() > 0
    assert not any(p.requires_grad for p in face_model.network.parameters())


def test_a_network_in_double_computes_in_double(face_model):
    double = copy.deepcopy(face_model.network).double()
    x, t, c = torch.randn(2, 3, 16, 16), torch.tensor([0, 999]), torch.ones(2, 40)
    exact = double(x.double(), t, c.double())
    assert exact.dtype == torch.float64 and (exact - face_model.network(x, t, c)).abs().max() < 1e-4
    nudge = 1e-9 * torch.randn_like(x).double()
    moved = double(x.double() + nudge, t, c.double()) - exact
    assert 0 < moved.abs().max() < 1e-6, "no float32 on the way swallows a change of 1e-9"


def test_the_noise_tables_are_buffers_that_no_file_holds(face_model):
    buffers = dict(face_model.network.named_buffers())
    assert buffers["alpha"].shape == buffers["sigma"].shape == (1000,)
    assert not {"alpha", "sigma", "scales"} & set(face_model.network.state_dict())


def test_surroundings_do_not_change_it(face_model):
    """A default dtype of the caller's, and the "meta" device that checkpoints are loaded under, are not the model's."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        embedding = time_embedding(torch.tensor([3]), 8)
        scales = standard_scales((0.3,), 1)
    finally:
        torch.set_default_dtype(before)
    assert embedding.dtype == scales.dtype == torch.float32


def test_the_network_is_traced_with_its_tables_as_constants(face_model):
    """What exporters need: no schedule is computed inside the graph."""
    inputs = torch.randn(1, 3, 16, 16), torch.tensor([500]), torch.ones(1, 40)
    traced = torch.export.export(face_model.network, inputs)
    assert (traced.module()(*inputs) - face_model.network(*inputs)).abs().max() < 1e-5
    assert not any("prod." in str(node.target) for node in traced.graph.nodes)  # cumprod, prims.prod
