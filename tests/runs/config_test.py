"""The configuration: who wins, what is refused, what belongs together."""

import dataclasses
import json
import math
import os
import re
from pathlib import Path

import pytest

from tfgan_robust.attacks.formulations import FORMULATIONS
from tfgan_robust.cli import fields
from tfgan_robust.cli.flags import Flags, Part
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.errors import UsageError
from tfgan_robust.methods.gradient_settings import NFGSMSettings, PGDSettings
from tfgan_robust.methods.registry import METHODS
from tfgan_robust.runs import config, presets
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.runs.presets import baseline_of, resolve
from tfgan_robust.runs.stored import load_settings

# Each setting with the last class that has it.
FIELDS = {
    field.name: (kind, field)
    for kind in config.setting_classes()
    for field in dataclasses.fields(kind)
}
LIMITED = [
    name
    for name, (kind, _) in FIELDS.items()
    if fields.value_type(kind, name)[0] in (int, float)
]
# Files of runs by earlier versions.
OLDER = Path(__file__).parent / "older"


def refusal(*sources):
    """The message with which `resolve` refuses settings."""
    with pytest.raises(UsageError) as error:
        resolve(*sources)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_later_sources_win(monkeypatch):
    """default < preset < data set < method < file < command line."""
    assert resolve().epochs == config.default_of("epochs")
    monkeypatch.setitem(presets.PRESETS["recommended"], "epochs", 2)
    assert resolve().epochs == 2
    monkeypatch.setitem(DATASETS["cifar10"].defaults, "epochs", 3)
    assert resolve().epochs == 3
    monkeypatch.setattr(
        NFGSMSettings,
        "method_defaults",
        classmethod(lambda cls, given: {"epochs": 4}),
    )
    assert resolve().epochs == 4
    assert resolve({"epochs": 5}).epochs == 5
    assert resolve({"epochs": 5}, {"epochs": 6}).epochs == 6
    assert resolve({"epochs": 5}, {"seed": 1}).epochs == 5


def test_the_last_choice_of_preset_data_set_and_method_decides():
    from_file = {"preset": "paper", "dataset": "digits", "method": "gan"}
    assert resolve(from_file).update == "alternating"
    recommended = resolve(from_file, {"preset": "recommended"})
    assert recommended.update == "simultaneous"
    assert resolve(from_file).eps == DATASETS["digits"].defaults["eps"]
    assert resolve(from_file, {"dataset": "cifar10"}).eps == 16 / 255
    assert resolve(from_file, {"method": "pgd"}).random_start == 1


def test_the_paper_preset_is_the_paper():
    paper = resolve({"preset": "paper"})
    assert (paper.eps, paper.num_generators) == (16 / 255, 2)
    assert paper.classifier_learning_rate == 1e-4
    assert paper.generator_learning_rate == 2e-4
    assert (paper.beta_1, paper.beta_2) == (0.5, 0.9)
    assert (paper.clean_weight, paper.adversarial_weight) == (1, 1)
    assert (paper.classifier_width, paper.dropout_scale) == (1, 1)
    assert (paper.gradient_skip, paper.random_start) == (0, 0)


def test_a_folder_of_images_needs_only_its_directory():
    folder = resolve({"dataset": "folder", "data_dir": "images"})
    expected = ("folder", os.path.abspath("images"))
    assert (folder.dataset, folder.data_dir) == expected


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", presets.PRESETS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_resolved_settings_resolve_to_themselves(dataset, preset, method):
    """A run's stored settings are a `--config` file for the same run."""
    chosen = {"dataset": dataset, "preset": preset, "method": method}
    first = resolve(chosen, {"data_dir": "somewhere"})
    assert resolve(dataclasses.asdict(first)) == first


@pytest.mark.parametrize("preset", presets.PRESETS)
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_every_formulation_resolves_to_itself(formulation, preset):
    first = resolve({"formulation": formulation, "preset": preset})
    assert first.formulation == formulation
    assert resolve(dataclasses.asdict(first)) == first


