"""What goes into the page, without a browser."""

from __future__ import annotations

import json
import re
from http.client import HTTPConnection
from threading import Thread

import pytest
import torch
from safetensors.torch import load as load_tensors

from ddpm_faces import page
from ddpm_faces.models.checkpoint import load
from ddpm_faces.utils.errors import UserError
from ddpm_faces.web.build import REPOSITORY, build_page, pack_weights, people, script_json, text_of
from ddpm_faces.web.serve import make_server


def unpacked(packed: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    whole = packed[name].float()
    if f"{name}.scale" not in packed:
        return whole
    scale = packed[f"{name}.scale"]
    return (whole.reshape(len(scale), -1) * scale[:, None]).view_as(whole)


@pytest.mark.parametrize("int8, bound, bytes_a_weight", [(False, 2e-5, 2.2), (True, 5e-3, 1.45)])
def test_packed_weights_are_the_models(int8, bound, bytes_a_weight):
    model = load("celeba64")
    content = pack_weights(model, int8)
    packed, weights = load_tensors(content), model.network.state_dict()
    for name, tensor in weights.items():
        assert packed[name].shape == tensor.shape
        assert float((unpacked(packed, name) - tensor).abs().max()) <= bound * float(tensor.abs().max())
    assert len(content) < bytes_a_weight * sum(t.numel() for t in weights.values())


def test_the_engine_is_at_most_400_lines():
    """Of C and JavaScript, for network, sampler and random numbers; comments and blank lines left out."""
    lines = [
        line.strip() for name in ("engine.c", "network.js", "sampler.js", "random.js") for line in text_of(name).splitlines()
    ]
    assert 300 < len([line for line in lines if line and not line.startswith("//")]) <= 400


def test_the_page_is_one_file_that_may_not_connect():
    text = build_page(load("mnist32-fast"))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "connect-src" not in policy[1]
    assert "{{" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert re.findall(r'(?:src|href)="(?!data:)([^"]*)"', text) == [REPOSITORY, f"{REPOSITORY}#readme"]
    config = json.loads(re.search(r'id="config" type="application/json">(.*?)</script>', text)[1])  # type: ignore[index]
    assert (config["sampler"], config["steps"], config["names"]) == ("few", 4, [str(i) for i in range(10)])


def test_json_cannot_end_its_script():
    hostile = {"name": "</script><script>alert(1)</script>"}
    assert "<" not in script_json(hostile)
    assert json.loads(script_json(hostile)) == hostile


def test_a_seed_begins_with_the_person_of_a_strip():
    from ddpm_faces.conditions.prior import sample_vector

    model = load("celeba64")
    assert people(model)[17] == sample_vector(model.labels, model.config.frequencies, 17, {}).tolist()


def test_what_a_page_cannot_carry_is_refused_in_one_line(monkeypatch):
    model = load("mnist32-fast")
    monkeypatch.setattr("ddpm_faces.web.build.MOST", 1_000_000)
    with pytest.raises(UserError, match="a page carries at most 1,000,000"):
        build_page(model)
    model.config = model.config.model_copy(update={"architecture": "other"})
    with pytest.raises(UserError, match="not the architecture 'other'"):
        build_page(model)
    own = load("mnist32-fast")
    own.config = own.config.model_copy(update={"facts": own.config.facts.model_copy(update={"sampler": "ddpm"})})
    monkeypatch.undo()
    with pytest.raises(UserError, match="the page knows dpm, ddim, few"):
        build_page(own)


def test_the_command_writes_the_page(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert page.main(["--model", "mnist32-fast", "--int8"]) == 0
    assert "out/mnist32-fast.html" in capsys.readouterr().out
    assert (tmp_path / "out" / "mnist32-fast.html").read_text().startswith("<!doctype html>")
    assert page.main(["--model", "mnist32-fast", "--out", "mine/face.html"]) == 0
    assert (tmp_path / "mine" / "face.html").exists()
    assert page.main(["--model", "nobody"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_server_has_the_page_and_nothing_else(tmp_path):
    (tmp_path / "face.html").write_text("<!doctype html>hello")
    (tmp_path / "secret.txt").write_text("secret")
    with make_server(tmp_path / "face.html", 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        assert host == "127.0.0.1"
        for address, status, text in (("/", 200, "<!doctype html>hello"), ("/secret.txt", 404, "secret")):
            client = HTTPConnection(host, port)
            client.request("GET", address)
            answer = client.getresponse()
            assert answer.status == status
            assert (text in answer.read().decode()) == (status == 200)
            client.close()
        with pytest.raises(UserError, match="choose another"):
            make_server(tmp_path / "face.html", port)
        server.shutdown()
