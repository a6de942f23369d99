"""Two real browsers behind one face: Debian's chromium, driven by playwright, and its firefox-esr, driven by marionette."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

KEYS = {"ArrowLeft": "\ue012", "ArrowRight": "\ue014", "Space": " "}


class Browser(Protocol):
    """What the tests do. `run` takes the body of a function and returns its JSON value; `requests` is None where unknown."""

    requests: list[str] | None
    errors: list[str]

    def open(self, url: str, width: int = 1200, dark: bool = False) -> None: ...
    def run(self, body: str) -> Any: ...
    def click(self, selector: str) -> None: ...
    def drag(self, selector: str, share: float) -> None: ...
    def press(self, selector: str, key: str) -> None: ...
    def screenshot(self, path: Path) -> None: ...
    def close(self) -> None: ...


class Chromium:
    """Chromium, with every console error, uncaught exception and request on record."""

    def __init__(self) -> None:
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        self.page: Any = None
        self.requests: list[str] | None = []
        self.errors: list[str] = []

    def open(self, url: str, width: int = 1200, dark: bool = False, height: int = 900) -> None:
        if self.page:
            self.page.close()
        self.requests, self.errors = [], []
        self.page = self._browser.new_page(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))  # type: ignore[union-attr]
        self.page.goto(url)

    def run(self, body: str) -> Any:
        return self.page.evaluate(f"() => {{ {body} }}")

    def click(self, selector: str) -> None:
        self.page.click(selector)

    def drag(self, selector: str, share: float) -> None:
        self.page.locator(selector).scroll_into_view_if_needed()
        box = self.page.locator(selector).bounding_box()
        y = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + box["width"] / 2, y)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + share * box["width"], y, steps=4)
        self.page.mouse.up()

    def press(self, selector: str, key: str) -> None:
        self.page.focus(selector)
        self.page.keyboard.press(key)

    def screenshot(self, path: Path) -> None:
        self.page.screenshot(path=path, full_page=True)

    def close(self) -> None:
        self._browser.close()
        self._playwright.stop()


class Firefox:
    """Firefox ESR. Uncaught errors are recorded from the moment at which the page has loaded; requests are not."""

    def __init__(self) -> None:
        from marionette_driver.marionette import Marionette

        self._profile = tempfile.mkdtemp()
        preferences = {"marionette.port": 0, "datareporting.policy.dataSubmissionEnabled": False}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()]
        Path(self._profile, "user.js").write_text("\n".join(lines))
        command = ["firefox-esr", "--headless", "--marionette", "--no-remote", "--profile", self._profile]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        active, until = Path(self._profile, "MarionetteActivePort"), time.monotonic() + 60
        while not (active.exists() and active.read_text()) and time.monotonic() < until:
            time.sleep(0.1)
        self._driver = Marionette(host="127.0.0.1", port=int(active.read_text()))
        self._driver.start_session()
        self.requests: list[str] | None = None

    @property
    def errors(self) -> list[str]:
        found: list[str] = self.run("return window.uncaught || []")
        return found

    def open(self, url: str, width: int = 1200, dark: bool = False) -> None:
        self._driver.set_window_rect(width=width, height=900)
        self._driver.navigate("about:blank")  # so that a new hash loads the page anew
        self._driver.navigate(url)
        self.run("window.uncaught = []; addEventListener('error', (event) => window.uncaught.push(event.message));")

    def run(self, body: str) -> Any:
        return self._driver.execute_script(body, sandbox=None)

    def _find(self, selector: str) -> Any:
        return self._driver.find_element("css selector", selector)

    def click(self, selector: str) -> None:
        self._find(selector).click()

    def drag(self, selector: str, share: float) -> None:
        from marionette_driver.marionette import ActionSequence

        slider = self._find(selector)
        self.run(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{ block: 'center' }})")
        width = slider.rect["width"]
        mouse = ActionSequence(self._driver, "pointer", "mouse", {"pointerType": "mouse"})
        mouse.pointer_move(0, 0, origin=slider).pointer_down()
        mouse.pointer_move(int((share - 0.5) * width), 0, duration=100, origin=slider).pointer_up().perform()

    def press(self, selector: str, key: str) -> None:
        self._find(selector).send_keys(KEYS[key])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._driver.screenshot(full=True)))

    def close(self) -> None:
        self._driver.delete_session()
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)


BROWSERS = {"chromium": (Chromium, "chromium", "playwright"), "firefox": (Firefox, "firefox-esr", "marionette_driver")}
