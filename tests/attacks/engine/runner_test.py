"""Plans on a classifier: verdicts, targets, costs, and runs that are cut."""

import dataclasses
import functools
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import slow
from toys import problem_of, run_attack, smooth_network

from tfgan_robust.attacks.engine import runner
from tfgan_robust.attacks.engine.runner import AttackRunner
from tfgan_robust.attacks.generators import GeneratorAttack, Perturbation
from tfgan_robust.attacks.plan import (
    AttackPlan,
    Stage,
    parse_attack,
    transferred,
)
from tfgan_robust.errors import UsageError

SHAPE = (5, 5, 2)
CLASSES = 5
COUNT = 21
EPS = 0.012
SEED = 3


def runner_of(batch_size=8, logits_fn=None, classes=CLASSES, **settings):
    settings = {"jit_compile": "false", **settings}
    return AttackRunner(
        logits_fn or smooth_network(),
        classes,
        batch_size=batch_size,
        **settings,
    )


def data():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (COUNT, *SHAPE)).astype(np.uint8)
    images[:, 0], images[:, -1] = 0, 255
    labels = np.argmax(smooth_network()(images / np.float32(255)), axis=1)
    labels[::7] = (labels[::7] + 1) % CLASSES  # Wrong from the start.
    return images, labels


def expected_outcome(plan, eps):
    """All images at once through every run of every stage, none left out."""
    images, labels = data()
    images = images / np.float32(255)
    logits_fn = smooth_network()
    clean = logits_fn(images).numpy()
    others = [
        sorted(set(range(CLASSES)) - {label}, key=lambda k: -row[k])
        for row, label in zip(clean, labels, strict=True)
    ]
    fooled = np.zeros(COUNT, bool)
    predicted, size = labels.copy(), np.full(COUNT, np.nan)
    if plan.protocol == "worst":
        fooled = clean.argmax(axis=1) != labels
        predicted[fooled] = clean.argmax(axis=1)[fooled]
        size[fooled] = 0
    for stage in plan.stages:
        attack = stage.build(plan)
        own = zlib.crc32(stage.name.encode())
        num_targets = min(stage.num_targets, CLASSES - 1)

        @tf.function(autograph=False)
        def run(problem, attack=attack):
            return run_attack(attack, logits_fn, problem)

        for attempt in range(max(num_targets, 1) * stage.num_restarts):
            rank = attempt // stage.num_restarts
            seeds = [(SEED, own, number, attempt) for number in range(COUNT)]
            targets = [o[rank] for o in others]
            result = run(
                problem_of(
                    attack, images, labels, eps, targets=targets, seed=seeds
                )
            )
            new = result.fooled.numpy() & ~fooled
            changes = (result.images - images).numpy().reshape(COUNT, -1)
            order = np.inf if plan.norm == "linf" else 2
            fooled |= new
            predicted[new] = result.predicted.numpy()[new]
            size[new] = np.linalg.norm(changes, order, axis=1)[new]
    return fooled, predicted, size


def several_stages():
    stages = [
        parse_attack(name).stages[0]
        for name in ("noise", "pgd-2", "apgd-t-4", "fab-t-3", "square-20")
    ]
    stages[-1].settings["rescaled"] = False
    return AttackPlan("several", tuple(stages))


PLANS = {
    "fgsm": parse_attack("fgsm"),
    "final": parse_attack("pgd-4", protocol="final"),
    "restarts": parse_attack("pgd-3-margin", num_restarts=3),
    "targets": parse_attack("pgd-3-t", num_restarts=2),
    "final-targets": parse_attack("pgd-2-dlr-t", protocol="final"),
    "steps": parse_attack("pgd-3", step_sizes=(0.1, 0.5, 1.0)),
    "l2": parse_attack("pgd-4", norm="l2", momentum=0.5),
    "several": several_stages(),
}