def test_numbers_may_be_fractions_and_whole():
    assert resolve({"eps": "8/255"}).eps == 8 / 255
    assert resolve({"clean_weight": 2}).clean_weight == 2.0


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("eps", math.nan, "must be finite"),
        ("eps", math.inf, "must be finite"),
        ("classifier_learning_rate", math.inf, "must be finite"),
        ("clean_weight", -math.inf, "must be finite"),
        ("eps", 0.0, "must be greater than 0"),
        ("eps", -0.1, "must be greater than 0"),
        ("eps", 8.0, "must be at most 1"),
        ("eval_eps", 2.0, "must be at most 1"),
        ("eps", None, "must be a number"),
        ("eps", True, "must be a number"),
        ("eps", [0.1], "must be a number"),
        ("eps", "eight", "fraction such as 8/255"),
        ("eps", "8/0", "fraction such as 8/255"),
        ("num_generators", 1.5, "must be a whole number"),
        ("num_generators", "2", "must be a whole number"),
        ("num_generators", True, "must be a whole number"),
        ("num_generators", 0, "must be at least 1"),
        ("num_generators", 17, "must be at most 16"),
        ("batch_size", -1, "must be at least 1"),
        ("image_size", 12, "must be at least 16"),
        ("max_shift", 0.6, "must be at most 0.5"),
        ("dropout_scale", -0.5, "must be at least 0"),
        ("beta_1", 1.0, "must be at most 0.9999"),
        ("seed", 2**31, "must be at most"),
        ("deterministic", "yes", "must be true or false"),
        ("deterministic", 1, "must be true or false"),
        ("dataset", "mnist", "cifar10, digits, folder"),
        ("dataset", None, "must be text"),
        ("preset", "best", "recommended, paper"),
        ("method", "mart", "gan, start, natural, fgsm"),
        ("formulation", "z", "x, xz, grad, grad_x"),
        ("precision", "float16", "float32, mixed_bfloat16, mixed_float16"),
        ("data_dir", 7, "must be text"),
    ],
)
def test_bad_values_are_refused_with_a_remedy(name, value, remedy):
    message = refusal({"formulation": "grad_x"} | {name: value})
    assert f"`{name}`" in message
    assert remedy in message
    assert f"Received: {name}={value}" in message


def test_whole_numbers_beyond_every_float_are_refused():
    assert "`eps`" in refusal({"eps": 10**400})


@pytest.mark.parametrize("name", LIMITED)
def test_limits_are_exact(name):
    """One step outside each limit is refused, the limit itself is not."""
    owner, field = FIELDS[name]
    limits = fields.limits_of(field)
    kind, _ = fields.value_type(owner, name)

    def beside(limit, direction):
        if kind is int:
            return int(limit) + direction
        return math.nextafter(limit, direction * math.inf)

    outside, inside = [], []
    if limits.minimum is not None:
        outside.append(beside(limits.minimum, -1))
        inside.append(kind(limits.minimum))
    if limits.maximum is not None:
        outside.append(beside(limits.maximum, 1))
        inside.append(kind(limits.maximum))
    if limits.above is not None:
        outside.append(kind(limits.above))
        inside.append(beside(limits.above, 1))
    assert outside, "every number needs a limit"
    for value in outside:
        with pytest.raises(UsageError, match=f"Received: {name}={value}"):
            fields.check_values(owner, {name: value})
    for value in inside:
        fields.check_values(owner, {name: value})


