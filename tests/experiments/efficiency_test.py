"""What the comparison of methods is made of, without its trainings."""

import json

import numpy as np
import pretended
import pytest
import tensorflow as tf

from experiments import collapse, costs, efficiency
from experiments.harness import options, seconds, study, variants
from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training import alarms
from tfgan_robust.training.build import build_model

SHAPE = (16, 16, 3)


def row(variant, budget, accuracy, seed=0, time=None):
    return {
        "variant": variant,
        "budget": budget,
        efficiency.TIME: time or budget,
        "seed": seed,
        "accuracy": [
            {"attack": "clean", "eps": 0.0, "accuracy": 0.9},
            {"attack": "pgd-20", "eps": 0.1, "accuracy": 0.8},
            {"attack": "autoattack-fast", "eps": 0.1, "accuracy": accuracy},
        ],
    }


def test_a_curve_has_mean_and_range_of_its_seeds():
    rows = [
        row("gan", 10, 0.25, time=9.5),
        row("gan", 30, 0.35),
        row("gan", 10, 0.75, 1, time=9.5),
    ]
    curves = efficiency.curves(rows)
    # Where whole epochs end, not at the budget.
    assert curves == {"gan": [(9.5, 50, 25, 75), (30, 35, 35, 35)]}
    figure = efficiency.draw(rows, None)
    drawn = figure.axes[1].lines[0].get_xdata()
    assert list(drawn) == [9.5, 30]
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == list(variants.FAMILIES)


def test_every_variant_is_drawn_and_looks_like_no_other():
    rows = [row(name, 10, 0.3) for name in variants.VARIANTS]
    panels = efficiency.draw(rows, None).axes
    drawn = [line for panel in panels for line in panel.lines]
    assert {line.get_label() for line in drawn} == set(variants.VARIANTS)
    for panel in panels:
        looks = [(x.get_color(), x.get_marker()) for x in panel.lines]
        assert len(set(looks)) == len(looks)


def test_each_trial_is_compared_with_the_best_of_its_time():
    best, other = np.ones(20, bool), np.arange(20) >= 12
    masks = {"a": other, "b": best, "c": other}
    abouts = {"a": ("gan", 10, 0), "b": ("fgsm", 10, 0), "c": ("fgsm", 30, 0)}
    (line,) = efficiency.paired(masks, abouts)
    assert (line["variant"], line["best"]) == ("gan", "fgsm")
    assert (line["only this"], line["only the best"]) == (0, 12)
    assert line["p"] == pytest.approx(2 / 2**12)


@pytest.mark.parametrize("variant", ["gan", "gan, magnitude"])
def test_generators_start_as_fgsm_with_a_random_start(variant):
    shared = {"dataset": "digits", "classifier_width": 0.05}
    gan, fgsm = (
        build_model(
            resolve({**shared, **variants.VARIANTS[name]}), SHAPE, 10
        ).method
        for name in (variant, "fgsm")
    )
    rng = np.random.default_rng(0)
    images = tf.constant(rng.random((4, *SHAPE), np.float32))
    labels, seed = tf.constant([0, 1, 2, 3]), tf.constant([1, 2])
    (found,) = gan.perturb(images, labels, seed)
    _, size = fgsm.steps
    expected = pgd(
        gan.logits_fn, images, labels, eps=fgsm.radius, num_steps=1,
        step_size=size, start=gan.prepare(images, labels, seed).start,
    )  # fmt: skip
    off = np.abs(found - expected) > 1e-5
    # Where the gradient is about zero, rounding decides its sign.
    assert off.mean() < 0.01
    assert np.abs(expected - images).max() > 0.1


def test_names_of_trainings_differ():
    names = {
        variants.trial_name(variant, budget, seed)
        for variant in variants.VARIANTS
        for budget in (10, 30)
        for seed in (0, 1)
    }
    assert len(names) == 4 * len(variants.VARIANTS)
    assert variants.trial_name("gan, as it was", 10, 2) == (
        "gan-as-it-was-10-2"
    )