@functools.cache
def expected(name):
    plan = PLANS[name]
    return expected_outcome(plan, 4 * EPS if plan.norm == "l2" else EPS)


def measured(name, batch_size, **settings):
    plan = PLANS[name]
    return runner_of(min(batch_size, COUNT), **settings).measure(
        plan,
        *data(),
        eps=4 * EPS if plan.norm == "l2" else EPS,
        seed=SEED,
    )


@pytest.mark.parametrize(
    ("name", "batch_size"),
    [
        ("fgsm", 8),
        ("restarts", 5),
        ("several", 8),
        *slow(
            ("final", 5),
            ("targets", 1),
            ("targets", 64),
            ("final-targets", 5),
            ("steps", 8),
            ("l2", 8),
        ),
    ],
)
def test_outcomes_are_those_of_running_everything_on_everyone(name, batch_size):
    fooled, predicted, size = expected(name)
    assert 3 < np.count_nonzero(fooled) < COUNT - 2
    outcome = measured(name, batch_size)
    np.testing.assert_array_equal(outcome.fooled, fooled)
    np.testing.assert_array_equal(outcome.correct, ~fooled)
    np.testing.assert_array_equal(outcome.predicted, predicted)
    np.testing.assert_allclose(outcome.size, size, rtol=0, atol=1e-6)
    assert outcome.predicted.dtype == np.int32
    assert outcome.stages_done == COUNT * len(PLANS[name].stages)
    # Nobody survives a stage that was not run, or is left behind.
    stage = outcome.stage[~fooled]
    np.testing.assert_array_equal(stage, len(PLANS[name].stages))


def linear_weights():
    """Of no sign near zero, so that rounding flips none."""
    rng = np.random.default_rng(1)
    signs = rng.choice([-1.0, 1.0], (50, 1))
    return signs * rng.uniform(0.5, 1.5, (50, 1)) * np.array([[-1.0, 1.0]])


def linear_logits(images):
    flat = tf.reshape(images, [-1, 50]) - 0.5
    return tf.matmul(flat, tf.constant(linear_weights(), tf.float32))


@pytest.mark.parametrize("name", ["pgd-3", *slow("apgd-ce-5", "fab-t-3")])
def test_xla_gives_the_verdicts_of_the_graph(name):
    images, _ = data()
    labels = np.argmax(linear_logits(images / np.float32(255)), axis=1)
    eps = 0.05
    weights = linear_weights()[:, 1] - linear_weights()[:, 0]
    corners = np.clip(
        images.reshape(COUNT, 50) / 255
        + eps * np.where(labels == 0, 1, -1)[:, None] * np.sign(weights),
        0,
        1,
    )
    scores = (corners - 0.5) @ weights
    assert np.abs(scores).min() > 1e-2  # Rounding decides no verdict.
    graph, xla = (
        runner_of(8, linear_logits, 2, jit_compile=choice).measure(
            parse_attack(name), images, labels, eps=eps
        )
        for choice in ("false", "true")
    )  # fmt: skip
    np.testing.assert_array_equal(graph.fooled, (scores > 0) != labels)
    np.testing.assert_array_equal(xla.fooled, graph.fooled)
    np.testing.assert_array_equal(xla.predicted, graph.predicted)
    np.testing.assert_allclose(xla.size, graph.size, rtol=0, atol=1e-5)
    assert 0 < np.count_nonzero(graph.fooled) < COUNT


STEP = 0.01


def staircase(images):
    """Fools once the first pixel is above one half; the gradient is up."""
    pixel = images[:, 0, 0, 0]
    verdict = tf.where(pixel > 0.5, 1.0, -1.0)
    score = pixel + tf.stop_gradient(verdict - pixel)
    return tf.stack([tf.zeros_like(score), score], axis=-1)


