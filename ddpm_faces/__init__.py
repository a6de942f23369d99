"""Attribute-conditional denoising diffusion, small enough to read."""
