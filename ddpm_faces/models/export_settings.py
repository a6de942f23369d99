"""The settings of `export`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ddpm_faces.utils.settings import Settings


class ExportSettings(Settings):
    """Which model, and the file to write."""

    model: str = Field("celeba64", description="a shipped name, a run's folder or a file")
    out: Path | None = Field(None, title="FILE", description="the ONNX file to write (default: out/MODEL.onnx)")
    import_: tuple[str, ...] = Field((), title="MODULE", description="a Python module that registers a network of your own")