def stairs(steps):
    """Images that so many steps fool, and no fewer; 0 is wrong at once."""
    images = np.full((len(steps), 1, 1, 1), 0.5, np.float32)
    images[:, 0, 0, 0] -= STEP * (np.array(steps) - 0.5)
    return images, np.zeros(len(steps), np.int64)


def climb(steps, plan, batch_size=4, **settings):
    batch_size = min(batch_size, len(steps))
    return runner_of(batch_size, staircase, 2, **settings).measure(
        plan, *stairs(steps), eps=0.5
    )


def climbing(name="pgd-10", **given):
    return parse_attack(name, step_size=STEP, random_start=False, **given)


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_passes_are_counted_exactly(batch_size):
    steps = [3, 0, 10, 11, 1, 7, 40, 2, 5]
    outcome = climb(steps, climbing(), batch_size)
    np.testing.assert_array_equal(outcome.fooled, np.array(steps) <= 10)
    # The start and one look after each step; nothing for a clean error.
    looks = sum(min(s, 10) + 1 for s in steps if s > 0)
    (totals,) = outcome.totals
    assert totals.steps == looks
    assert totals.forward_passes == totals.backward_passes == looks
    assert outcome.mean("forward_passes") == looks / len(steps)
    assert outcome.mean("backward_passes") == looks / len(steps)
    longest = STEP * np.array(steps)
    np.testing.assert_allclose(
        outcome.size,
        np.where(longest <= 0.101, longest, np.nan),
        rtol=0,
        atol=1e-5,
    )
    assert outcome.largest_perturbation == pytest.approx(0.1, abs=1e-5)


def test_final_takes_every_step_of_every_image():
    steps = [3, 0, 10, 11]
    outcome = climb(steps, climbing(protocol="final"))
    np.testing.assert_array_equal(outcome.fooled, np.array(steps) <= 10)
    assert outcome.totals[0].steps == 4 * 11
    # The clean error is attacked like the others.
    np.testing.assert_allclose(outcome.size[:3], 0.1, atol=1e-5)


def test_a_stage_attacks_only_what_is_left_standing():
    steps = [3, 0, 10, 11, 1, 7, 40, 2, 5]
    stages = tuple(climbing(f"pgd-{n}").stages[0] for n in (2, 5, 10))
    outcome = climb(steps, AttackPlan("three", stages))
    for totals, first, last in zip(
        outcome.totals, (1, 3, 6), (2, 5, 10), strict=True
    ):
        looks = sum(min(s, last) + 1 for s in steps if s >= first)
        assert totals.steps == looks
    stages = np.searchsorted([0, 2, 5, 10], steps) - 1
    np.testing.assert_array_equal(outcome.stage, stages)
    assert outcome.stages_done == 3 * len(steps)


def test_a_surrogate_costs_a_pass_more():
    outcome = climb(
        [3, 0, 10, 11], transferred(climbing()), surrogate=staircase
    )
    looks = 4 + 11 + 11
    assert outcome.totals[0].forward_passes == 2 * looks
    assert outcome.totals[0].backward_passes == looks
    np.testing.assert_array_equal(outcome.fooled, [True, True, True, False])


def test_a_surrogate_leads_the_way():
    def downhill(images):
        return -staircase(images)

    outcome = climb([3, 0, 10, 11], transferred(climbing()), surrogate=downhill)
    np.testing.assert_array_equal(outcome.fooled, [False, True, False, False])