@pytest.mark.parametrize(
    ("given", "received", "remedy"),
    [
        (
            {"formulation": "x", "method": "pgd"},
            "formulation=x with method=pgd",
            "goes with method gan",
        ),
        (
            {"num_generators": 3, "method": "natural"},
            "num_generators=3 with method=natural",
            "goes with method gan",
        ),
        (
            {"attack_steps": 3, "method": "fgsm"},
            "attack_steps=3 with method=fgsm",
            "goes with method pgd",
        ),
        (
            {"method": "start", "start_from": "noise", "formulation": "x"},
            "formulation=x with start_from=noise",
            "goes with start_from=generator",
        ),
        (
            {"method": "start", "formulation": "x", "latent_channels": 8},
            "latent_channels=8 with formulation=x",
            "sees noise",
        ),
        (
            {"weight_perturbation": 0.01, "precision": "mixed_float16"},
            "weight_perturbation=0.01 with precision=mixed_float16",
            "mixed_bfloat16 or float32",
        ),
        (
            {"formulation": "x", "batch_size": 1},
            "num_generators=2 with batch_size=1",
            "needs an image",
        ),
        (
            {"attack_step_size": 0.1, "method": "gan"},
            "attack_step_size=0.1 with method=gan",
            "goes with method fgsm or pgd",
        ),
        (
            {"gradient_skip": 1.0, "formulation": "x", "method": "gan"},
            "gradient_skip=1 with formulation=x",
            "needs a formulation with a gradient",
        ),
        (
            {
                "gradient_label": "predicted",
                "formulation": "x",
                "method": "gan",
            },
            "gradient_label=predicted with formulation=x",
            "goes with a formulation with a gradient",
        ),
        (
            {"attack_mode": "training", "formulation": "x", "method": "gan"},
            "attack_mode=training with formulation=x",
            "goes with a formulation with a gradient",
        ),
        (
            {"method": "nfgsm", "batching": "separate"},
            "batching=separate with clean_weight=0",
            "needs more than one batch",
        ),
        (
            {"gradient_skip": 0.5, "formulation": "xz", "method": "gan"},
            "gradient_skip=0.5 with formulation=xz",
            "needs a formulation with a gradient",
        ),
        (
            {
                "method": "gan",
                "update": "simultaneous",
                "generator_mode": "inference",
            },
            "generator_mode=inference",
            "need generator_mode=training",
        ),
        (
            {
                "method": "gan",
                "update": "simultaneous",
                "generator_mode": "training",
                "generator_updates": 2,
            },
            "generator_updates=2",
            "use update=alternating",
        ),
        (
            {"method": "fgsm", "random_start": 0.5},
            "random_start=0.5",
            "random_start=1",
        ),
        (
            {"adversarial_weight": 0.0},
            "adversarial_weight=0",
            "must be greater than 0",
        ),
        (
            {"method": "natural", "clean_weight": 0.0},
            "clean_weight=0",
            "needs clean_weight > 0",
        ),
        (
            {"clean_share": 0.5},
            "clean_share=0.5 with clean_weight=0",
            "`clean_share` needs clean_weight > 0",
        ),
        (
            {"batch_size": 127, "num_devices": 2},
            "batch_size=127 with num_devices=2",
            "must be a multiple of 2, the number of devices",
        ),
        (
            {"jit_compile": "true", "num_devices": 2},
            "jit_compile=true with num_devices=2",
            "XLA does not compile",
        ),
        (
            {"strategy": "single", "num_devices": 2},
            "num_devices=2",
            "strategy=single is for one device",
        ),
        (
            {"method": "start", "formulation": "grad", "num_devices": 2},
            "num_devices=2",
            "trains on one device",
        ),
        ({"dataset": "folder"}, "dataset=folder", "needs `data_dir`"),
        ({"epss": 0.1}, "epss", "Known: preset, "),
        ({"epss": 0.1, "apochs": 2}, "apochs, epss", "Known: preset, "),
    ],
    ids=str,
)
def test_contradictions_are_refused_with_a_remedy(given, received, remedy):
    message = refusal(given)
    assert received in message
    assert remedy in message


@pytest.mark.parametrize(
    "given",
    [
        # Nothing is divided among generators.
        {"method": "start", "start_from": "noise", "batch_size": 1},
        {"method": "gan", "generator_assignment": "all", "batch_size": 1},
        # Each generator has a batch of its own.
        {"generator_assignment": "all", "batching": "separate"},
        {"clean_weight": 1.0, "batching": "separate"},
        {"weight_perturbation": 0.01, "weight_perturbation_start": 0.5},
        {"preset": "paper", "formulation": "grad", "attack_mode": "training"},
    ],
    ids=str,
)
def test_what_contradicts_nothing_is_taken(given):
    found = resolve({"method": "gan", **given})
    assert {name: getattr(found, name) for name in given} == given


