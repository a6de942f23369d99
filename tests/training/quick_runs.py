"""Short runs on a small copy of CelebA, for the tests of `python -m ddpm_faces.train`."""

from __future__ import annotations

from pathlib import Path

from ddpm_faces.train import main

QUICK = {
    "preset": "toy32",
    "batch-size": "4",
    "log-every": "2",
    "device": "cpu",
    "epochs": "1",
    "save-every": "3",
    "sample-every": "0",
}


def flags(**values: str | int | float | bool | Path | None) -> list[str]:
    """QUICK, but for these values (True: a switch; None: not said)."""
    named = {name.strip("_").replace("_", "-"): value for name, value in values.items()}
    words: list[str] = []
    for name, value in {**QUICK, **named}.items():
        if value is not None:
            words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return words


def run(celeba: Path, out: Path, **values: str | int | float | bool | Path | None) -> int:
    """The status of a short run on this copy of CelebA, in the folder `out`."""
    return main(flags(data="celeba", data_root=celeba, out=out, **values))


def refuse(capsys, argv: list[str]) -> str:
    """The one line that main prints, besides a bar of decoding, when it refuses argv with status 2."""
    assert main(argv) == 2
    err = capsys.readouterr().err
    lines = [line for line in err.replace("\r", "\n").splitlines() if line.strip() and not line.startswith("decoding ")]
    assert len(lines) == 1 and lines[0].startswith("ddpm_faces: ") and "Traceback" not in err, err
    return lines[0]
