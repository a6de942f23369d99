"""The U-Net (unet), and the noise predictor made of it and a condition (conditioning)."""
