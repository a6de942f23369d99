"""Which face of a photo is meant. This module imports no torch, so that `--help` is fast."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from ddpm_faces.utils.settings import Settings


class FaceSettings(Settings):
    """The settings that say where in a photo the face is."""

    face: int = Field(1, ge=1, le=1000, description="which face of a photo, by size")
    eyes: tuple[float, ...] = Field((), title="X1,Y1,X2,Y2", description="where the eyes are, in pixels, if none is found")
    aligned: bool = Field(False, description="the photos are aligned already: CelebA's own images, or square crops of them")

    @field_validator("eyes")
    @classmethod
    def _two_points(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) not in (0, 4):
            raise ValueError("--eyes takes four numbers: x1,y1,x2,y2")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> FaceSettings:
        if self.aligned and (self.eyes or self.face > 1):
            raise ValueError("--aligned pictures hold one face: leave --eyes and --face away")
        return self
