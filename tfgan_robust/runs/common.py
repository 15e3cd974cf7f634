"""The settings of every training run, each written once.

Those of methods and networks are in `methods/settings.py` and
`networks/registry.py`. Nothing here imports TensorFlow.
"""

import dataclasses
from collections.abc import Iterator

from tfgan_robust.attacks.engine.execution import JIT_CHOICES
from tfgan_robust.cli.fields import setting
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.methods.registry import METHODS
from tfgan_robust.networks.pretrained import is_pretrained
from tfgan_robust.networks.registry import NETWORKS

RUN_GROUP = "Run"
_DATA = "Data"
_NETWORKS = "Networks"
_ADVERSARY = "Adversary"
_MONITORING = "Monitoring and checkpoints"
_MACHINE = "Machine"
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
STRATEGIES = ("auto", "single", "mirrored", "multi_worker")
_MODEL_FILES = (".keras", ".h5")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommonSettings:
    """What every run has; `config.TrainConfig` adds the rest.

    Radii and steps are on the [0, 1] pixel scale.
    """

    preset: str = setting(
        "recommended",
        "Named set of defaults: `paper` is the paper's; `recommended` has the "
        "method that was best on validation images in a short time.",
        group=RUN_GROUP,
        choices=("recommended", "paper"),
    )
    method: str = setting(
        "nfgsm",
        "What perturbs the training images. With a formulation the default is "
        "gan, or start where that formulation sees no gradient.",
        group=_ADVERSARY,
        choices=METHODS,
    )
    eps: float = setting(
        8 / 255,
        "L-infinity radius of the training perturbations.",
        group=_ADVERSARY,
        length=True,
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
        "Height and width to which the middle square of each image is resized, "
        "in pixels; a multiple of 4, at least 16. Without it the data set's "
        "own.",
        group=_DATA,
        minimum=16,
        unit="pixels",
    )
    train_images: int | None = setting(
        None,
        "Train on this many images. Without it on all that validation leaves.",
        group=_DATA,
        minimum=1,
        unit="images",
    )
    validation_images: int | None = setting(
        None,
        "Images held out of the training split. Without it 10 percent.",
        group=_DATA,
        minimum=1,
        unit="images",
    )
    classifier: str = setting(
        "vgg",
        "The network that is trained: a name, or a .keras file or "
        "pretrained:NAME, whose weights are where training starts.",
        group=_NETWORKS,
        names=NETWORKS,
    )
    batch_size: int = setting(
        128,
        "Images in one step, over all devices together.",
        group=_DATA,
        minimum=1,
        unit="images",
    )
    epochs: int = setting(
        100,
        "Passes over the training images.",
        group=_DATA,
        minimum=1,
        unit="epochs",
    )
    max_shift: float = setting(
        0.1,
        "Largest random shift, as a share of the image's side; edge pixels "
        "are repeated.",
        group=_DATA,
        minimum=0,
        maximum=0.5,
        unit="share",
    )
    horizontal_flip: bool | None = setting(
        None,
        "Whether half of the training images are mirrored, which suits "
        "photographs in folders. Without it those of data sets of which it is "
        "known.",
        group=_DATA,
    )
    eval_every: int = setting(
        1,
        "Epochs between measurements on the validation images.",
        group=_MONITORING,
        minimum=1,
        unit="epochs",
    )
    eval_eps: float = setting(
        8 / 255,
        "L-infinity radius of the PGD-10 that picks the best checkpoint.",
        group=_MONITORING,
        length=True,
        above=0,
        maximum=1,
    )
    eval_images: int = setting(
        500,
        "Validation images on which robustness is measured while training.",
        group=_MONITORING,
        minimum=1,
        unit="images",
    )
    keep_every: int = setting(
        0,
        "Epochs between networks that are kept beside the best and the last, "
        "as epoch-N; 0 keeps none.",
        group=_MONITORING,
        minimum=0,
        unit="epochs",
    )
    checkpoint_every: int = setting(
        200,
        "Steps between checkpoints from which a run resumes.",
        group=_MONITORING,
        minimum=1,
        unit="steps",
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
        "auto",
        "Precision of the networks; logits, losses and weights are float32. "
        "auto is mixed_bfloat16 where the GPU, or without one the CPU, has "
        "units for it, else float32; a run keeps what it began with.",
        group=_MACHINE,
        choices=("auto", *PRECISIONS),
    )
    strategy: str = setting(
        "auto",
        "Where to train: on one device (single), on the devices of this "
        "machine (mirrored), or on those of all machines that TF_CONFIG names "
        "(multi_worker). auto takes several machines where TF_CONFIG names "
        "them, and several devices where there are.",
        group=_MACHINE,
        choices=STRATEGIES,
    )
    num_devices: int | None = setting(
        None,
        "GPUs to train on, or logical CPU devices where there is no GPU; of "
        "several machines, on each. Without it all GPUs.",
        group=_MACHINE,
        minimum=1,
        maximum=64,
        unit="devices",
    )
    jit_compile: str = setting(
        "auto",
        "XLA for the training step and the attacks; auto means on a GPU "
        "only, for attacks only, since a CPU runs the plain graph faster.",
        group=_MACHINE,
        choices=JIT_CHOICES,
    )

    def problems(self) -> Iterator[tuple[bool, str]]:
        """Yields what must not hold, and what to say if it does."""
        yield (
            self.strategy == "single" and self.num_devices not in (None, 1),
            "strategy=single is for one device. Received: "
            f"num_devices={self.num_devices}.",
        )
        devices = self.num_devices or 1
        yield from self.problems_of_devices(devices, f"num_devices={devices}")
        yield (
            self.classifier not in NETWORKS
            and not self.classifier.endswith(_MODEL_FILES)
            and not is_pretrained(self.classifier),
            f"`classifier` must be one of {', '.join(NETWORKS)}, a file "
            "that ends in .keras, or pretrained:NAME. Received: "
            f"classifier={self.classifier}.",
        )
        yield (
            self.dataset == "folder" and self.data_dir is None,
            "`dataset=folder` needs `data_dir`, the directory that holds "
            "train/<class>/ and test/<class>/.",
        )

    def problems_of_devices(
        self, devices: int, received: str
    ) -> Iterator[tuple[bool, str]]:
        """Yields what must not hold for so many devices; see `problems`.

        Args:
            devices: On which a step is computed, of all machines.
            received: What said so.
        """
        yield (
            self.batch_size % devices != 0,
            f"`batch_size` must be a multiple of {devices}, the number of "
            f"devices. Received: batch_size={self.batch_size} with "
            f"{received}.",
        )
        parts = getattr(self, "num_parts", 1)
        yield (
            self.batch_size // devices < parts,
            "Each generator needs an image of a device's batch: "
            f"{parts} at least. Received: num_generators={parts} "
            f"with batch_size={self.batch_size} and {received}.",
        )
        yield (
            getattr(self, "remembers", False) and devices > 1,
            "What looks at an image's last gradient trains on one device: use "
            "strategy=single, or a `formulation` or `start_from` that looks "
            f"at none. Received: {received}.",
        )
        yield (
            self.precision == "mixed_float16" and devices > 1,
            "Loss scaling, which mixed_float16 needs, does not span devices; "
            "use mixed_bfloat16. Received: precision=mixed_float16 with "
            f"{received}.",
        )
        yield (
            self.jit_compile == "true" and devices > 1,
            "XLA does not compile a training step that spans devices. "
            f"Received: jit_compile=true with {received}.",
        )
