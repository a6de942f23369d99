"""From conditions and noise to images: `generate`, and strips and boards made with it."""
