"""The settings of an edit. This module imports no torch, so that `--help` is fast."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ddpm_faces.generation.face_settings import FaceSettings
from ddpm_faces.utils.settings import WORDS


class EditSettings(FaceSettings):
    """The settings of `edit`."""

    photos: tuple[Path, ...] = Field((), title="PHOTO", description="photos, or folders of them", json_schema_extra=WORDS)
    set: str = Field("", description='what to change, as in "Eyeglasses" or "Smiling,-Eyeglasses,Blond_Hair=0.5"')
    attributes: str = Field("", description='what is known of the person, where the estimate errs, as in "Male,Young"')
    strength: float | Literal["auto"] = Field("auto", description="auto, or 1 (faint) to 6 (exaggerated)", title="STRENGTH")
    model: str = Field("celeba64", description="a shipped name, a run's folder or a file")
    classifier: Path | None = Field(None, title="FILE", description="that of the model (default: the shipped one that fits)")
    method: str = Field("difference", description="difference, noised, ddpm, ddim, o-belm, bdia or edict")
    steps: int = Field(10, ge=1, le=1000, description="steps of the inversion")
    depth: float = Field(0.95, gt=0, le=1, description="share of the noise schedule that the inversion climbs")
    keep: Literal["region", "all", "none"] = Field("region", description="change the attribute's region, or all; none: sample")
    all_faces: bool = Field(False, description="edit every face of a photo")
    compare: bool = Field(False, description="write photo, edit, change and region side by side, too")
    strip: bool = Field(False, description="write a strip from the photo to beyond the edit, too")
    gif: bool = Field(False, description="write the strip as an animation, too")
    out: Path | None = Field(None, title="PATH", description="the image to write, or the folder (default: out/)")
    note: bool = Field(True, description="say in the file's metadata that it was edited")
    seed: int = Field(0, ge=0, lt=2**62, description="seed of the noise of the methods that need some")
    device: str = Field("auto", description="cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "no", "bf16", "fp16"] = Field("auto", description="arithmetic; auto takes what is fast")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads (default: by a short probe)")

    @model_validator(mode="after")
    def _enough(self) -> EditSettings:
        if not self.photos:
            raise ValueError('say which photo to edit, as in: edit photo.jpg --set "Eyeglasses"')
        if (self.strip or self.gif) and not self.set:
            raise ValueError("a strip needs something to change: --set Smiling")
        if self.aligned and self.all_faces:
            raise ValueError("--aligned pictures hold one face: leave --eyes, --face and --all-faces away")
        return self