def test_restarts_and_targets_stop_at_the_first_that_fools():
    """Each target in turn; what it takes is counted for all of them."""
    aims = [1, 2, 3, 4, 9]  # Which class gives in; 9 for none.

    def logits_fn(images):
        # Class k gives in once the pixel k is above one half.
        pixels = images[:, 0, 0, :]
        score = pixels + tf.stop_gradient(
            tf.where(pixels > 0.5, 1.0, -1.0) - pixels
        )
        return tf.concat([tf.zeros_like(score[:, :1]), score[:, 1:]], axis=-1)

    images = np.full((len(aims), 1, 1, 5), 0.1, np.float32)
    for row, aim in zip(images, aims, strict=True):
        if aim < 5:
            row[0, 0, aim] = 0.5 - 2.5 * STEP  # Three steps away.
    labels = np.zeros(len(aims), np.int64)
    plan = climbing("pgd-4-margin-t")
    outcome = runner_of(2, logits_fn).measure(plan, images, labels, eps=0.2)
    np.testing.assert_array_equal(outcome.fooled, [True] * 4 + [False])
    np.testing.assert_array_equal(outcome.predicted, [1, 2, 3, 4, 0])
    # Equal logits keep their order, so that class 1 comes first: five looks
    # at each target in vain, then four.
    assert outcome.totals[0].steps == 4 + 9 + 14 + 19 + 20


def snapshot(outcome):
    values = dataclasses.asdict(outcome)
    for totals in values["totals"]:
        totals.pop("seconds")
    return values


def assert_equal(found, expected):
    for name, value in snapshot(found).items():
        np.testing.assert_array_equal(value, snapshot(expected)[name], name)


@pytest.mark.parametrize("name", ["several", *slow("targets")])
def test_a_run_that_is_cut_off_ends_as_if_it_were_not(name):
    images, labels = data()
    runner = runner_of()
    plan = PLANS[name]
    clean = runner.clean(images, labels)

    def begin():
        return runner.begin(plan, labels, clean)

    def advance(outcome, count=None):
        """Until so many are settled, or to the end; how many there were."""
        run = runner.run(
            plan, images, labels, clean, outcome, eps=EPS, seed=SEED
        )
        for settled, _ in enumerate(run, 1):
            if settled == count:
                run.close()
                return settled
        return 0

    whole = begin()
    advance(whole)
    fooled, predicted, _ = expected(name)
    np.testing.assert_array_equal(whole.fooled, fooled)
    for count in (1, 3):
        cut = begin()
        cuts = 0
        while advance(cut, count):
            cuts += 1
            assert cuts <= whole.stages_done  # Each of them settles some.
        assert_equal(cut, whole)
    done = snapshot(whole)
    advance(whole)  # There is nothing left to do.
    np.testing.assert_equal(snapshot(whole), done)


def test_what_is_yielded_is_settled():
    images, labels = data()
    runner = runner_of()
    plan = PLANS["targets"]
    clean = runner.clean(images, labels)
    outcome = runner.begin(plan, labels, clean)
    seen = []
    for done in runner.run(
        plan, images, labels, clean, outcome, eps=EPS, seed=SEED
    ):
        assert outcome.fooled[done.number] == done.fooled
        assert done.fooled or outcome.stage[done.number] == 1
        answer = np.argmax(smooth_network()(done.image[np.newaxis]))
        assert (answer != labels[done.number]) == done.fooled
        change = np.abs(done.image - images[done.number] / np.float32(255))
        assert done.size == pytest.approx(change.max(), abs=1e-6)
        seen.append(done.number)
    assert sorted(seen) == list(np.flatnonzero(clean.correct))


def test_verdicts_of_others_change_nothing():
    """Images that are settled before are left out, and nobody notices."""
    images, labels = data()
    runner = runner_of(5)
    plan = PLANS["restarts"]
    fooled, predicted, _ = expected("restarts")
    clean = runner.clean(images, labels)
    outcome = runner.begin(plan, labels, clean)
    outcome.stage[3:] = 1
    for _ in runner.run(
        plan, images, labels, clean, outcome, eps=EPS, seed=SEED
    ):
        pass
    np.testing.assert_array_equal(outcome.fooled[:3], fooled[:3])
    np.testing.assert_array_equal(outcome.predicted[:3], predicted[:3])