def test_a_history_has_accuracies_and_alarms_of_a_collapse(tmp_path):
    run = RunDirectory(tmp_path)
    lines = ["epoch," + ",".join(alarms.COMPARED)]
    for epoch, left in enumerate(["0.2", "", "0.4", "0.19", "0.3"], 1):
        others = [left and "0.5"] * (len(alarms.COMPARED) - 1)
        lines.append(",".join([f"{epoch}.0", *others, left]))
    run.metrics.write_text("\n".join(lines) + "\n")
    given = [
        {"epoch": epoch, "name": name, "message": "it did"}
        for epoch, name in ((3, "modes_disagree"), (4, "pgd_collapses"))
    ]
    run.alarms.write_text(json.dumps(given))
    found = collapse.history(run)
    assert found["alarms"] == [(4, "pgd_collapses")]
    assert found["pgd"] == [0.2, 0.4, 0.19, 0.3]
    assert found["at"] == [1, 3, 4, 5]


PRESET = options.Preset(
    "some",
    {
        "training": {"dataset": "digits"},
        "measuring": {},
        "efficiency": {
            "variants": ["nfgsm", "gan", "trades"],
            "longer": ["gan", "nfgsm", "trades"],
            "budgets": [1, 2],
            "seeds": [0, 7],
            "within": 2.0,
            "best": 1,
        },
        "collapse": {
            "training": {"eps": "0.3", "eval_every": 1},
            "variants": ["gan"],
            "budget": 3,
            "seeds": [0],
        },
    },
)
REACHED = {"nfgsm": 0.5, "gan": 0.49, "trades": 0.4}


@pytest.fixture
def timed(monkeypatch):
    """Notes which steps are timed; all take equally long."""
    found = []

    def measured(file, wanted, steps=0, builds=None):
        found.extend(seconds.key(each) for each in wanted)
        return {seconds.key(each): 1.0 for each in wanted}

    monkeypatch.setattr(seconds, "measured", measured)
    monkeypatch.setattr(
        efficiency,
        "rows_of",
        lambda trials, place: [
            row(t.about["variant"], 1, REACHED[t.about["variant"]])
            for t in trials
            if all(place.is_measured(t, each) for each in t.measurements)
        ],
    )
    return found


def names(trials):
    return [trial.name.removeprefix("efficiency/") for trial in trials]


def test_only_steps_of_what_is_trained_are_timed(timed):
    efficiency.trials(PRESET, pretended.Pretended())
    known = set(timed)
    # The unit beside the preset's variants.
    assert len(known) == 4
    timed.clear()
    # The radius changes no step.
    collapse.trials(PRESET, pretended.Pretended())
    assert set(timed) < known


def test_a_training_says_how_long_its_whole_epochs_last(timed, monkeypatch):
    def measured(file, wanted, steps=0, builds=None):
        known = {"nfgsm": 1.0, "fgsm": 1.0, "gan": 1.5, "trades": 4.0}
        return {seconds.key(each): known[each["method"]] for each in wanted}

    monkeypatch.setattr(seconds, "measured", measured)
    section = {**PRESET.stored["efficiency"], "budgets": [10]}
    preset = options.Preset("some", {**PRESET.stored, "efficiency": section})
    found = {
        trial.about["variant"]: (
            trial.config.epochs, trial.about[efficiency.TIME],
        )
        for trial in efficiency.trials(preset, pretended.Pretended())
    }  # fmt: skip
    # As many epochs as come nearest to ten of FGSM, and what they last.
    assert found == {"nfgsm": (10, 10.0), "gan": (7, 10.5), "trades": (2, 8.0)}


def test_more_seeds_have_those_close_to_the_best_and_then_the_best(timed):
    place = pretended.Pretended()
    once = efficiency.trials(PRESET, place)
    assert names(once) == [
        "nfgsm-1-0", "gan-1-0", "trades-1-0",
        "gan-2-0", "nfgsm-2-0", "trades-2-0",
    ]  # fmt: skip
    assert efficiency.more_seeds(PRESET, place) == []
    titles = [f"measure {trial.name}, validation" for trial in once]
    # A longer time is not asked for before the shorter one is known.
    place.done.update(titles[3:])
    assert efficiency.more_seeds(PRESET, place) == []
    place.done.update(titles)
    more = efficiency.more_seeds(PRESET, place)
    # The best generator is not the best of all.
    assert names(more) == ["nfgsm-1-7", "gan-1-7", "nfgsm-2-7", "gan-2-7"]
    assert {trial.config.seed for trial in more} == {7}


