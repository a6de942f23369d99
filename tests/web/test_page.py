"""The page in real browsers: the same picture as Python's, from file:// and from http, by mouse, by keyboard and by link."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from browsers import BROWSERS, Browser
from PIL import Image

from ddpm_faces.diffusion.samplers import few
from ddpm_faces.generation.generate import generate
from ddpm_faces.models.checkpoint import load
from ddpm_faces.web.build import build_page, text_of
from ddpm_faces.web.serve import make_server


@pytest.fixture(scope="module", params=list(BROWSERS))
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    make, program, driver = BROWSERS[request.param]
    pytest.importorskip(driver)
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: apt install {program}")
    opened = make()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The address of a built page, by the model's name."""
    folder, built = tmp_path_factory.mktemp("pages"), {}

    def make(name: str, int8: bool = False) -> str:
        if (name, int8) not in built:
            path = folder / f"{name}{'-int8' if int8 else ''}.html"
            path.write_text(build_page(load(name), int8), encoding="utf-8")
            built[name, int8] = path.as_uri()
        return built[name, int8]

    return make


def wait(browser: Browser, condition: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not browser.run(f"return Boolean({condition})"):
        assert time.monotonic() < until, (
            f"not in {seconds} s: {condition}; {browser.run('return document.body.innerText')[:300]}"
        )
        time.sleep(0.05)


def finished(browser: Browser) -> np.ndarray:
    """The finished picture, in [-1, 1]."""
    wait(browser, "['ready', 'failed'].includes(document.body.dataset.state)")
    assert browser.run("return document.body.dataset.state") == "ready", browser.run("return document.body.innerText")[:300]
    return np.array(browser.run("return Array.from(window.drawn.image)"))


def moved(browser: Browser, act: Callable[[], None]) -> np.ndarray:
    """The finished picture after something was done."""
    browser.run("window.drawn = null")
    act()
    wait(browser, "window.drawn && document.body.dataset.state === 'ready'")
    return finished(browser)


def assert_close(mine: np.ndarray, theirs: torch.Tensor, most: float, mean: float) -> None:
    difference = np.abs(mine - theirs.numpy().ravel())
    assert difference.max() < most
    assert difference.mean() < mean


@pytest.mark.parametrize("int8, most, mean", [(False, 5e-3, 5e-4), (True, 8e-2, 5e-3)])
def test_a_face_is_pythons(browser, page, int8, most, mean):
    model = load("celeba64")
    smiling = model.labels.vector({"Smiling": 1.0})[None]
    browser.open(page("celeba64", int8) + "#seed=5&say=Smiling:1")
    assert_close(finished(browser), generate(model, smiling, seed=5, precision="no")[0], most, mean)
    browser.open(page("celeba64", int8) + "#seed=3")
    image = finished(browser)
    whole = torch.tensor([browser.run("return Array.from(window.drawn.condition)")])
    assert_close(image, generate(model, whole, seed=3, precision="no")[0], most, mean)
    assert browser.errors == []


def test_a_digit_is_pythons(browser, page):
    model = load("mnist32")
    browser.open(page("mnist32") + "#seed=2&say=7:1")
    assert_close(finished(browser), generate(model, model.labels.one_hot_vectors([7]), seed=2, precision="no")[0], 5e-3, 5e-4)


def test_a_students_face_is_pythons(browser, page):
    """In float64: at the noisiest step, of which a student makes half the face, Python's float32 is coarser than the page."""
    model = load("celeba64-two")
    browser.open(page("celeba64-two") + "#seed=1")
    image = finished(browser)
    condition = torch.tensor([browser.run("return Array.from(window.drawn.condition)")], dtype=torch.float64)
    model.network.double()
    x = torch.randn(model.image_shape, generator=torch.Generator().manual_seed(1))[None].double()
    *_, last = few(model.eps(condition), x, model.schedule, 2, lambda: x, clip=True)
    assert_close(image, last.x[0], 5e-3, 5e-4)


@pytest.mark.parametrize("seed, n", [(0, 12288), (2**32 + 5, 36), (7, 1024)])
def test_noise_is_torchs(browser, page, seed, n):
    browser.open(page("celeba64-two"))
    script = f"{text_of('random.js')}; window.noise = Array.from(randn({seed}, {n}));"
    browser.run(f"const s = document.createElement('script'); s.textContent = {script!r}; document.head.append(s);")
    wanted = torch.randn(n, generator=torch.Generator().manual_seed(seed))
    assert np.abs(np.array(browser.run("return window.noise")) - wanted.numpy()).max() < 1e-6


def test_the_page_works_from_http_and_asks_nobody(browser, page):
    path = Path(page("celeba64-two").removeprefix("file://"))
    with make_server(path, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        browser.open(address)
        finished(browser)
        assert browser.errors == []
        if browser.requests is not None:
            assert {url for url in browser.requests if not url.startswith(("data:", "blob:"))} == {address}
        assert browser.run("return fetch('/other').then(() => 'sent', () => 'refused')") == "refused"
        server.shutdown()


def test_a_slider_changes_the_face_by_mouse_and_by_keyboard(browser, page):
    browser.open(page("celeba64-two"))
    start = finished(browser)
    dragged = moved(browser, lambda: browser.drag("#slide-Eyeglasses", 1.0))
    assert browser.run("return document.getElementById('slide-Eyeglasses').getAttribute('aria-valuetext')") == "present"
    assert np.abs(dragged - start).mean() > 0.01
    assert "Eyeglasses:1" in browser.run("return location.hash")
    pressed = moved(browser, lambda: browser.press("#slide-Eyeglasses", "ArrowLeft"))
    assert 0 < np.abs(pressed - dragged).mean() < np.abs(dragged - start).mean()
    undone = moved(browser, lambda: browser.click("#undo"))
    assert np.array_equal(undone, dragged)
    assert np.array_equal(moved(browser, lambda: browser.click("#reset")), start)


def test_what_excludes_each_other_moves_along(browser, page):
    browser.open(page("celeba64-two") + "#seed=0&say=Brown_Hair:1,Young:1")
    finished(browser)
    moved(browser, lambda: browser.drag("#slide-Black_Hair", 1.0))
    hair = browser.run("return document.getElementById('slide-Brown_Hair').getAttribute('aria-valuetext')")
    assert hair.startswith("absent")


def test_locks_hold(browser, page):
    browser.open(page("celeba64-two") + "#seed=0&say=Brown_Hair:1,Young:1&lock=Brown_Hair")
    finished(browser)
    moved(browser, lambda: browser.drag("#slide-Black_Hair", 1.0))
    locked = "return document.getElementById('slide-Brown_Hair').getAttribute('aria-valuetext')"
    assert browser.run(locked) == "present"
    for _ in range(3):
        moved(browser, lambda: browser.click("#new"))
        assert browser.run(locked) == "present"
    assert browser.run("return document.getElementById('slide-Brown_Hair').disabled") is True


def test_a_link_reproduces(browser, page):
    browser.open(page("celeba64-two"))
    finished(browser)
    moved(browser, lambda: browser.click("#new"))
    image = moved(browser, lambda: browser.drag("#slide-Male", 0.7))
    link = browser.run("return location.href")
    browser.open(link)
    assert np.abs(finished(browser) - image).max() < 0.02  # the link has three digits of each value


def test_a_strip_goes_from_absent_to_present(browser, page):
    browser.open(page("celeba64-two"))
    finished(browser)
    browser.click('[aria-label="A strip of Eyeglasses"]')
    wait(browser, "[...document.querySelectorAll('#strip canvas')].filter((c) => c.width === 64).length === 7")
    assert browser.run("return document.querySelector('#strip h2').textContent") == "Eyeglasses, from absent to present"


def test_digits_have_buttons_and_a_blend(browser, page):
    browser.open(page("mnist32-fast"))
    finished(browser)
    seven = moved(browser, lambda: browser.click('[aria-label="First"] button:nth-child(8)'))
    assert browser.run("return location.hash") == "#seed=0&say=7:1"
    moved(browser, lambda: browser.click('[aria-label="Second"] button:nth-child(2)'))
    blended = moved(browser, lambda: browser.drag("#blend", 1.0))
    assert browser.run("return location.hash") == "#seed=0&say=1:1"
    assert np.abs(seven - blended).mean() > 0.02


@pytest.mark.parametrize(
    "hash", ["#seed=1e9&say=Smiling:2", "#<script>window.hacked=1</script>", "#seed=-1&guidance=abc", "#%E0%A4%A"]
)
def test_nonsense_in_the_address_is_ignored_with_a_note(browser, page, hash):
    browser.open(page("celeba64-two") + hash)
    finished(browser)
    assert "ignored" in browser.run("return document.getElementById('problem').textContent")
    assert browser.run("return window.hacked || document.querySelectorAll('#problem script').length") == 0


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_a_broken_engine_is_told(browser, page, tmp_path, harm):
    text = build_page(load("mnist32-fast"))
    first, last = text.index('type="application/json">["') + 26, text.index('"]</script>')
    broken = text[:first] + {"damaged": 'AGFzbQ=="'[:-1], "missing": ""}[harm] + text[last:]
    path = tmp_path / "broken.html"
    path.write_text(broken, encoding="utf-8")
    browser.open(path.as_uri())
    wait(browser, "document.body.dataset.state === 'failed'")
    assert "does not run here" in browser.run("return document.getElementById('problem').textContent")


@pytest.mark.parametrize("width, dark", [(400, True), (1200, False)])
def test_it_fits_the_window(browser, page, tmp_path, width, dark):
    browser.open(page("celeba64-two"), width, dark)
    finished(browser)
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    folder = Path(os.environ.get("PAGE_OUT") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    shot = folder / f"{type(browser).__name__.lower()}-{width}.png"
    browser.screenshot(shot)
    assert Image.open(shot).width >= 400
    unnamed = (
        "[...document.querySelectorAll('button, input')].filter((e) => !(e.ariaLabel || e.textContent || e.labels?.length))"
    )
    assert browser.run(f"return {unnamed}.length") == 0