def test_the_clean_pass_ranks_the_classes():
    images, labels = data()
    logits = smooth_network()(images / np.float32(255)).numpy()
    told = []
    for batch_size in (1, 8, 64):
        runner = runner_of(batch_size)
        clean = runner.clean(images, labels, lambda *news: told.append(news))
        np.testing.assert_array_equal(clean.predicted, logits.argmax(axis=1))
        np.testing.assert_array_equal(
            clean.correct, logits.argmax(axis=1) == labels
        )
        assert clean.ranking.shape == (COUNT, CLASSES - 1)
        for row, ranking, label in zip(
            logits, clean.ranking, labels, strict=True
        ):
            assert set(ranking) == set(range(CLASSES)) - {label}
            assert np.all(np.diff(row[ranking]) <= 0)
        assert told[-1] == (COUNT, np.count_nonzero(clean.correct))
    assert told[1] == (2, np.count_nonzero((logits.argmax(1) == labels)[:2]))


def test_nan_logits_are_no_right_answer():
    def logits_fn(images):
        logits = tf.one_hot(tf.zeros_like(images[:, 0, 0, 0], tf.int32), 5)
        nan = float("nan") * tf.ones_like(logits)
        bad = images[:, 0, 0, 0] > 0.5
        return tf.where(bad[:, tf.newaxis], nan, logits)

    images = np.zeros((3, *SHAPE), np.float32)
    images[1, 0, 0, 0] = 1
    labels = np.zeros(3, np.int64)
    runner = runner_of(2, logits_fn)
    clean = runner.clean(images, labels)
    np.testing.assert_array_equal(clean.correct, [True, False, True])
    np.testing.assert_array_equal(clean.predicted, [0, -1, 0])
    outcome = runner.begin(parse_attack("noise"), labels, clean)
    np.testing.assert_array_equal(outcome.predicted, [0, -1, 0])


def test_clean_errors_count_under_worst_only():
    images, labels = data()
    runner = runner_of()
    clean = runner.clean(images, labels)
    worst = runner.begin(parse_attack("pgd-2"), labels, clean)
    np.testing.assert_array_equal(worst.fooled, ~clean.correct)
    np.testing.assert_array_equal(worst.predicted, clean.predicted)
    np.testing.assert_array_equal(worst.stage, clean.correct - 1)
    np.testing.assert_array_equal(worst.size == 0, ~clean.correct)
    final = runner.begin(parse_attack("pgd-2", protocol="final"), labels, clean)
    assert not np.any(final.fooled) and not np.any(final.stage)
    np.testing.assert_array_equal(final.predicted, labels)


@pytest.mark.parametrize("classes", [2, *slow(3)])
@pytest.mark.parametrize("name", ["apgd-t-4", "apgd-dlr-4", "pgd-2-dlr-t"])
def test_few_classes_are_no_obstacle(name, classes):
    def few(images):
        return smooth_network()(images)[:, :classes]

    images, _ = data()
    labels = np.argmax(few(images / np.float32(255)), axis=1)
    outcome = runner_of(8, few, classes).measure(
        parse_attack(name), images, labels, eps=0.05
    )
    assert np.any(outcome.fooled)


def test_each_attack_is_compiled_once_for_all_radii_and_runs():
    traces = []

    def logits_fn(images):
        traces.append(images.shape[0])
        return smooth_network()(images)

    runner = runner_of(8, logits_fn)
    images, labels = data()
    plan = parse_attack("pgd-2")
    runner.measure(plan, images, labels, eps=0.01)
    # The clean pass, and the attack on batches of any size.
    assert traces == [8, None]
    for eps in (0.0, 0.02):
        runner.measure(plan, images, labels, eps=eps, seed=1)
    runner.measure(parse_attack("pgd-2"), images[:9], labels[:9], eps=0.01)
    assert traces == [8, None]


@pytest.mark.slow
def test_no_radius_fools_nobody_who_is_right():
    images, labels = data()
    runner = runner_of()
    for name in ("several", "targets"):
        outcome = runner.measure(PLANS[name], images, labels, eps=0.0)
        right = runner.clean(images, labels).correct
        np.testing.assert_array_equal(outcome.correct, right)
        assert outcome.largest_perturbation == 0


