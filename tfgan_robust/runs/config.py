"""Every hyperparameter of a training run, written once.

`presets.py` builds a configuration from what the user gives. Nothing here
imports TensorFlow.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from tfgan_robust.cli import fields
from tfgan_robust.cli.fields import setting
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.errors import UsageError
from tfgan_robust.methods.registry import METHODS
from tfgan_robust.networks.registry import NETWORKS, NetworkSettings

RUN_GROUP = "Run"
_DATA = "Data"
_NETWORKS = "Networks"
_ADVERSARY = "Adversary"
_OPTIMIZERS = "Optimizers"
_MONITORING = "Monitoring and checkpoints"
_MACHINE = "Machine"
_MODEL_FILES = (".keras", ".h5")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one training run; `presets.resolve` builds them.

    These are the settings of every run. A configuration also has those of
    its method (`methods/settings.py`) and of its network
    (`networks/registry.py`): it is an instance of all three classes, which
    `config_class` joins. The defaults are those of the preset "recommended";
    `presets.PRESETS` holds those of the paper (Zhao, Alwidian, Mahmoud 2023).
    Radii and steps are on the [0, 1] pixel scale.

    Raises:
        UsageError: for a value out of its limits or contradictory values.
    """

    preset: str = setting(
        "recommended",
        "Named set of defaults: `paper` is the paper's, `recommended` the "
        "best measured on validation images for a short budget.",
        group=RUN_GROUP,
        choices=("recommended", "paper"),
    )
    method: str = setting(
        "gan",
        "What perturbs the training images.",
        group=_ADVERSARY,
        choices=METHODS,
    )
    eps: float = setting(
        16 / 255,
        "L-infinity radius of the training perturbations.",
        group=_ADVERSARY,
        above=0,
        maximum=1,
    )
    dataset: str = setting(
        "cifar10",
        "Data set.",
        group=_DATA,
        choices=DATASETS,
    )
    data_dir: str | None = setting(
        None,
        "Where the data lie; for `folder` the directory that holds "
        "train/<class>/ and test/<class>/, otherwise the directory of "
        "tensorflow-datasets (its own default, or TFDS_DATA_DIR).",
        group=_DATA,
    )
    image_size: int | None = setting(
        None,
        "Height and width to which images are resized, in pixels; a "
        "multiple of 4, at least 16. Without it the data set's own.",
        group=_DATA,
        minimum=16,
    )
    train_images: int | None = setting(
        None,
        "Train on this many images. Without it on all that validation leaves.",
        group=_DATA,
        minimum=1,
    )
    validation_images: int | None = setting(
        None,
        "Images held out of the training split. Without it 10 percent.",
        group=_DATA,
        minimum=1,
    )
    classifier: str = setting(
        "vgg",
        "The network that is trained: a name, or a .keras file, "
        "whose weights are where training starts.",
        group=_NETWORKS,
    )
    batch_size: int = setting(
        128,
        "Images in one step, over all devices together.",
        group=_DATA,
        minimum=1,
    )
    epochs: int = setting(
        100,
        "Passes over the training images.",
        group=_DATA,
        minimum=1,
    )
    max_shift: float = setting(
        0.1,
        "Largest random shift, as a share of the image's side; edge pixels "
        "are repeated.",
        group=_DATA,
        minimum=0,
        maximum=0.5,
    )
    horizontal_flip: bool | None = setting(
        None,
        "Whether half of the training images are mirrored. Without it as "
        "the data set allows: yes for cifar10 and folder, no for digits.",
        group=_DATA,
    )
    classifier_learning_rate: float = setting(
        1e-3,
        "Adam's learning rate for the classifier.",
        group=_OPTIMIZERS,
        above=0,
    )
    beta_1: float = setting(
        0.5,
        "Adam's first beta.",
        group=_OPTIMIZERS,
        minimum=0,
        maximum=0.9999,
    )
    beta_2: float = setting(
        0.9,
        "Adam's second beta.",
        group=_OPTIMIZERS,
        minimum=0,
        maximum=0.99999,
    )
    learning_rate_schedule: str = setting(
        "cosine",
        "Constant learning rates, or a cosine decay to zero over the run.",
        group=_OPTIMIZERS,
        choices=("constant", "cosine"),
    )
    eval_every: int = setting(
        1,
        "Epochs between measurements on the validation images.",
        group=_MONITORING,
        minimum=1,
    )
    eval_eps: float = setting(
        8 / 255,
        "L-infinity radius of the PGD-10 that picks the best checkpoint.",
        group=_MONITORING,
        above=0,
        maximum=1,
    )
    eval_images: int = setting(
        500,
        "Validation images on which robustness is measured while training.",
        group=_MONITORING,
        minimum=1,
    )
    checkpoint_every: int = setting(
        200,
        "Steps between checkpoints from which a run resumes.",
        group=_MONITORING,
        minimum=1,
    )
    seed: int = setting(
        0,
        "Seed of the weights, the data order and all noise.",
        group=_MACHINE,
        minimum=0,
        maximum=2**31 - 1,
    )
    deterministic: bool = setting(
        False,
        "Same seed, same bits on the same machine. Turns XLA off on a GPU, "
        "where the gradient of max-pooling has no deterministic kernel.",
        group=_MACHINE,
    )
    precision: str = setting(
        "float32",
        "Precision of the networks; losses and input gradients are float32.",
        group=_MACHINE,
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    num_devices: int | None = setting(
        None,
        "GPUs to train on, or logical CPU devices where there is no GPU. "
        "Without it all GPUs.",
        group=_MACHINE,
        minimum=1,
        maximum=64,
    )
    jit_compile: str = setting(
        "auto",
        "XLA for the training step and the attacks; auto means on a GPU "
        "only, for attacks only, since a CPU runs the plain graph faster.",
        group=_MACHINE,
        choices=("auto", "true", "false"),
    )

    def __post_init__(self) -> None:
        if type(self) is TrainConfig:
            raise UsageError(
                "A configuration needs the settings of its method and of its "
                "network; build it with `resolve({...})`."
            )
        fields.check(self)
        for part in type(self).__mro__:
            if "problems" in vars(part):
                for wrong, remedy in part.problems(self):
                    if wrong:
                        raise UsageError(remedy)

    def problems(self) -> Iterator[tuple[bool, str]]:
        """Yields what must not hold, and what to say if it does."""
        devices = self.num_devices or 1
        yield (
            self.classifier not in NETWORKS
            and not self.classifier.endswith(_MODEL_FILES),
            f"`classifier` must be one of {', '.join(NETWORKS)}, or a file "
            f"that ends in .keras. Received: classifier={self.classifier}.",
        )
        yield (
            self.image_size is not None and self.image_size % 4 != 0,
            "`image_size` must be a multiple of 4, since generators halve "
            f"it twice. Received: image_size={self.image_size}.",
        )
        yield (
            self.batch_size % devices != 0,
            "`batch_size` must be a multiple of num_devices. Received: "
            f"batch_size={self.batch_size} with "
            f"num_devices={self.num_devices}.",
        )
        yield (
            self.precision == "mixed_float16" and devices > 1,
            "Loss scaling, which mixed_float16 needs, does not span devices; "
            "use mixed_bfloat16. Received: precision=mixed_float16 with "
            f"num_devices={self.num_devices}.",
        )
        yield (
            self.jit_compile == "true" and devices > 1,
            "XLA does not compile a training step that spans devices. "
            "Received: jit_compile=true with "
            f"num_devices={self.num_devices}.",
        )
        yield (
            self.dataset == "folder" and self.data_dir is None,
            "dataset=folder needs data_dir, the directory that holds "
            "train/<class>/ and test/<class>/.",
        )

    def replace(self, **changes: Any) -> "TrainConfig":
        """Returns a checked copy with some values changed."""
        return from_values({**dataclasses.asdict(self), **changes})

    @property
    def network_settings(self) -> dict[str, Any]:
        """The settings of the network, by name."""
        part = _network_settings(self.classifier)
        return {name: getattr(self, name) for name in fields.field_names(part)}

    @property
    def run_label(self) -> str:
        """Formulation of a generator run, otherwise the method."""
        return getattr(self, "formulation", self.method)


def config_class(method: str, classifier: str) -> type[TrainConfig]:
    """Returns the class of configurations of a method and a network.

    Args:
        method: One of `METHODS`.
        classifier: One of `NETWORKS`, or the path of a model, which has no
            settings.

    Raises:
        UsageError: for an unknown method.
    """
    return _joined(METHODS[method].settings, _network_settings(classifier))


def from_values(values: Mapping[str, Any]) -> TrainConfig:
    """Builds a configuration from all values by name, of the right types.

    Args:
        values: Of the settings of its class; what is left out has the
            default of its field.

    Raises:
        UsageError: for a bad value, or one that is no setting of its class.
    """
    kind = config_class(*_selected(values))
    refuse_foreign(kind, values)
    return kind(**values)


def from_stored(values: Mapping[str, Any]) -> TrainConfig:
    """Builds a configuration from what a run's `config.json` holds.

    Older versions stored the settings of all methods, whatever the method.

    Raises:
        UsageError: for a bad value or an unknown name.
    """
    converted = convert(values)
    kind = config_class(*_selected(converted))
    own = fields.field_names(kind)
    return kind(**{n: v for n, v in converted.items() if n in own})


def convert(values: Mapping[str, Any]) -> dict[str, Any]:
    """Brings values by name, as JSON holds them, to their settings' types.

    Raises:
        UsageError: for an unknown name or text that is no number.
    """
    return fields.convert_mapping(setting_classes(), values)


def refuse_foreign(kind: type[TrainConfig], given: Mapping[str, Any]) -> None:
    """Refuses settings of another method or network.

    Raises:
        UsageError: for the first of them.
    """
    own = fields.field_names(kind)
    for name, value in given.items():
        if name in own:
            continue
        tables: tuple[tuple[str, Mapping[str, Any]], ...] = (
            ("method", METHODS),
            ("classifier", NETWORKS),
        )
        for what, table in tables:
            users = [
                part
                for part, row in table.items()
                if name in fields.field_names(row.settings)
            ]
            if users:
                selected = given.get(what, default_of(what))
                raise UsageError(
                    f"`{name}` goes with {what} {' or '.join(users)}. "
                    f"Received: {name}={value} with {what}={selected}."
                )


def setting_classes() -> list[type]:
    """Returns the classes that settings of training are fields of."""
    rows = [*METHODS.values(), *NETWORKS.values()]
    return [TrainConfig, *dict.fromkeys(row.settings for row in rows)]


def default_of(name: str) -> Any:
    """Returns the default of a setting of every run."""
    return TrainConfig.__dataclass_fields__[name].default


def _selected(values: Mapping[str, Any]) -> tuple[str, str]:
    method, classifier = (
        values.get(name, default_of(name)) for name in ("method", "classifier")
    )
    return method, classifier


def _network_settings(classifier: str) -> type[NetworkSettings]:
    if classifier in NETWORKS:
        return NETWORKS[classifier].settings
    return NetworkSettings


@functools.cache
def _joined(method: type, network: type) -> type[TrainConfig]:
    joined = type("TrainConfig", (TrainConfig, method, network), {})
    return dataclasses.dataclass(frozen=True, kw_only=True)(joined)
