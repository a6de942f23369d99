"""The ten classes of MNIST and of the toy digits."""

from ddpm_faces.conditions.labels import Labels

DIGITS = Labels(tuple("0123456789"), one_hot=True)
