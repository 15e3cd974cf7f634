"""Every hyperparameter of a training run, written once.

`presets.py` builds a configuration from what the user gives. Nothing here
imports TensorFlow.
"""

import dataclasses
from typing import Any

from tfgan_robust.cli import fields
from tfgan_robust.cli.fields import setting
from tfgan_robust.errors import UsageError

DATASET_NAMES = ("cifar10", "digits", "folder")
FORMULATION_NAMES = ("x", "xz", "grad", "grad_x")
METHOD_NAMES = ("gan", "natural", "fgsm", "pgd")
MODES = ("inference", "training")

RUN_GROUP = "Run"
_DATA = "Data"
_NETWORKS = "Networks"
_ADVERSARY = "Adversary"
_OBJECTIVE = "Objective and updates"
_OPTIMIZERS = "Optimizers"
_MONITORING = "Monitoring and checkpoints"
_MACHINE = "Machine"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one training run; `presets.resolve` builds them.

    The defaults are those of the preset "recommended"; `presets.PRESETS`
    holds those of the paper (Zhao, Alwidian, Mahmoud 2023). Radii and steps
    are on the [0, 1] pixel scale.

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
        "What perturbs the training images: generators, nothing, one "
        "gradient step (arXiv:2001.03994) or PGD (arXiv:1706.06083).",
        group=_ADVERSARY,
        choices=METHOD_NAMES,
    )
    formulation: str = setting(
        "grad_x",
        "What a generator sees: the image (x), with latent noise (xz), the "
        "sign of the loss gradient (grad), or gradient and image (grad_x); "
        "equations 6 to 9.",
        group=_ADVERSARY,
        choices=FORMULATION_NAMES,
    )
    eps: float = setting(
        16 / 255,
        "L-infinity radius of the training perturbations.",
        group=_ADVERSARY,
        above=0,
        maximum=1,
    )
    num_generators: int = setting(
        2,
        "How many generators are trained, each with its own optimizer.",
        group=_ADVERSARY,
        minimum=1,
        maximum=16,
    )
    random_start: float = setting(
        1.0,
        "Radius, as a share of eps, of the uniform noise from which a "
        "perturbation starts; the gradient is taken there.",
        group=_ADVERSARY,
        minimum=0,
        maximum=1,
    )
    generator_step: float = setting(
        1.25,
        "Size of a generator's tanh output, as a multiple of eps; what "
        "leaves the ball is clipped.",
        group=_ADVERSARY,
        above=0,
        maximum=4,
    )
    gradient_skip: float = setting(
        1.0,
        "Gain of a direct path from the gradient's sign to the generator's "
        "output in front of its tanh; 0 for none. Needs a formulation with "
        "a gradient.",
        group=_ADVERSARY,
        minimum=0,
        maximum=10,
    )
    latent_channels: int = setting(
        1,
        "Channels of the latent noise z of formulation xz, normal noise of "
        "the image's height and width, drawn anew for each generator call.",
        group=_ADVERSARY,
        minimum=1,
        maximum=64,
    )
    attack_steps: int = setting(
        7,
        "Gradient steps of method pgd.",
        group=_ADVERSARY,
        minimum=1,
    )
    attack_step_size: float | None = setting(
        None,
        "Step of methods fgsm and pgd on the [0, 1] scale. Without it "
        "1.25 eps for fgsm, 2.5 eps / attack_steps for pgd.",
        group=_ADVERSARY,
        above=0,
        maximum=4,
    )
    attack_mode: str = setting(
        "inference",
        "Mode of the classifier (dropout, batch normalisation) while its "
        "input gradient is taken. Its variables stay as they are in both.",
        group=_ADVERSARY,
        choices=MODES,
    )
    clean_weight: float = setting(
        0.5,
        "Weight of the loss on clean images, the first term of equation 5.",
        group=_OBJECTIVE,
        minimum=0,
    )
    adversarial_weight: float = setting(
        1.0,
        "Weight of the loss on perturbed images, the second term of "
        "equation 5, averaged over the generators.",
        group=_OBJECTIVE,
        minimum=0,
    )
    update: str = setting(
        "simultaneous",
        "Whether generators and classifier update in turn, or "
        "simultaneously from one shared backward pass (cheaper).",
        group=_OBJECTIVE,
        choices=("alternating", "simultaneous"),
    )
    generator_updates: int = setting(
        1,
        "Generator updates for each classifier update (alternating only).",
        group=_OBJECTIVE,
        minimum=1,
        maximum=100,
    )
    generator_mode: str = setting(
        "training",
        "Mode of the classifier while generators learn through it; "
        "simultaneous updates need `training`.",
        group=_OBJECTIVE,
        choices=MODES,
    )
    batching: str = setting(
        "joint",
        "Whether the classifier sees clean and perturbed images in one "
        "batch or in separate passes, each normalised by its own batch "
        "statistics.",
        group=_OBJECTIVE,
        choices=("joint", "separate"),
    )
    dataset: str = setting(
        "cifar10",
        "Data set: CIFAR-10 through tensorflow-datasets, scikit-learn's "
        "digits (no download), or a folder of images.",
        group=_DATA,
        choices=DATASET_NAMES,
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
    classifier_width: float = setting(
        1.0,
        "Scales the classifier's filters, 64-128-256-256.",
        group=_NETWORKS,
        above=0,
        maximum=16,
    )
    dropout_scale: float = setting(
        0.0,
        "Scales the paper's dropout rates, 0.3 and 0.4.",
        group=_NETWORKS,
        minimum=0,
        maximum=2,
    )
    batchnorm_momentum: float = setting(
        0.9,
        "Momentum of the moving averages of batch normalisation.",
        group=_NETWORKS,
        minimum=0,
        maximum=0.9999,
    )
    generator_width: float = setting(
        1.0,
        "Scales the generators' filters: 1 and 2 are the paper's x1 and x2.",
        group=_NETWORKS,
        above=0,
        maximum=16,
    )
    classifier_learning_rate: float = setting(
        1e-3,
        "Adam's learning rate for the classifier.",
        group=_OPTIMIZERS,
        above=0,
    )
    generator_learning_rate: float = setting(
        1e-3,
        "Adam's learning rate for the generators.",
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
        fields.check(self)
        for problem, remedy in _contradictions(self):
            if problem:
                raise UsageError(remedy)

    def replace(self, **changes: Any) -> "TrainConfig":
        """Returns a checked copy with some values changed."""
        return dataclasses.replace(self, **changes)

    @property
    def run_label(self) -> str:
        """Formulation of a generator run, otherwise the method."""
        return self.formulation if self.method == "gan" else self.method


def _contradictions(config: TrainConfig) -> list[tuple[bool, str]]:
    """Pairs of a condition that must not hold and what to say if it does."""
    gan = config.method == "gan"
    simultaneous = gan and config.update == "simultaneous"
    return [
        (
            gan
            and config.gradient_skip > 0
            and config.formulation in ("x", "xz"),
            "`gradient_skip` needs formulation grad or grad_x. Received: "
            f"gradient_skip={config.gradient_skip:g} with "
            f"formulation={config.formulation}.",
        ),
        (
            config.latent_channels != default_of("latent_channels")
            and config.formulation != "xz",
            "`latent_channels` goes with formulation xz. Received: "
            f"latent_channels={config.latent_channels} with "
            f"formulation={config.formulation}.",
        ),
        (
            simultaneous and config.generator_mode != "training",
            "Simultaneous updates share the classifier's training pass and "
            "need generator_mode=training. Received: "
            f"generator_mode={config.generator_mode}.",
        ),
        (
            simultaneous and config.generator_updates != 1,
            "Simultaneous updates allow one generator update for each "
            "classifier update; use update=alternating for more. Received: "
            f"generator_updates={config.generator_updates}.",
        ),
        (
            config.method in ("fgsm", "pgd")
            and config.random_start not in (0, 1),
            f"Method {config.method} starts at the image (random_start=0) or "
            "anywhere in the ball (random_start=1). Received: "
            f"random_start={config.random_start:g}.",
        ),
        (
            config.method != "natural" and config.adversarial_weight == 0,
            f"Method {config.method} needs adversarial_weight > 0; use "
            "method=natural to train on clean images only. Received: "
            "adversarial_weight=0.",
        ),
        (
            config.method == "natural" and config.clean_weight == 0,
            "Method natural needs clean_weight > 0. Received: clean_weight=0.",
        ),
        (
            config.image_size is not None and config.image_size % 4 != 0,
            "`image_size` must be a multiple of 4, since generators halve "
            f"it twice. Received: image_size={config.image_size}.",
        ),
        (
            config.batch_size % (config.num_devices or 1) != 0,
            "`batch_size` must be a multiple of num_devices. Received: "
            f"batch_size={config.batch_size} with "
            f"num_devices={config.num_devices}.",
        ),
        (
            config.precision == "mixed_float16"
            and (config.num_devices or 1) > 1,
            "Loss scaling, which mixed_float16 needs, does not span devices; "
            "use mixed_bfloat16. Received: precision=mixed_float16 with "
            f"num_devices={config.num_devices}.",
        ),
        (
            config.jit_compile == "true" and (config.num_devices or 1) > 1,
            "XLA does not compile a training step that spans devices. "
            "Received: jit_compile=true with "
            f"num_devices={config.num_devices}.",
        ),
        (
            config.dataset == "folder" and config.data_dir is None,
            "dataset=folder needs --data_dir, the directory that holds "
            "train/<class>/ and test/<class>/.",
        ),
    ]


def default_of(name: str) -> Any:
    """Returns a setting's default in the preset "recommended"."""
    return TrainConfig.__dataclass_fields__[name].default