def test_seeds_that_are_kept_stay_whatever_is_missing_beside_them(timed):
    place = pretended.Pretended()
    # Such as a variant that is new would be.
    assert efficiency.more_seeds(PRESET, place) == []
    published = efficiency.EXPERIMENT.published(PRESET, place)
    assert names(published) == [
        "nfgsm-1-0", "gan-1-0", "trades-1-0",
        "gan-2-0", "nfgsm-2-0", "trades-2-0",
        "nfgsm-1-7", "gan-1-7", "trades-1-7",
        "gan-2-7", "nfgsm-2-7", "trades-2-7",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reached", "count"), [((0.5, 0.4, 0.3), 4), ((0.5, 0.5, 0.5), 5)]
)
def test_further_seeds_are_counted_at_most(timed, monkeypatch, reached, count):
    for name, value in zip(REACHED, reached, strict=True):
        monkeypatch.setitem(REACHED, name, value)
    place = pretended.Pretended()
    for trial in efficiency.trials(PRESET, place):
        place.done.add(f"measure {trial.name}, validation")
    most = efficiency.most_seeds(PRESET, place)
    assert len(names(most)) == len(set(names(most))) == 5
    more = efficiency.more_seeds(PRESET, place)
    assert len(more) == count
    assert {trial.name for trial in more} <= {trial.name for trial in most}


def test_the_cost_of_a_preset_has_further_seeds(timed, tmp_path):
    place = study.Study(tmp_path, tmp_path)
    (tmp_path / "costs.json").write_text("{}")
    preset = options.Preset.load("cpu")
    rows = costs.of_experiments(preset, place, 1)
    section = preset.section("efficiency")
    seeds = len(section["seeds"]) - 1
    count = seeds * (len(section["variants"]) + section["best"] + 1)
    assert rows["efficiency"]["later trainings"] == count
    # All epochs last alike here: ten and thirty of them for each.
    part = seeds * (10 * len(section["variants"]) + 30 * (section["best"] + 1))
    once = 10 * len(section["variants"]) + 30 * len(section["longer"])
    found = rows["efficiency"]
    assert found["later hours"] / found["hours"] == pytest.approx(part / once)
    assert f"at most {count} of further seeds" in costs.told(found)
    assert "further" not in costs.told(rows["collapse"])


@pytest.mark.parametrize(
    ("reached", "count", "expected"),
    [
        (("start noise", "nfgsm", "pgd-2", "start x", "gan"), 3,
         ["start noise", "nfgsm", "pgd-2", "start x"]),
        (("gan", "start x", "start grad", "pgd-7"), 2,
         ["gan", "start x", "pgd-7"]),
        (("nfgsm", "gan", "start x"), 2, ["nfgsm", "gan"]),
        (("nfgsm", "fgsm"), 1, ["nfgsm"]),
        ((), 3, []),
    ],
)  # fmt: skip
def test_both_sides_of_the_claim_are_among_the_best(reached, count, expected):
    values = {name: 50.0 - place for place, name in enumerate(reached)}
    backwards = dict(reversed(values.items()))
    assert efficiency.best(backwards, count) == expected


def test_a_variant_that_fails_does_not_keep_others_from_more_seeds(timed):
    place = pretended.Pretended()
    once = efficiency.trials(PRESET, place)
    place.failed["train efficiency/nfgsm-1-0"] = "a loss became NaN"
    place.done.update(f"measure {each.name}, validation" for each in once[1:])
    assert names(efficiency.more_seeds(PRESET, place))[:1] == ["gan-1-7"]
    for each in once:
        place.failed[f"train {each.name}"] = "a loss became NaN"
    place.done.clear()
    assert efficiency.more_seeds(PRESET, place) == []
