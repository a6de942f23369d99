"""Training: settings, the loop, and a run with all that it leaves behind."""
