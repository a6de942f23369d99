"""The settings of `optimise`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ddpm_faces.utils.settings import Settings


class OptimiseSettings(Settings):
    """What to search for, how, and where the sheet goes."""

    set: str = Field("", description='what the pictures should show, as in "Eyeglasses,Bangs"; a digit as "7"')
    model: str = Field("celeba64", description="a shipped name, a run's folder or a file")
    n: int = Field(4, ge=1, le=64, description="how many starts")
    seed: int = Field(0, ge=0, lt=2**62, description="start i is the noise of seed + i")
    method: str = Field("sgool", description="sgool (the salient part, too), doodl (the whole), or best-of (fresh starts)")
    iterations: int = Field(50, ge=1, le=10_000, description="steps of the search at most; of best-of, starts for each picture")
    margin: float = Field(3.0, description="a start stops when the classifier's worst logit is so far beyond even odds")
    beta: float = Field(0.5, ge=0, le=1, description="weight of the salient part beside the whole picture")
    guidance: float | None = Field(None, ge=-100, le=100, description="guidance scale (default: the model's)")
    classifier: Path | None = Field(None, title="FILE", description="that of the loss (default: the shipped one that fits)")
    show_saliency: bool = Field(False, description="add a row that shows where the search looked last")
    out: Path | None = Field(None, title="FILE", description="the image file to write (default: a new one in out/)")
    device: str = Field("auto", description="cpu, cuda, cuda:1, mps")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads (default: by a short probe)")
