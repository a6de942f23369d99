"""Sample from an exported model without torch: python sample_onnx.py model.onnx Smiling,-Male face.png"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image


def sample(path: str, spec: str, seed: int = 0) -> np.ndarray:
    """An image (C, H, W) in [-1, 1] by DPM-Solver++(2M), Lu et al. 2022b, or on a student's few steps by DDIM."""
    session = onnxruntime.InferenceSession(path)
    about = json.loads(session.get_modelmeta().custom_metadata_map["ddpm_faces"])
    alpha_bar, timesteps = np.array(about["alpha_bar"]), about["timesteps"]
    c = np.zeros((2, len(about["names"])), np.float32)  # the first says nothing
    for word in filter(None, spec.split(",")):
        c[1, about["names"].index(word.removeprefix("-"))] = -1 if word.startswith("-") else 1
    said = max(np.abs(c).sum(), 1)
    share = np.log(said) / np.log(max(len(about["names"]), 2))
    guidance = about["guidance_alone"] + (about["guidance"] - about["guidance_alone"]) * share

    x = np.random.default_rng(seed).standard_normal((1, *about["image"])).astype(np.float32)
    log_snr = 0.5 * np.log(alpha_bar / (1 - alpha_bar))
    last, last_width = x, np.inf
    for t, s in zip(timesteps, [*timesteps[1:], None], strict=True):
        both = {"x": np.repeat(x, 2, axis=0), "t": np.full(2, t, np.int64), "c": c}
        none, asked = session.run(None, both)[0]
        eps = none + guidance * (asked - none)  # classifier-free guidance
        ab_t, ab_s = alpha_bar[t], 1.0 if s is None else alpha_bar[s]
        x0 = np.clip((x - np.sqrt(1 - ab_t) * eps) / np.sqrt(ab_t), -1, 1)
        width = np.inf if s is None else log_snr[s] - log_snr[t]
        ahead = width / last_width / 2 if about["sampler"] == "dpm" and s is not None else 0
        d = x0 + ahead * (x0 - last)
        x = np.sqrt(ab_s) * d + np.sqrt((1 - ab_s) / (1 - ab_t)) * (x - np.sqrt(ab_t) * d)
        x, last, last_width = x.astype(np.float32), x0, width
    return x[0]


if __name__ == "__main__":
    image = sample(sys.argv[1], sys.argv[2])
    pixels = ((image.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8).transpose(1, 2, 0)
    Image.fromarray(pixels.squeeze()).resize((256, 256)).save(sys.argv[3])
