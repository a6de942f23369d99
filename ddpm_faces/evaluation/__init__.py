"""How good a model's pictures are and how well it obeys: what `python -m ddpm_faces.evaluate` measures."""
