"""The noise predictor (unet) and the wrapper that gives it conditions (conditioning)."""