def test_contradictions_do_not_depend_on_who_says_what():
    file, flag = {"formulation": "x"}, {"method": "pgd"}
    assert refusal(file, flag) == refusal(flag, file)


def test_settings_that_change_nothing_contradict_nothing():
    same = {"method": "pgd", "num_generators": 2, "gradient_skip": 1}
    assert resolve(same) == resolve({"method": "pgd"})


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"optimizer": "adam", "momentum": 0.5}, "momentum"),
        ({"beta_1": 0.9}, "beta_1"),
        ({"method": "natural", "eps_warmup": 0.1}, "eps_warmup"),
        ({"weight_perturbation_start": 0.5}, "weight_perturbation_start"),
        (
            {"weight_decay": 0, "weight_decay_kind": "decoupled"},
            "weight_decay_kind",
        ),
        (
            {"method": "gan", "direction": "multiplied", "gradient_skip": 5},
            "gradient_skip",
        ),
        (
            {"method": "start", "start_from": "noise", "generator_width": 2},
            "generator_width",
        ),
        (
            {"method": "start", "start_from": "universal",
             "zero_output": False},
            "zero_output",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_what_would_change_nothing_is_refused(given, name):
    message = refusal(given)
    assert f"`{name}` has no effect with" in message
    assert f"Received: {name}={given[name]}" in message
    usual = presets.defaults_for(given)[name]
    resolve({**given, name: usual})


def test_what_presets_and_twins_imply_is_not_refused():
    for method, given in (
        ("start", {"start_from": "noise"}),
        ("gan", {"direction": "multiplied"}),
        ("natural", {}),
    ):
        for preset in presets.PRESETS:
            resolve({"preset": preset, "method": method, **given})
    defended = resolve(
        {"method": "gan", "beta_1": 0.9, "eps_warmup": 0.1,
         "weight_perturbation": 0.01, "label_smoothing": 0.1}
    )  # fmt: skip
    twin = baseline_of(defended)
    assert twin.weight_perturbation == twin.eps_warmup == 0
    assert twin.label_smoothing == 0.1


def test_settings_cannot_be_changed_behind_the_checks():
    with pytest.raises(dataclasses.FrozenInstanceError):
        resolve().eps = 2.0
    with pytest.raises(UsageError, match="Received: eps=2.0"):
        resolve().replace(eps=2.0)


@pytest.mark.parametrize(
    "defaults",
    [
        *presets.PRESETS.values(),
        *(dataset.defaults for dataset in DATASETS.values()),
        *(row.settings.method_defaults({}) for row in METHODS.values()),
    ],
    ids=str,
)
def test_sets_of_defaults_name_known_settings_with_legal_values(defaults):
    for name, value in defaults.items():
        fields.check_values(FIELDS[name][0], {name: value})


def test_the_presets_are_those_that_can_be_chosen():
    choices = fields.limits_of(FIELDS["preset"][1]).choices
    assert set(presets.PRESETS) == set(choices)


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_explains_itself(name):
    limits = fields.limits_of(FIELDS[name][1])
    assert limits.group
    assert limits.help_text.endswith(".")


def test_a_setting_of_several_parts_is_the_same_setting():
    for kind in config.setting_classes():
        for field in dataclasses.fields(kind):
            _, other = FIELDS[field.name]
            assert fields.limits_of(field) == fields.limits_of(other)
            assert (field.type, field.default) == (other.type, other.default)


def test_a_configuration_has_the_settings_of_its_parts_alone():
    run = resolve({"method": "pgd"})
    assert isinstance(run, TrainConfig) and isinstance(run, PGDSettings)
    assert not hasattr(run, "formulation")
    assert set(run.network_settings) == {
        "classifier_width", "dropout_scale", "batchnorm_momentum",
    }  # fmt: skip
    assert not hasattr(
        resolve({"classifier": "mine.keras"}), "classifier_width"
    )
    with pytest.raises(UsageError, match="build it with `resolve"):
        TrainConfig()


@pytest.mark.parametrize("run", ["natural", "grad_x", "pgd"])
def test_settings_that_older_versions_stored_still_load(run):
    """They hold the settings of all methods, whatever the method."""
    stored = json.loads((OLDER / f"{run}.json").read_text())["settings"]
    loaded = config.from_stored(stored)
    assert loaded.run_label == run
    for name, value in dataclasses.asdict(loaded).items():
        if name in stored or name in config.BEFORE:
            assert value == {**config.BEFORE, **stored}[name]
        else:
            assert value == config.field_defaults()[name]


def test_every_setting_is_in_the_documentation():
    pages = (Path(__file__).parents[2] / "docs").glob("*.md")
    words = set(re.findall(r"\w+", " ".join(p.read_text() for p in pages)))
    missing = set(config.field_defaults()) - words
    assert not missing


@pytest.mark.parametrize("value", [{"seed": 0}, ["gan"], 3, None])
@pytest.mark.parametrize("name", ["method", "classifier", "dataset", "preset"])
def test_a_stored_name_that_is_no_text_is_refused(name, value):
    stored = json.loads((OLDER / "natural.json").read_text())["settings"]
    with pytest.raises(UsageError):
        config.from_stored({**stored, name: value})


def test_an_older_run_is_trained_again_as_it_was():
    """Given to `--config`, its file means what it did."""
    file = OLDER / "natural.json"
    again = resolve(load_settings(file), {"seed": 3})
    assert again == config.from_stored(
        json.loads(file.read_text())["settings"]
    ).replace(seed=3)
    assert (again.optimizer, again.averaging) == ("adam", 0)


@pytest.mark.parametrize("dataset", ["cifar10", "digits"])
@pytest.mark.parametrize("method", ["gan", "fgsm", "pgd"])
@pytest.mark.parametrize("preset", presets.PRESETS)
def test_the_undefended_twin_keeps_data_classifier_and_budget(
    preset, method, dataset
):
    defended = resolve(
        {"preset": preset, "method": method, "dataset": dataset},
        {
            "epochs": 7,
            "batch_size": 48,
            "seed": 5,
            "train_images": 500,
            "classifier_width": 0.5,
            "classifier_learning_rate": 3e-4,
            "eval_eps": 0.07,
        },
    )
    twin = baseline_of(defended)
    assert twin.method == "natural"
    assert twin.clean_weight == 1
    kept = {*fields.field_names(TrainConfig), *defended.network_settings}
    for name in kept - {"method", *config.PERTURBING}:
        assert getattr(twin, name) == getattr(defended, name), name


@pytest.mark.parametrize("preset", presets.PRESETS)
@pytest.mark.parametrize("dataset", ["cifar10", "digits"])
def test_the_undefended_twin_can_be_trained_again_by_itself(dataset, preset):
    twin = baseline_of(resolve({"preset": preset, "dataset": dataset}))
    assert resolve(dataclasses.asdict(twin)) == twin


def test_runs_are_called_after_what_distinguishes_them():
    assert resolve({"formulation": "grad"}).run_label == "grad"
    assert resolve({"formulation": "xz"}).run_label == "start-xz"
    assert resolve({"method": "pgd"}).run_label == "pgd"
    control = resolve({"method": "start", "start_from": "noise"})
    assert control.run_label == "start-noise"


@pytest.mark.parametrize(
    ("given", "method"),
    [
        ({}, "nfgsm"),
        ({"preset": "paper"}, "gan"),
        ({"preset": "paper", "formulation": "x"}, "gan"),
        ({"formulation": "grad"}, "gan"),
        ({"formulation": "grad_x"}, "gan"),
        ({"formulation": "x"}, "start"),
        ({"formulation": "xz"}, "start"),
        ({"formulation": "x", "method": "gan"}, "gan"),
    ],
    ids=str,
)
def test_who_names_no_method_has_the_best_for_the_input(given, method):
    assert resolve(given).method == method


def test_none_leaves_mirroring_to_the_data_set():
    flags = Flags([Part(TrainConfig)])
    given = flags.parse(["--horizontal_flip=none", "--eps=8"])
    assert given == {"horizontal_flip": None, "eps": 8 / 255}
    assert resolve(given).horizontal_flip is None
