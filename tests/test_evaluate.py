"""`python -m ddpm_faces.evaluate` on small models: the report has every figure, pictures are drawn once, bad input is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import random_model, write_mnist
from PIL import Image

from ddpm_faces import checkpoint, judge
from ddpm_faces.attributes import CELEBA, DIGITS
from ddpm_faces.data import open_data
from ddpm_faces.diffusion.process import mix
from ddpm_faces.diffusion.schedule import Schedule
from ddpm_faces.errors import UserError
from ddpm_faces.evaluate import main
from ddpm_faces.evaluation import extractors, sweep
from ddpm_faces.evaluation.control import obedience
from ddpm_faces.evaluation.denoising import denoising_errors, harder, levels
from ddpm_faces.evaluation.memorisation import Distances, nearest, pixel_parts, pixels
from ddpm_faces.evaluation.reference import blurred, extract_from_store
from ddpm_faces.evaluation.samples import SampleCache
from ddpm_faces.evaluation.strips import perceptual_distance
from ddpm_faces.evaluation.sweep import choose
from ddpm_faces.images import to_tensor
from ddpm_faces.judge import Judge, JudgeConfig

FAST = ["--n", "64", "--sweep-n", "64", "--each", "2", "--persons", "2", "--steps", "2", "--device", "cpu"]


def random_judge(names: tuple[str, ...], image: tuple[int, int, int], exclusive: bool, path: Path) -> Path:
    torch.manual_seed(0)
    described = JudgeConfig(names, image, (16, 32), exclusive)
    return judge.save(path, Judge(described.network().eval(), described))


@pytest.fixture(scope="module")
def face_judge(tmp_path_factory) -> Path:
    return random_judge(CELEBA, (3, 16, 16), False, tmp_path_factory.mktemp("judges") / "small.safetensors")


@pytest.fixture(scope="module")
def toy_model(tmp_path_factory) -> Path:
    model = random_model(CELEBA, (3, 16, 16), data="toy", guidance=2.0, guidance_alone=3.0)
    return checkpoint.save(tmp_path_factory.mktemp("toy") / "toy.safetensors", model)


def test_the_whole_report(toy_model, face_judge, tmp_path, capsys, monkeypatch):
    points, real_compare = [], sweep.compare
    monkeypatch.setattr(sweep, "compare", lambda *given, **more: points.append(given) or real_compare(*given, **more))
    argv = ["--model", str(toy_model), "--classifier", str(face_judge), "--out", str(tmp_path), *FAST]
    assert main([*argv, "--only", "quality,control,strips", "--only", "memorisation,sweep", "--write-guidance"]) == 0
    said = capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    about = report["about"]
    assert about["pictures"] == 64 and about["steps"] == 2 and about["guidance"] == 2 and about["extractor"] == "attributes"
    assert about["guidance alone"] == 3 and "guidance 2 (3 where one attribute alone is asked)" in said
    for fact in ("64 pictures", "2 steps", "guidance 2", "seed 0", "extractor attributes", "crop none"):
        assert fact in said
    rows = report["quality"]["rows"]
    assert next(iter(rows)) == "the model" and all({"FID", "KID", "precision", "recall"} <= set(row) for row in rows.values())
    assert rows["real training pictures (the floor)"]["FID"] < rows["noise (the ceiling)"]["FID"]
    assert rows["noise (the ceiling)"]["faces found"] == 0 and "frontal detector" in (tmp_path / "report.md").read_text()
    control = report["control"]["table"]
    assert set(control) == set(CELEBA) and control["Bald"]["asked alone"] == 4
    assert control["Bald"]["asked yes"] + control["Bald"]["asked no"] == 64
    assert set(report["strips"]["means"]) == {"monotone", "rise", "others", "person", "step", "jump"}
    assert report["memorisation"]["samples"] == 64 and report["memorisation"]["denoising"]["pictures"] == 500
    curves = report["sweep"]["by guidance"] + report["sweep"]["by steps"]
    assert len(points) == len(curves) == 12, "the default point once, and the blurred pictures"
    assert report["sweep"]["guidance chosen"] in [point["guidance"] for point in report["sweep"]["by guidance"]]
    chosen = checkpoint.load(toy_model)
    assert chosen.guidance == chosen.guidance_alone == report["sweep"]["guidance chosen"]
    text = (tmp_path / "report.md").read_text()
    for heading in ("Quality", "Control", "Interpolation", "Memorisation", "Sweep by guidance", "Sweep by steps"):
        assert f"## {heading}" in text
    for name in ("samples", "control", "strips", "curves", "nearest", "distances", "sweep"):
        assert Image.open(tmp_path / f"{name}.png").width > 200 and f"{name}.png" in text


def test_digits_have_a_score_of_their_own(tmp_path, capsys):
    write_mnist(tmp_path / "data", 80)
    model = checkpoint.save(tmp_path / "digits.safetensors", random_model(DIGITS, (1, 32, 32), data="mnist"))
    classifier = random_judge(DIGITS, (1, 32, 32), True, tmp_path / "judge.safetensors")
    argv = ["--model", str(model), "--data-root", str(tmp_path / "data"), "--classifier", str(classifier), *FAST]
    assert main([*argv, "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {"IS", "IS spread"} <= set(report["quality"]["rows"]["the model"]) and report["about"]["extractor"] == "digits"
    assert 0 <= report["control"]["recognised"] <= 1 and "Digits: recognised" in (tmp_path / "out" / "report.md").read_text()
    assert set(report["control"]["table"]) == set(DIGITS) and "0 to 3" in report["strips"]["table"]


def test_unconditional_models_are_measured_but_not_asked(tmp_path, face_judge, capsys, monkeypatch):
    model = checkpoint.save(tmp_path / "plain.safetensors", random_model((), (3, 16, 16), data="toy"))
    argv = ["--model", str(model), "--classifier", str(face_judge), "--out", str(tmp_path / "out"), *FAST]
    assert main([*argv, "--only", "quality,control,sweep"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "control" not in report and "can be asked for nothing" in report["left out"][0]
    points = report["sweep"]["by steps"]
    assert report["sweep"]["by guidance"] == [] and len(points) > 2
    assert main([*argv, "--only", "memorisation"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["sweep"]["by steps"] == points and "memorisation" in report, "the parts that were there stay"
    monkeypatch.setitem(sys.modules, "dlib", None)  # as if it were not installed
    assert main([*argv, "--only", "quality", "--seed", "7"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "memorisation" not in report, "but not those made otherwise"
    assert "pip install dlib-bin" in report["left out"][0] and "faces found" not in report["quality"]["rows"]["the model"]


class Memory(torch.nn.Module):
    """The best prediction of the noise for a world of a few pictures (K, C, H, W): nothing but overfitting."""

    def __init__(self, known: torch.Tensor):
        super().__init__()
        self.known = known

    def forward(self, x: torch.Tensor, t: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        signal, noise = mix(Schedule(), t, x)
        distances = (x[:, None] - signal[:, None] * self.known).square().sum(dim=(2, 3, 4))
        likely = torch.softmax(-distances / (2 * noise.flatten(1) ** 2), dim=1)
        return (x - signal * torch.einsum("bk,kchw->bchw", likely, self.known)) / noise


class Nothing(Memory):
    def forward(self, x: torch.Tensor, t: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)


def test_who_knows_pictures_by_heart_finds_others_harder():
    store, schedule, at = open_data("toy", Path(), "train", size=16), Schedule(), levels(1000)
    assert at == tuple(range(50, 1000, 100))
    rows, others = np.arange(60), np.arange(100, 160)
    pictures = to_tensor(store.images[rows])
    known, unknown = (denoising_errors(Memory(pictures), store, which, schedule, at) for which in (rows, others))
    assert known.shape == (60, 10) and known[:, :5].max() < 1e-4 < 0.1 < unknown[:, :5].mean()
    share, error = harder(known + 0.01, unknown + 0.01)
    assert share > 10 * error > 0
    known, unknown = (denoising_errors(Nothing(pictures), store, which, schedule, at) for which in (rows, others))
    assert abs(known.mean() - 1) < 0.01, "the noise itself has variance one"
    assert abs(harder(known, unknown).harder) < 1e-6, "and is the same for both"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--n", "10"], "at least 64"),
        (["--only", "beauty"], "no part 'beauty'"),
        (["--write-guidance"], "add --only sweep"),
        (["--extractor", "digits"], "no extractor 'digits' for these pictures"),
        (["--each", "0"], "--each 0 is out of range"),
        (["--classifier", "nothing.safetensors"], "no classifier"),
        (["--data", "mnist", "--data-root", "nowhere"], "nowhere"),
        (["--extractor", "inception", "--inception-weights", "nothing.pth"], "no file nothing.pth"),
        (["--data", "celeba", "--data-root", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_told_in_one_line(toy_model, face_judge, argv, message, tmp_path, capsys):
    given = ["--model", str(toy_model), "--classifier", str(face_judge), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main([*given, *argv]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_classifier_of_another_size_or_of_other_names_is_refused(toy_model, tmp_path, capsys):
    large = random_judge(CELEBA, (3, 64, 64), False, tmp_path / "large.safetensors")
    other = random_judge(CELEBA[::-1], (3, 16, 16), False, tmp_path / "other.safetensors")
    for path, message in ((large, r"(3, 64, 64), not (3, 16, 16)"), (other, "knows other names")):
        assert main(["--model", str(toy_model), "--classifier", str(path), "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err


def test_pictures_drawn_once_are_read_again_and_only_the_same_ones(toy_model, tmp_path, monkeypatch):
    model = checkpoint.load(toy_model)
    options = {"guidance": 1.0, "sampler": "ddim", "steps": 2}
    c, seeds = torch.zeros(70, 40), list(range(70))
    first = SampleCache(model, tmp_path, options).draw(c, seeds, "a")
    kept = sorted(tmp_path.rglob("*.npy"))
    assert first.shape == (70, 16, 16, 3) and len(kept) == 2
    kept[1].unlink()  # as if interrupted
    drawn = []
    from ddpm_faces.evaluation import samples

    real = samples.generate
    monkeypatch.setattr(samples, "generate", lambda *a, **k: drawn.append(len(k["seed"])) or real(*a, **k))
    assert np.array_equal(SampleCache(model, tmp_path, options).draw(c, seeds, "a"), first) and drawn == [6]
    other = SampleCache(model, tmp_path, options).draw(
        c, seeds, "a", guidance=3.0
    )  # of null conditions: the same pictures, but
    assert drawn == [6, 64, 6] and other.shape == first.shape, "other options are another folder"
    cache = SampleCache(model, tmp_path, options | {"guidance": None})
    own = cache.draw(torch.ones(70, 40), seeds, "all said")
    folders = len(list(tmp_path.iterdir()))
    assert np.array_equal(cache.draw(torch.ones(70, 40), seeds, "all said", guidance=model.guidance), own)
    assert len(list(tmp_path.iterdir())) == folders, "the same scale, said or not, is drawn once"
    model.config.facts["guidance"] = model.guidance + 1
    assert not np.array_equal(cache.draw(torch.ones(70, 40), seeds, "all said"), own), "another default, other pictures"
    with torch.no_grad():
        model.network.unet.exit.bias.add_(1)
    assert not np.array_equal(SampleCache(model, tmp_path, options).draw(c, seeds, "a"), first), "other weights, other pictures"


def test_the_reference_is_measured_once_for_these_weights(face_judge, tmp_path, monkeypatch):
    monkeypatch.setenv("DDPM_FACES_CACHE", str(tmp_path))
    store, classifier = open_data("toy", split="test", size=16), judge.load(face_judge)
    extractor = extractors.find("attributes", classifier)
    found = extract_from_store(extractor, store, 70, "")
    (path,) = (tmp_path / "features").iterdir()
    assert path.name.startswith("toy-test-16-") and "-70-attributes-" in path.name
    direct = classifier.extract(store.images[np.unique(np.linspace(0, len(store) - 1, 70).astype(int))])
    assert torch.allclose(found.features, direct.features, atol=1e-5) and torch.allclose(found.logits, direct.logits, atol=1e-4)
    monkeypatch.setattr(extractor, "extract", None)
    assert torch.equal(extract_from_store(extractor, store, 70, "").features, found.features)
    path.write_bytes(b"half")
    with pytest.raises(UserError, match="damaged"):
        extract_from_store(extractor, store, 70, "")


def test_torch_fidelity_knows_our_extractor(face_judge):
    from torch_fidelity.utils import create_feature_extractor

    path = str(face_judge)
    network = create_feature_extractor("attributes", ["features"], cuda=False, feature_extractor_weights_path=path)
    pictures = open_data("toy", split="test", size=16).images[:4]
    (features,) = network(torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2))
    assert torch.allclose(features, judge.load(path).extract(pictures).features, atol=1e-5)


def test_inception_comes_from_a_file_that_was_checked(tmp_path, face_judge):
    class Blank(extractors.FeatureExtractorInceptionV3):
        def load_state_dict(self, *_):  # torch-fidelity's network without its weights, to make a file in its format
            return None

    torch.save({}, tmp_path / "empty.pth")
    torch.manual_seed(0)
    blank = Blank("inception-v3-compat", ["2048"], str(tmp_path / "empty.pth"))
    torch.save(blank.state_dict(), tmp_path / "weights.pth")
    extractor = extractors.find("inception", judge.load(face_judge), tmp_path / "weights.pth")
    grey = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), dtype=np.uint8)
    found = extractor.extract(grey)
    assert found.features.shape == (2, 2048) and found.logits.shape == (2, 1008)
    again = extractor.extract(np.repeat(grey, 3, axis=3))
    assert torch.equal(found.features, again.features), "grey pictures are shown in three equal colours"
    torch.save({"Conv2d_1a_3x3": torch.zeros(2)}, tmp_path / "other.pth")
    trace = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return open, (str(trace), "w")

    torch.save({"fc.weight": Bomb()}, tmp_path / "bomb.pth")
    (tmp_path / "garbage.pth").write_bytes(b"x" * 100)
    for name in ("other", "bomb", "garbage", "empty"):
        with pytest.raises(UserError, match="does not hold torch-fidelity's Inception weights"):
            extractors.find("inception", judge.load(face_judge), tmp_path / f"{name}.pth")
    assert not trace.exists(), "no code of the file was run"


def test_weights_that_cannot_be_fetched_say_how_to_give_a_file(face_judge, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(extractors, "URL_INCEPTION_V3", "http://127.0.0.1:9/weights-0123abcd.pth")
    with pytest.raises(UserError, match="--inception-weights FILE"):
        extractors.find("inception", judge.load(face_judge))


def test_a_judge_that_is_right_by_construction_finds_all_that_is_asked():
    """Toy faces have exact labels: pictures of what was asked are obeyed wholly, of something else by chance or never."""
    store = open_data("toy", split="test", size=16)
    labels = {image.tobytes(): condition for image, condition in zip(store.images, store.conditions, strict=True)}

    def oracle(pictures: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.stack([labels[picture.tobytes()] for picture in pictures])).float() * 3

    asked = torch.from_numpy(store.conditions[:200].copy()).float()
    assert set(obedience(oracle(store.images[:200]), asked, exclusive=False).accuracy) == {1.0}
    assert set(obedience(oracle(store.images[:200]), -asked, exclusive=False).accuracy) == {0.0}
    half = np.concatenate([store.images[:100], store.images[200:300]])
    found = obedience(oracle(half), asked, exclusive=False)
    same = (store.conditions[100:200] == store.conditions[200:300]).mean(axis=0)
    assert np.allclose(found.accuracy, 0.5 + 0.5 * same)


def test_the_nearest_picture_is_found_and_copies_are_noticed():
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)
    queries = np.concatenate([images[[250, 3]], images[[7]][:, :, ::-1]])
    found = nearest(pixels(queries), pixel_parts(images, mirror=True, size=64))
    assert found.which.tolist() == [250, 3, 307] and found.distance.max() < 1e-3
    a, b = torch.randn(70, 5), torch.randn(90, 5)
    brute = (a[:, None] - b[None]).square().sum(-1).sqrt()
    parts = nearest(a, b.split(40))
    assert torch.allclose(parts.distance, brute.min(1).values, atol=1e-5) and torch.equal(parts.which, brute.argmin(1))
    black, white = (np.full((1, 8, 8, 3), v, dtype=np.uint8) for v in (0, 255))
    assert nearest(pixels(black), [pixels(white)]).distance.item() == pytest.approx(2), "root mean square of [-1, 1] pixels"
    second = (a[:, None] - b[None]).square().sum(-1).sqrt().sort(1).values[:, 1]
    assert torch.allclose(parts.second, second, atol=1e-5)
    among = [torch.randn(500, 8)]
    copied = Distances(nearest(among[0][:50] + 0.01, among), nearest(torch.randn(300, 8), among)).summary()
    assert copied["share of copies, generated"] == 1 and copied["share of copies, held-out"] < 0.02
    dull = Distances(nearest(0.5 * torch.randn(300, 8), among), nearest(torch.randn(300, 8), among)).summary()
    assert dull["distance, generated"] < dull["distance, held-out"], "what varies little lies nearer"
    assert dull["share of copies, generated"] < 0.02, "but is no copy"


def test_perceptual_distance_is_zero_at_home_and_grows_with_the_difference(face_judge):
    classifier = judge.load(face_judge)
    x = to_tensor(open_data("toy", split="test", size=16).images[:8])
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    near, far = (perceptual_distance(classifier, x, x + scale * noise) for scale in (0.05, 0.5))
    assert perceptual_distance(classifier, x, x).abs().max() < 1e-6 and (near < far).all() and (near > 0).all()


def test_blurred_pictures_keep_their_colour_and_lose_their_edges():
    images = open_data("toy", split="test").images[:16]
    soft = blurred(images)
    assert soft.shape == images.shape and abs(float(soft.mean()) - float(images.mean())) < 2
    assert np.abs(np.diff(soft.astype(int), axis=1)).mean() < 0.8 * np.abs(np.diff(images.astype(int), axis=1)).mean()


def test_guidance_is_chosen_among_the_good_ones():
    rows = ((1, 10, 0.6), (2, 10.5, 0.8), (4, 20, 0.95))
    points = [{"guidance": g, "KID": kid, "obedience": obeyed} for g, kid, obeyed in rows]
    assert choose(points, 20) == 2 and choose(points, 19) == 1 and choose(points, 300) == 4
    assert choose([p | {"alone": 1 / p["guidance"]} for p in points], 20) == 1, "single attributes decide"
    assert choose(points, 5) == 1, "better than the ruler, all of it"
    points[1]["obedience"], points[2]["obedience"] = 0.9, 0.905
    assert choose(points, 300) == 2, "as well, and more varied"
