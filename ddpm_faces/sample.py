"""`python -m ddpm_faces.sample --set "Smiling,-Male" --n 16`: a labelled grid of faces, or of digits with --digits 0-9."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ddpm_faces import cli
from ddpm_faces.attributes import parse_digits
from ddpm_faces.cli import arg
from ddpm_faces.devices import PRECISIONS
from ddpm_faces.diffusion.samplers import SAMPLERS, default_steps
from ddpm_faces.errors import UserError

MOST = 10_000  # pictures a call


@dataclass(kw_only=True)
class Drawing:
    """What every command that draws pictures may be told."""

    model: str | None = arg(None, "a shipped name (celeba64, mnist32), a run's folder or a file; by default what fits")
    guidance: float | None = arg(None, "0 ignores the condition, 1 is plain, more exaggerates (default: the model's own)")
    sampler: str = arg("dpm", "the sampler", choices=tuple(SAMPLERS))
    steps: int | None = arg(None, "network evaluations a picture (default: dpm 15, ddim 50, ddpm all of the schedule)")
    seed: int = arg(0, "picture (in a strip, row) i starts from the noise of seed + i")
    batch_size: int = arg(64, "pictures at a time; changes speed and memory, not the pictures")
    device: str = arg("auto", "cpu, cuda, cuda:1, mps")
    precision: str = arg("auto", "arithmetic: auto takes what the hardware does well", choices=PRECISIONS)

    def __post_init__(self):
        if not 0 <= self.seed < 2**62:
            raise UserError(f"--seed {self.seed} is out of range: 0 to 2^62")

    def load(self, fallback: str):
        """The DiffusionModel asked for, or the shipped one called `fallback`, on the device asked for."""
        from ddpm_faces.checkpoint import load

        return load(fallback if self.model is None else self.model, self.device)

    def options(self, model) -> dict:
        """Keyword arguments of `generate`."""
        steps = default_steps(self.sampler, model.schedule) if self.steps is None else self.steps
        return {
            "guidance": self.guidance, "sampler": self.sampler, "steps": steps,
            "batch_size": self.batch_size, "precision": self.precision, "progress": True,
        }  # fmt: skip


@dataclass(kw_only=True)
class Sampling(Drawing):
    """What every command that makes one picture file of samples may be told."""

    set: str = arg("", 'attributes, as in "Smiling,-Male,Young=0.5"; what is not named is left open', metavar="SPEC")
    n: int | None = arg(None, "how many pictures; in a strip, how many rows")
    out: Path | None = arg(None, "the picture to write (default: in out/)", metavar="FILE")

    def __post_init__(self):
        super().__post_init__()
        if self.n is not None and not 1 <= self.n <= MOST:
            raise UserError(f"--n {self.n} is out of range: 1 to {MOST}")


def short_name(model) -> str:
    """What to call a model in a title or a folder's name."""
    source = Path(model.source)
    return source.parent.name if source.stem == "model" else source.stem  # a run's folder says more than its file


def describe(model, conditions, options: dict, seed: int) -> str:
    """One line that lets a picture be made again."""
    guidance = options["guidance"]
    if guidance is None:  # the model's own, which depends on how much is said
        scales = model.guidance_for(conditions)
        guidance = " to ".join(dict.fromkeys(f"{scale:.4g}" for scale in (scales.min(), scales.max())))
    else:
        guidance = f"{guidance:g}"
    return f"{short_name(model)}, guidance {guidance}, {options['sampler']} {options['steps']} steps, seed {seed}"


@dataclass(kw_only=True)
class SampleConfig(Sampling):
    """The settings of `sample`."""

    digits: str | None = arg(None, "for digit models: 0-9 or 3,5,8; one column each")


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    config = cli.parse(SampleConfig, argv, (__doc__ or "").splitlines()[0])
    from ddpm_faces import images
    from ddpm_faces.checkpoint import require
    from ddpm_faces.generation import generate, to_conditions

    path = images.check_path(config.out or Path("out") / ("digits.png" if config.digits else "samples.png"))
    digits = parse_digits(config.digits) if config.digits is not None else []
    model = config.load("mnist32" if digits else "celeba64")
    if digits:
        require(model, "digits")
    if config.set:
        require(model, "attributes")
    if model.config.kind == "digits" and not digits and not config.set:
        digits = list(range(10))
    count = config.n or (4 * len(digits) if digits else 16)
    conditions = to_conditions(model, digits or config.set, count)
    options = config.options(model)
    pictures = generate(model, conditions, seed=config.seed, **options)
    asked = "digits " + (config.digits or "0-9") if digits else config.set or "nothing asked for"
    made = describe(model, conditions, options, config.seed)
    sheet = images.grid(
        pictures,
        columns=min(count, len(digits) or 8 if count > 16 or digits else 4),
        top=[str(d) for d in digits][:count],
        title=f"{asked}; {made}",
    )
    images.save(sheet, path)
    print(f"{path}: {count} pictures ({asked}; {made})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
