"""Measurements that train models: each is a command, resumable, whose figures are in experiments/README.md."""
