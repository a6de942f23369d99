"""The settings of `evaluate`. No torch is imported."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from ddpm_faces.evaluation import LEAST, ON_DEMAND, PARTS
from ddpm_faces.generation.settings import SamplingSettings

MOST = 100_000  # images


class EvaluateSettings(SamplingSettings):
    """What to measure of which model, and on how many images."""

    data_root: Path = Field(Path("data"), description="folder that holds the data set that the model was trained on")
    data: str | None = Field(None, description="the data set (default: what the model says of itself)")
    table: Path | None = Field(None, title="FILE", description="table of labels of --data folder, if it is not in the folder")
    from_: Path | None = Field(
        None, title="FOLDER|NPZ", description="measure the quality of images that are there already, by whatever made them"
    )
    n: int = Field(1000, ge=LEAST, le=MOST, description="images")
    only: tuple[str, ...] = Field(
        tuple(part for part in PARTS if part not in ON_DEMAND), title="PART", description=f"parts to do, of {', '.join(PARTS)}"
    )
    extractor: str | None = Field(
        None, description="attributes or classes (the features of the classifier, the default), or inception"
    )
    inception_weights: Path | None = Field(
        None, title="FILE", description="torch-fidelity's InceptionV3, if it cannot be downloaded"
    )
    classifier: Path | None = Field(None, title="FILE", description="the attribute classifier (default: the shipped one)")
    each: int = Field(16, ge=1, le=1000, description="images with and without, of each attribute asked alone")
    persons: int = Field(4, ge=1, le=1000, description="strips of each attribute")
    edits: int = Field(48, ge=2, le=10_000, description="real faces of each attribute to edit, half of which have it")
    edit_curves: int = Field(4, ge=0, le=1000, description="the same, for every method and strength of the curves; 0 for none")
    judge: str | None = Field(None, title="FILE", description="classifier that judges edits (default: celeba64-judge)")
    sweep_n: int = Field(256, ge=LEAST, le=MOST, title="N", description="images a point of the sweep")
    write_guidance: bool = Field(False, description="after a sweep, write the guidance chosen into the model's file")
    out: Path | None = Field(None, title="FOLDER", description="the report's folder (default out/evaluate-MODEL)")

    @model_validator(mode="after")
    def _sweep_is_done(self) -> EvaluateSettings:
        if self.write_guidance and "sweep" not in self.only:
            raise ValueError("--write-guidance takes the guidance from a sweep: add --only sweep")
        if self.from_ is not None and "only" in self.model_fields_set and self.only != ("quality",):
            raise ValueError("--from gives images without a model: of the parts only quality can be measured of them")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts to do: images that are there already have their quality alone."""
        return self.only if self.from_ is None else ("quality",)
