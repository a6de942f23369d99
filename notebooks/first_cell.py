# On Colab this cell installs the package. With DRIVE = True the notebook works in a folder of your Google Drive, which outlives
# a disconnect. Elsewhere the cell does nothing: `make setup`, or pip, has installed the package already.
DRIVE = False

import sys

ON_COLAB = "google.colab" in sys.modules
if ON_COLAB:
    import importlib.util
    import os
    import subprocess

    if importlib.util.find_spec("ddpm_faces") is None:
        subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", "git+ADDRESS"])
    if DRIVE:
        from google.colab import drive

        drive.mount("/content/drive")
        os.makedirs("/content/drive/MyDrive/ddpm_faces", exist_ok=True)
        os.chdir("/content/drive/MyDrive/ddpm_faces")  # where runs/ and out/ will be
