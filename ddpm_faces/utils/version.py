"""The package's one version number, for setup.cfg, `--version` and `ddpm_faces.__version__`."""

__version__ = "0.2.0"
