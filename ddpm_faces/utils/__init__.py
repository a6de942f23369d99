"""Private helpers that know nothing of diffusion: settings, files, devices, images, errors."""
