"""The settings of `page`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ddpm_faces.utils.settings import Settings


class PageSettings(Settings):
    """What the page holds, and where it goes."""

    model: str = Field("celeba64", description="a shipped name, a run's folder or a file of the package's U-Net")
    out: Path | None = Field(None, title="FILE", description="the HTML file to write (default: out/MODEL.html)")
    int8: bool = Field(False, description="round the kernels to 8 bits: a smaller file, and faces a little less exact")
    serve: bool = Field(False, description="serve the page on 127.0.0.1 until Ctrl-C")
    port: int = Field(8000, ge=0, le=65535, description="where to serve it; 0 takes any free port")
