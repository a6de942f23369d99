"""Compile engine.c to WebAssembly by the C compiler in the PyPI package ziglang: for whoever changes engine.c.

Without arguments both binaries are made anew, beside their source; with arguments, one: flags, then the file to write.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FLAGS = ["--target=wasm32-freestanding", "-O3", "-msimd128", "-nostdlib", "-Wl,--no-entry", "-Wl,--strip-all"]


def compile_engine(out: Path, *flags: str) -> None:
    """Write `out`, the WebAssembly of engine.c. Raises CalledProcessError where the compiler is missing or fails."""
    command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, "-Wl,-z,stack-size=65536", *flags, "-o", str(out), "engine.c"]
    subprocess.run(command, check=True, cwd=HERE)
    out.chmod(0o644)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        compile_engine(Path(sys.argv[-1]).resolve(), *sys.argv[1:-1])
    else:
        compile_engine(HERE / "engine.wasm")
        compile_engine(HERE / "engine-relaxed.wasm", "-mrelaxed-simd")
