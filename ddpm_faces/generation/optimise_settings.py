"""The settings of `optimise`. This module imports no torch, so that `--help` is fast."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ddpm_faces.generation.face_settings import FaceSettings

OUTPUT = ("show_saliency", "gif", "out", "device", "threads", "resume")  # of one call, and no part of the search


class OptimiseSettings(FaceSettings):
    """What to search for, how, and where the sheet goes."""

    set: str = Field("", description='what the pictures should show, as in "Eyeglasses,Bangs"; a digit as "7"')
    model: str = Field("celeba64", description="a shipped name, a run's folder or a file")
    n: int | None = Field(None, ge=1, le=64, description="how many starts (default: 4; of a photo, 1)")
    seed: int = Field(0, ge=0, lt=2**62, description="start i is the noise of seed + i")
    photo: Path | None = Field(None, title="FILE", description="start from the noise behind this photo, and stay near it")
    others: Literal["drawn", "unsaid"] = Field("drawn", description="the attributes that --set does not name")
    method: str = Field("sgool", description="sgool, doodl, one-step, or best-of (fresh starts)")
    iterations: int = Field(50, ge=1, le=10_000, description="steps of the search at most")
    margin: float = Field(2.0, description="a start stops when the worst logit is so far beyond even odds")
    beta: float = Field(0.5, ge=0, le=1, description="weight of the salient part beside the whole picture")
    stay: float | None = Field(None, ge=0, le=1000, description="weight of staying near (default: 0; of a photo, 2)")
    keep: str = Field("bands", description="what keeps the noise white: bands, norm or amplitudes")
    guidance: float | None = Field(None, ge=-100, le=100, description="guidance scale (default: the model's; of a photo, 2)")
    steps: int = Field(10, ge=2, le=900, description="steps of the chain of sampling")
    classifier: Path | None = Field(None, title="FILE", description="that of the loss (default: the shipped one that fits)")
    show_saliency: bool = Field(False, description="add a row that shows where the search looked last")
    gif: bool = Field(False, description="write the search as an animation, too")
    resume: Path | None = Field(None, title="FILE", description="go on with the search that wrote this file of starts")
    out: Path | None = Field(None, title="FILE", description="the image file to write (default: a new one in out/)")
    device: str = Field("auto", description="cpu, cuda, cuda:1, mps")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads (default: by a short probe)")

    @model_validator(mode="after")
    def _possible(self) -> OptimiseSettings:
        if self.photo is not None and (self.n or 1) != 1:
            raise ValueError("a photo is one start: leave --n away")
        if self.photo is not None and self.others == "unsaid":
            raise ValueError("of a photo, the other attributes are estimated: leave --others away")
        if self.photo is None and (self.aligned or self.eyes or self.face > 1):
            raise ValueError("--aligned, --eyes and --face say where the face of a --photo is: name one")
        if self.gif and self.out is not None and self.out.suffix.lower() == ".gif":
            raise ValueError("--gif writes the animation beside the sheet: end --out in .png, or leave --gif away")
        return self

    def resumed(self, kept: dict[str, object]) -> OptimiseSettings:
        """The settings of a search that goes on: `kept`, as they were, but for those that may change. Raises ValueError."""
        mine, free = self.model_dump(mode="json"), {*OUTPUT, "iterations", "margin"}
        other = sorted(name for name in self.model_fields_set - free if mine[name] != kept.get(name))
        if other:
            raise ValueError(f"{self.resume} is a search with another --{other[0].replace('_', '-')}: leave that away")
        return OptimiseSettings.model_validate(kept | {name: mine[name] for name in self.model_fields_set & free})
