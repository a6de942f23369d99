"""What a training begins with: fresh weights, those of a trained model (init_from), or the state of a run (resume)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ddpm_faces.data import find_source
from ddpm_faces.data.dataset import Dataset
from ddpm_faces.models import checkpoint
from ddpm_faces.models.architectures import find_preset
from ddpm_faces.models.model import Config, DiffusionModel, Facts
from ddpm_faces.training import run_folder
from ddpm_faces.training.config import TrainSettings
from ddpm_faces.training.loop import Saved, TrainState
from ddpm_faces.training.run_folder import Progress
from ddpm_faces.utils.errors import UserError
from ddpm_faces.utils.plugins import import_modules

if TYPE_CHECKING:
    from accelerate import Accelerator


def check_names(settings: TrainSettings) -> None:
    """Raises UserError where a data set, preset or crop is named that there is not."""
    import_modules(settings.import_)
    crops = find_source(settings.data).crops
    find_preset(settings.preset)
    if settings.resume is None and settings.crop not in (None, *crops):
        raise UserError(f"no crop '{settings.crop}' of {settings.data}: choose {', '.join(crops) or 'none'}")


def with_conditions(dataset: Dataset, settings: TrainSettings) -> Dataset:
    """The dataset with those conditions that the run trains on. Raises UserError where it lacks one."""
    if settings.init_from is not None and settings.resume is None:
        return _with_conditions_of(checkpoint.load(settings.init_from), dataset, settings)
    if settings.unconditional:
        return dataset.select(())
    if not settings.attributes:
        return dataset
    if dataset.labels.kind != "attributes":
        raise UserError(f"attributes cannot be chosen of {settings.data}, which has {dataset.labels.kind}")
    return dataset.select(tuple(dict.fromkeys(dataset.labels.find(word) for word in settings.attributes)))


def _with_conditions_of(given: DiffusionModel, dataset: Dataset, settings: TrainSettings) -> Dataset:
    try:
        if given.image_shape == dataset.image_shape:
            return dataset.select(given.names)
    except ValueError:  # a name that the dataset has not, or some of its classes
        pass
    raise UserError(
        f"init_from {settings.init_from}: it generates other images, or knows other names, than {settings.data} has"
    )


def model_config(settings: TrainSettings, dataset: Dataset) -> Config:
    """The description of the model that a new run trains on a dataset from `with_conditions`.

    With init_from, what a network takes from its first data (how frequent each condition is, mean and spectrum of the images)
    stays, since its weights were learned with it. Raises UserError where the settings do not fit the data.
    """
    if settings.init_from is not None:
        given = checkpoint.load(settings.init_from)
        config = given.config.model_copy(update={"facts": _facts(settings, given)})
    else:
        config = _fresh_config(settings, dataset)
    _check_scales(settings, dataset)
    with torch.device("meta"):
        known = hasattr(config.network(), "residual_std")
    if settings.weighting == "unit" and not known:
        raise UserError(f"weighting unit needs a linear denoiser, which {settings.preset} has not: choose uniform or snr+1")
    return config


def _fresh_config(settings: TrainSettings, dataset: Dataset) -> Config:
    preset = find_preset(settings.preset)
    try:
        return Config(
            labels=dataset.labels,
            frequencies=dataset.frequencies,
            image=dataset.image_shape,
            embedding=settings.embedding,
            unet=dict(preset.sizes),
            architecture=preset.architecture,
            schedule={"kind": settings.schedule, "steps": settings.schedule_steps},
            facts=_facts(settings),
        )
    except ValueError:
        raise UserError(f"preset {settings.preset} is not for images of {dataset.image_shape}: choose another") from None


def _facts(settings: TrainSettings, given: DiffusionModel | None = None) -> Facts:
    """What a checkpoint says of its training. given: the model that it began with."""
    source = find_source(settings.data)
    before = given.config.facts if given else Facts()
    licence = source.licence
    if before.licence not in (None, licence):
        licence += f"; began with a model under: {before.licence}"
    return Facts(
        data=settings.data,
        preset=settings.preset,
        licence=licence,
        guidance=settings.guidance,
        guidance_alone=settings.guidance_alone,
        weighting=settings.weighting,
        crop=(settings.crop or source.crops[0]) if source.crops else None,
        init_from={"model": given.name, **before.model_dump(exclude_none=True)} if given else None,
    )


def _check_scales(settings: TrainSettings, dataset: Dataset) -> None:
    if settings.guidance_alone is not None and dataset.labels.kind != "attributes":
        raise UserError("guidance_alone is for models of attributes: a class says all that there is to say")


class Start(NamedTuple):
    """The state that training starts from, the model's description, and the progress of a resumed run (None for a new one)."""

    state: TrainState
    model: Config
    progress: Progress | None


def start(settings: TrainSettings, accelerator: Accelerator, dataset: Dataset, total: int) -> Start:
    """What a run of `total` steps begins with. dataset: see `with_conditions`. Raises UserError."""
    if settings.resume is not None:
        return _resumed(settings, accelerator, dataset, total)
    config = model_config(settings, dataset)
    torch.manual_seed(settings.seed)
    network: Any = config.network()
    if settings.init_from is not None:
        network.load_state_dict(checkpoint.load(settings.init_from).network.state_dict())
    elif hasattr(network, "linear_denoiser"):
        network.linear_denoiser.fit(dataset.image_batches(mirror=settings.flip))
    return Start(_compiled(TrainState.new(network, settings, accelerator, total), settings), config, None)


def _resumed(settings: TrainSettings, accelerator: Accelerator, dataset: Dataset, total: int) -> Start:
    folder = settings.folder
    tensors, config, progress = run_folder.latest_state(folder)
    if (config.image, config.names) != (dataset.image_shape, dataset.names):
        raise UserError(
            f"{folder} is a run on images of {config.image[1:]} with {len(config.names)} conditions; "
            f"{settings.data_root} gives {dataset.image_shape[1:]} with {len(dataset.names)}: start a new run"
        )
    if progress.data != run_folder.describe_data(dataset):
        raise UserError(f"{settings.data_root} does not hold the images that {folder} was trained on: start a new run")
    _check_scales(settings, dataset)
    torch.manual_seed(settings.seed)
    try:
        state = TrainState.new(config.network(), settings, accelerator, total, Saved(tensors, progress.model_dump()))
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"the state in {folder} does not fit this model: {error}") from None
    if accelerator.is_main_process:
        run_folder.forget_after(folder, state.step)
    scales = {"guidance": settings.guidance, "guidance_alone": settings.guidance_alone}
    described = config.model_copy(update={"facts": config.facts.model_copy(update=scales)})
    return Start(_compiled(state, settings), described, progress)


def _compiled(state: TrainState, settings: TrainSettings) -> TrainState:
    """The state, whose steps run through torch.compile if that is asked for; weights and states stay as they are."""
    if settings.compile:
        state.parallel.compile()
    return state
