"""The settings that every command shares which samples images. No torch is imported before a model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ddpm_faces.utils.plugins import import_modules
from ddpm_faces.utils.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from ddpm_faces.models.model import DiffusionModel

MOST, MOST_FILES = 10_000, 1_000_000  # images in a grid, and in a folder or an array


class SamplingSettings(Settings):
    """How to sample: from which model, by which sampler, and where."""

    model: str | None = Field(None, description="a shipped name (celeba64, mnist32), a run's folder or a file")
    guidance: float | None = Field(
        None, description="0 ignores the condition, 1 is plain, more exaggerates (default: the model's)"
    )
    sampler: str | None = Field(
        None, description="dpm, ddim, ddpm, few, or a name that an --import registers (default: the model's)"
    )
    steps: int | None = Field(
        None, description="steps of the sampler (default: the model's; dpm 15, ddim 50, ddpm the whole schedule, few 4)"
    )
    seed: int = Field(0, ge=0, lt=2**62, description="image (in a strip, row) i starts from the noise of seed + i")
    batch_size: int = Field(64, ge=1, le=65536, description="images at a time; changes speed and memory, not the images")
    device: str = Field("auto", description="cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "no", "bf16", "fp16"] = Field(
        "auto", description="arithmetic; auto takes what the hardware does well"
    )
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads (default: by a short probe)")
    import_: tuple[str, ...] = Field((), description="a Python module that registers samplers or networks of your own")

    def load(self, fallback: str) -> DiffusionModel:
        """The model asked for, or the shipped one called `fallback`, on the device asked for."""
        from ddpm_faces.models.checkpoint import load
        from ddpm_faces.utils.threads import use_threads

        import_modules(self.import_)
        use_threads(self.threads)
        return load(fallback if self.model is None else self.model, self.device)

    def options(self, model: DiffusionModel) -> dict[str, Any]:
        """Keyword arguments of `generate`. UserError on a sampler that is not registered."""
        from ddpm_faces.generation.generate import find_sampler_for

        sampler, steps = find_sampler_for(model, self.sampler, self.steps)
        return {
            "guidance": self.guidance, "sampler": sampler.name, "steps": steps,
            "batch_size": self.batch_size, "precision": self.precision, "progress": True,
        }  # fmt: skip


class ImageSettings(SamplingSettings):
    """The settings of a command that writes one image file of samples."""

    set: str = Field("", description='attributes, as in "Smiling,-Male,Young=0.5"; the others are left open')
    list_attributes: bool = Field(False, description="print the model's attributes or classes, and do nothing else")
    n: int | None = Field(None, ge=1, le=MOST_FILES, description="how many images; in a strip, how many rows")
    out: Path | None = Field(None, description="the image file to write (default: a new one in out/)")


def describe(model: DiffusionModel, conditions: Tensor, options: dict[str, Any], seed: int) -> str:
    """One line from which an image can be made again."""
    guidance = options["guidance"]
    scales = model.guidance_for(conditions) if guidance is None else [guidance]
    shown = " to ".join(dict.fromkeys(f"{float(scale):.4g}" for scale in (min(scales), max(scales))))
    return f"{model.name}, guidance {shown}, {options['sampler']} {options['steps']} steps, seed {seed}"