def generator(scale):
    """Of constant directions, all up or all down."""
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(3, 1, activation="tanh"),
        ]
    )
    model.set_weights([np.zeros((1, 1, 3, 3)), np.full(3, scale)])
    return model


def brightness(images):
    """Class 0 for gray; 1 and 2 for what is brighter or darker by 0.05."""
    offset = tf.reduce_mean(images, axis=[1, 2, 3]) - 0.5
    return tf.stack([tf.fill(tf.shape(offset), 0.05), offset, -offset], 1)


def test_generators_attack_one_after_another():
    how = Perturbation(formulation="x")
    images = np.full((4, 16, 16, 3), 0.5, np.float32)
    images[1] += 0.03
    images[2] -= 0.03
    images[3] += 0.2
    labels = np.zeros(4, np.int64)
    plan = parse_attack("generators")
    runner = runner_of(
        4,
        brightness,
        3,
        generators=[GeneratorAttack(generator(s), how) for s in (9.0, -9.0)],
    )
    outcome = runner.measure(plan, images, labels, eps=0.04)
    np.testing.assert_array_equal(outcome.fooled, [False, True, True, True])
    np.testing.assert_array_equal(outcome.predicted, [0, 1, 2, 1])
    np.testing.assert_array_equal(outcome.stage, [1, 0, 0, -1])
    # The first on three images, the second on the two that are left.
    assert outcome.totals[0].steps == outcome.totals[0].forward_passes == 5
    clean = runner.clean(images, labels)
    for count in (1, 2, 4):
        cut = runner.begin(plan, labels, clean)
        for stop in (count, None):  # Cut off once, then brought to its end.
            run = runner.run(plan, images, labels, clean, cut, eps=0.04)
            for settled, _ in enumerate(run, 1):
                if settled == stop:
                    run.close()
                    break
        for part in ("fooled", "predicted", "stage", "size"):
            np.testing.assert_array_equal(
                getattr(cut, part), getattr(outcome, part)
            )
        # What was cut off and began anew counts once.
        assert cut.totals[0].steps == cut.totals[0].forward_passes == 5


def test_seconds_are_those_of_the_attack_alone(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(runner.time, "monotonic", lambda: clock[0])

    def take(done):
        clock[0] += 1000

    engine, (images, labels) = runner_of(), data()
    plan = parse_attack("fgsm")
    clean = engine.clean(images, labels)
    outcome = engine.begin(plan, labels, clean)
    for _ in engine.run(plan, images, labels, clean, outcome, eps=EPS,
                        take=take):  # fmt: skip
        clock[0] += 1
    assert clock[0] > 1000
    # What happens in between the images belongs to others, too.
    assert outcome.totals[0].seconds == 0


def test_no_generators_no_attack():
    with pytest.raises(UsageError, match="method=gan, or start.*kept them"):
        runner_of().measure(parse_attack("generators"), *data(), eps=EPS)


def test_the_stages_of_a_plan_do_not_share_their_noise():
    """Stages of one name do, so that a stage alone repeats what it did."""
    stage = Stage("noise", "noise")
    other = dataclasses.replace(stage, name="more-noise")
    sizes = [
        runner_of().measure(AttackPlan("plan", (s,)), *data(), eps=0.05).size
        for s in (stage, stage, other)
    ]
    np.testing.assert_array_equal(sizes[0], sizes[1])
    assert not np.array_equal(sizes[0], sizes[2], equal_nan=True)


def test_settings_that_a_class_does_not_take_are_refused():
    stage = Stage("noise", "noise", {"strength": 3})
    with pytest.raises(UsageError, match="noise.*'strength'"):
        runner_of().measure(AttackPlan("plan", (stage,)), *data(), eps=EPS)
