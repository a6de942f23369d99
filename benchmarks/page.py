"""`python -m benchmarks.page --ort FOLDER`: the page in chromium, beside the same network in onnxruntime-web, in turns.

FOLDER is `dist` of the npm package onnxruntime-web (`npm pack onnxruntime-web`, unpacked). Both run in one thread.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import threading
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pydantic import Field

from ddpm_faces.models.checkpoint import load
from ddpm_faces.models.onnx import export_onnx
from ddpm_faces.utils.settings import Settings, command, parse
from ddpm_faces.web.build import build_page
from experiments.machine import describe, machine

# As many guided calls as the page makes: a batch of two, the steps one after the other.
ORT_PAGE = """<!doctype html><script src="ort.wasm.min.js"></script><script>
ort.env.wasm.numThreads = 1;
const state = {};
(async () => {
  const session = await ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] });
  state.ready = performance.now();
  state.draw = async (steps) => {
    const began = performance.now(), times = [], n = 2 * 3 * 64 * 64;
    const x = Float32Array.from({ length: n }, (_, i) => Math.sin(i)), c = new Float32Array(80).fill(0.5);
    for (let i = 0; i < steps; i++) {
      const t = new BigInt64Array(2).fill(BigInt(Math.round(999 * (1 - i / steps))));
      const feeds = { x: new ort.Tensor("float32", x, [2, 3, 64, 64]), t: new ort.Tensor("int64", t, [2]) };
      await session.run({ ...feeds, c: new ort.Tensor("float32", c, [2, 40]) });
      times.push(performance.now() - began);
    }
    return times;
  };
  document.title = "ready";
})();
</script>"""


class PageBenchSettings(Settings):
    """What to measure."""

    ort: Path = Field(..., title="FOLDER", description="dist of the npm package onnxruntime-web")
    rounds: int = Field(5, ge=1, le=100, description="turns")
    out: Path = Field(Path("out/bench-page.json"), title="FILE", description="where the figures go")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def _ours(browser: Any, address: str) -> dict[str, float]:
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector("body[data-state=ready]", timeout=120_000)
    ready = page.evaluate("performance.getEntriesByName('ready')[0].startTime")
    page.evaluate("window.drawn = null; newPerson(1)")
    page.wait_for_selector("body[data-state=drawing]")
    page.wait_for_selector("body[data-state=ready]", timeout=120_000)
    times = page.evaluate("window.drawn.times")
    page.close()
    return {"ready": ready, "first": times[0], "finished": times[-1]}


def _onnxruntime(browser: Any, address: str) -> dict[str, float]:
    page = browser.new_page()
    page.goto(address)
    page.wait_for_function("document.title === 'ready'", timeout=120_000)
    page.evaluate("state.draw(1)")  # the first run prepares
    times = page.evaluate("state.draw(15)")
    ready = page.evaluate("state.ready")
    page.close()
    return {"ready": ready, "first": times[0], "finished": times[-1]}


def measure(settings: PageBenchSettings) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = ("celeba64", "celeba64-two", "celeba64-one")
        for model in models:
            (folder / f"{model}.html").write_text(build_page(load(model)), encoding="utf-8")
        for file in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
            shutil.copy(settings.ort / file, folder)
        (folder / "ort.html").write_text(ORT_PAGE, encoding="utf-8")
        export_onnx(load("celeba64"), folder / "model.onnx")
        engine = sum((folder / f).stat().st_size for f in ("ort.wasm.min.js", "ort-wasm-simd-threaded.wasm", "model.onnx"))
        sizes = {"onnxruntime-web": engine, **{m: (folder / f"{m}.html").stat().st_size for m in models}}
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=name))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in (*models, "onnxruntime-web")}
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for _ in range(settings.rounds):
                for model in models:
                    rows[model].append(_ours(browser, f"{address}/{model}.html"))
                rows["onnxruntime-web"].append(_onnxruntime(browser, f"{address}/ort.html"))
            version = browser.version
            browser.close()
        server.shutdown()
    best = {name: {key: min(run[key] for run in runs) for key in runs[0]} for name, runs in rows.items()}
    median = {name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in rows.items()}
    return {"machine": machine("cpu"), "chromium": version, "bytes": sizes, "best, ms": best, "median, ms": median}


@command
def main(argv: Sequence[str] | None = None) -> None:
    settings = parse(PageBenchSettings, argv, __doc__)
    results = measure(settings)
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    settings.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"{describe(results['machine'])}; chromium {results['chromium']}\n")
    print("| | size | ready after | first change | finished |\n|---|---|---|---|---|")
    for name, times in results["best, ms"].items():
        shown = " | ".join(f"{times[key] / 1000:.2f} s" for key in ("ready", "first", "finished"))
        print(f"| {name} | {results['bytes'][name] / 1e6:.1f} MB | {shown} |")


if __name__ == "__main__":
    sys.exit(main())
