"""Measuring a model: every part measures, draws and words one section of the report of `python -m ddpm_faces.evaluate`."""

# Part -> its module, which has what `part.PartModule` says; imported when it is asked for.
PARTS = {
    "quality": "ddpm_faces.evaluation.quality",
    "control": "ddpm_faces.evaluation.control",
    "strips": "ddpm_faces.evaluation.strips",
    "memorisation": "ddpm_faces.evaluation.memorisation",
    "editing": "ddpm_faces.evaluation.editing",
    "sweep": "ddpm_faces.evaluation.sweep",
}
ON_DEMAND = ("editing", "sweep")  # parts that take long, and are done where --only names them
LEAST = 64  # images, for any statistic at all
