"""Audits: each way to mask gradients is found, a sound network passes."""

import dataclasses
import json
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from masks import shadowed
from trained import build_network, train

from tfgan_robust.attacks.engine.runner import AttackRunner
from tfgan_robust.audit.audit import audit_classifier
from tfgan_robust.audit.checks import CHECKS, add_check
from tfgan_robust.audit.context import STRONGER, WHITE_BOX, AuditContext
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.fresh import fresh_logits
from tfgan_robust.classifiers.loading import load_classifier
from tfgan_robust.cli import importing
from tfgan_robust.data.loading import load_test, load_training
from tfgan_robust.data.splits import representative_order
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.levels import to_levels
from tfgan_robust.lazy import load
from tfgan_robust.reports.verdicts import Finding, format_audit, overall

EPS = 0.15
NUM_IMAGES = 64
# Forward and backward, for each image: more would make an audit a burden.
MOST_PASSES = 1500


@pytest.fixture(scope="module")
def digits():
    _, test = load_test("digits")
    return test.images[:NUM_IMAGES], test.labels[:NUM_IMAGES]


def trained(steps, eps=0.0):
    _, split, _ = load_training("digits")
    model = train(build_network(), split, steps=steps, eps=eps)
    return Classifier.from_keras(model)


@pytest.fixture(scope="module")
def natural():
    return trained(150)


@pytest.fixture(scope="module")
def sound():
    return trained(200, EPS)


@pytest.fixture
def context(digits):
    def of(classifier, *, eps=EPS, measured=(), **rest):
        return AuditContext(classifier, *digits, eps, dict(measured), **rest)

    return of


def run(check, context):
    return load(CHECKS[check])(context)


def masked(natural, *, before=None, after=None):
    """A network behind something done to its images, or to its logits."""

    def logits_fn(images):
        logits = natural.logits_fn(images if before is None else before(images))
        return logits if after is None else after(logits)

    return dataclasses.replace(natural, logits_fn=logits_fn, features_fn=None)


def rounded(images, levels=8):
    return tf.round(images * levels) / levels


def straight_through(images, levels=8):
    """Rounding whose gradient is that of the identity."""
    return images + tf.stop_gradient(rounded(images, levels) - images)


def pretend(images, shown):
    """Changes nothing, but has the gradient of `shown`."""
    return shown + tf.stop_gradient(images - shown)


def mirrored(images):
    return pretend(images, tf.reverse(images, axis=[1, 2]))


def only_where_clean(images):
    """The gradient is true at images of 256 levels, opposed elsewhere."""
    level = images * 255
    clean = tf.abs(level - tf.round(level)) < 1e-3
    return pretend(images, tf.where(clean, images, -images))


def rippled(images):
    """A ripple too small to see, whose slope hides the network's."""
    return images + 0.005 * tf.sin(images * 4000)


def without_channel(images):
    """No gradient reaches one of the channels."""
    return pretend(images, images * [1.0, 1.0, 0.0])


def below_the_top(images):
    """No gradient reaches the lower half."""
    rows = tf.range(16)[None, :, None, None]
    return pretend(images, tf.where(rows < 8, images, 0.0))


def without_gradient(images):
    """Nothing reaches the images but a trace that leads nowhere."""
    return pretend(images, 1e-3 * tf.sin(1e3 * images))


def noisy(images):
    return images + tf.random.normal(tf.shape(images), stddev=0.1)


def scaled(logits):
    return logits * 1000


def certain(logits):
    """As the logarithm of probabilities that were rounded to 0 and 1."""
    return tf.math.log(tf.maximum(tf.nn.softmax(scaled(logits)), 1e-30))


def broken(logits):
    return logits * float("nan")


def test_a_soundly_trained_network_passes_everything(digits, sound, natural):
    seen = []
    checks = audit_classifier(
        sound,
        *digits,
        eps=EPS,
        undefended=natural,
        progress=lambda *now: seen.append(now),
    )
    assert overall(checks) == "PASS", format_audit(checks)
    assert seen == [(c.check, i, len(CHECKS)) for i, c in enumerate(checks, 1)]
    assert [c.check for c in checks if not c.was_made] == [
        "reported",
        "reloaded",
    ]
    figures = {c.check: c.figures for c in checks}
    assert 0.05 < figures["square"]["white_box"] < 0.8
    assert figures["undefended"]["pgd-100"] < 0.05
    json.dumps([dataclasses.asdict(c) for c in checks], allow_nan=False)
    passes = sum(c.forward_passes + c.backward_passes for c in checks)
    assert 100 < passes < MOST_PASSES


@pytest.mark.parametrize(
    ("done", "check"),
    [
        ({"before": rounded}, "gradients"),
        ({"before": mirrored}, "finite_differences"),
        ({"before": straight_through}, "finite_differences"),
        ({"before": lambda images: straight_through(images, levels=255)},
         "finite_differences"),
        ({"before": rippled}, "finite_differences"),
        ({"before": without_channel}, "finite_differences"),
        ({"before": below_the_top}, "finite_differences"),
        ({"before": only_where_clean}, "one_step"),
        ({"before": noisy}, "deterministic"),
        ({"before": lambda images: images - tf.reduce_mean(images, 0)},
         "batch_independence"),
        ({"after": certain}, "gradients"),
        ({"after": certain}, "whole_range"),
        ({"after": broken}, "gradients"),
        ({"after": broken}, "deterministic"),
        ({"after": broken}, "finite_differences"),
    ],
)  # fmt: skip
def test_each_mask_is_found(context, natural, done, check):
    found = run(check, context(masked(natural, **done)))
    assert found.verdict == "FAIL", found


@pytest.mark.parametrize(
    "check", ["gradients", "saturation", "whole_range", "noise"]
)
def test_large_logits_mask_nothing(context, natural, check):
    found = run(check, context(masked(natural, after=scaled)))
    assert found.verdict == "PASS", found


def test_a_collapsed_network_is_not_taken_for_a_masked_one(digits, natural):
    rare = (digits[1] == 0).astype(np.int64)

    def collapsed(logits):
        """Names one of two classes, whatever it is shown."""
        return 0.01 * logits[:, :2] + [1.0, 0.0]

    def judged(after, labels):
        network = masked(natural, after=after)
        network = dataclasses.replace(network, num_classes=2)
        return run(
            "whole_range", AuditContext(network, digits[0], labels, EPS, {})
        )

    found = judged(collapsed, rare)
    assert found.verdict == "PASS", found
    assert found.figures["chance"] == found.figures["pgd-100@1"] > 0.8
    # Of images of one class alone, nobody can tell.
    vanished = judged(lambda logits: certain(collapsed(logits)), 0 * rare)
    assert (vanished.verdict, vanished.figures["chance"]) == ("FAIL", 0.5)


def on_levels(images):
    """Which images hold 256 levels, as files do; [batch, 1]."""
    level = images * 255
    off = tf.reduce_max(tf.abs(level - tf.round(level)), axis=[1, 2, 3])
    return off[:, None] < 1e-3


def either(one, other, chosen):
    """One network on the images that `chosen` names, another on the rest."""

    def logits_fn(images):
        return tf.where(
            chosen(images), one.logits_fn(images), other.logits_fn(images)
        )

    return dataclasses.replace(one, logits_fn=logits_fn)


@pytest.mark.slow
def test_robustness_between_the_levels_of_files_is_found(
    context, sound, natural
):
    looked = context(either(natural, sound, on_levels))
    found = run("stored_images", looked)
    assert found.verdict == "FAIL", found
    assert found.figures["white_box"] > found.figures["stored"] + 0.15
    assert run("stored_images", context(sound)).verdict == "PASS"
    few = run("stored_images", context(sound, eps=0.003))
    assert few.verdict == "WARN" and "below one level" in few.message


@pytest.mark.parametrize(
    ("eps", "levels"),
    [(0.00784, 2), (0.03137, 8), (8 / 255, 8), (1.9 / 255, 1)],
)
def test_radii_as_people_type_them_hold_as_many_levels_as_are_measured(
    context, natural, monkeypatch, eps, levels
):
    asked = []

    def correct_under(self, attack, *, eps=None, **_):
        asked.append(eps)
        return np.ones(len(self), bool)

    monkeypatch.setattr(AuditContext, "correct_under", correct_under)
    run("stored_images", context(natural, eps=eps))
    assert asked[0] == levels / 255
    # By as much may images move that an evaluation stores.
    black, white = (np.full((1, 1, 1, 1), of, np.uint8) for of in (0, 255))
    assert to_levels(black, white, eps).item() == levels


@pytest.mark.slow
def test_a_network_that_knows_the_images_is_found(
    context, digits, sound, natural
):
    known, radius = digits[0] / np.float32(255), 0.08

    def is_known(images):
        distance = tf.abs(images[:, None] - known[None])
        nearest = tf.reduce_min(tf.reduce_max(distance, axis=[2, 3, 4]), 1)
        return nearest[:, None] <= radius + 1e-3

    looked = context(either(sound, natural, is_known), eps=radius)
    found = run("shifted_images", looked)
    assert found.verdict == "FAIL", found
    for honest in (sound, natural):
        assert run("shifted_images", context(honest)).verdict == "PASS"


def with_shadows(natural, **bonus):
    logits_fn = shadowed(natural.logits_fn, **bonus)
    return dataclasses.replace(natural, logits_fn=logits_fn, num_classes=20)


@pytest.mark.slow
def test_classes_that_shadow_others_are_found(context, natural):
    found = run("occurring_classes", context(with_shadows(natural)))
    assert found.verdict == "FAIL", found
    # All these attacks are deceived.
    assert found.figures["occurring"] < 0.1
    assert found.figures["white_box"] > 0.3
    plain = run("occurring_classes", context(natural))
    assert (plain.verdict, plain.figures) == ("PASS", {"dropped": 0})
    # Classes that nobody meets, and that shadow nothing.
    unused = dataclasses.replace(
        natural,
        logits_fn=lambda images: tf.pad(
            natural.logits_fn(images), [[0, 0], [0, 5]], constant_values=-20.0
        ),
        num_classes=15,
    )
    assert run("occurring_classes", context(unused)).verdict == "PASS"


@pytest.mark.slow
def test_a_class_that_only_the_network_names_does_not_occur(
    context, digits, natural
):
    known = tf.constant(digits[0][:10] / np.float32(255))

    def wins(images):
        """One image each."""
        apart = tf.abs(images[:, None] - known[None])
        return tf.cast(tf.reduce_max(apart, axis=[2, 3, 4]) < 1e-3, tf.float32)

    looked = context(with_shadows(natural, bonus=wins))
    assert len(np.union1d(looked.labels, looked.first_logits.argmax(-1))) == 20
    found = run("occurring_classes", looked)
    assert found.verdict == "FAIL", found


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda images: tf.reduce_mean(images, axis=0), "one by one"),
        (lambda images: images[0] - images, "in another order"),
        (lambda images: tf.random.normal(tf.shape(images)), "again"),
        (
            lambda images: (
                images if tf.executing_eagerly() else tf.zeros_like(images)
            ),
            "eagerly",
        ),
    ],
)
def test_answers_that_change_off_the_clean_images_are_found(
    context, natural, change, how
):
    def before(images):
        off = tf.logical_not(on_levels(images))[:, None, None]
        return tf.where(off, images - 0.3 * change(images), images)

    looked = context(masked(natural, before=before))
    assert run("deterministic", looked).verdict == "PASS"
    found = run("within_the_ball", looked)
    assert found.verdict == "FAIL", found
    assert how in found.message
    assert run("within_the_ball", context(natural)).verdict == "PASS"


@pytest.mark.parametrize(
    ("only", "how"),
    [
        (lambda: True, "in a full batch, in a full batch, eagerly"),
        (tf.executing_eagerly, "are others in a full batch, eagerly"),
        (lambda: not tf.executing_eagerly(), "are others in a full batch"),
    ],
)
def test_robustness_in_large_batches_only_is_found(
    context, natural, sound, only, how
):
    def large(images):
        if not only():
            return tf.zeros([tf.shape(images)[0], 1], tf.bool)
        return tf.logical_not(on_levels(images)) & (tf.shape(images)[0] > 32)

    looked = context(either(sound, natural, large))
    for check in ("deterministic", "batch_independence"):
        assert run(check, looked).verdict == "PASS"
    found = run("within_the_ball", looked)
    assert found.verdict == "FAIL", found
    assert found.message.endswith(how)
    assert run("within_the_ball", context(natural)).verdict == "PASS"


@pytest.mark.slow
def test_batches_are_as_large_as_those_that_were_measured(
    digits, natural, sound, monkeypatch
):
    alone = {"within_the_ball": CHECKS["within_the_ball"]}
    monkeypatch.setattr(CHECKS, "_rows", alone)

    def large(images):
        count = tf.shape(images)[0]
        return tf.fill([count, 1], count > 40)

    looked = either(sound, natural, large)
    for batch_size, verdict in ((40, "PASS"), (48, "FAIL"), (9999, "FAIL")):
        (found,) = audit_classifier(
            looked, *digits, eps=EPS, num_images=8, batch_size=batch_size
        )
        assert found.verdict == verdict, found


def lifted(logits):
    return logits + 1e5


def beside_another(logits):
    return tf.pad(logits, [[0, 0], [0, 1]], constant_values=-1e5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("after", "classes"), [(lifted, 10), (beside_another, 11)]
)
def test_the_size_of_logits_hides_no_other_answers(
    context, natural, after, classes
):
    def before(images):
        off = tf.logical_not(on_levels(images))[:, None, None]
        return tf.where(off, images - 0.3 * tf.reduce_mean(images, 0), images)

    natural = dataclasses.replace(natural, num_classes=classes)
    hidden = context(masked(natural, before=before, after=after))
    assert run("within_the_ball", hidden).verdict == "FAIL"
    honest = context(masked(natural, after=after))
    for check in (
        "deterministic", "batch_independence", "within_the_ball", "memory",
        "stored_images",
    ):  # fmt: skip
        found = run(check, honest)
        assert found.verdict == "PASS", (check, found)
    # What float32 left of a change so small may be rounding.
    found = run("finite_differences", honest)
    expected = "WARN" if after is lifted else "PASS"
    assert found.verdict == expected, found


@pytest.mark.slow
def test_logits_that_leave_files_by_a_step_that_nobody_sees_are_found(
    context, natural, sound
):
    def beside(images):
        level = images * 255
        off = tf.reduce_max(tf.abs(level - tf.round(level)), axis=[1, 2, 3])
        return ((off > 5e-4) & (off < 5e-3))[:, None]

    # Attacks seldom come there.
    found = run("stored_images", context(either(sound, natural, beside)))
    assert found.verdict == "FAIL", found
    assert found.figures["apart"] > 0.9
    assert found.figures["white_box"] - found.figures["stored"] < 0.05
    for honest in (sound, natural):
        found = run("stored_images", context(honest))
        assert (found.verdict, found.figures["apart"]) == ("PASS", 0)


@pytest.mark.slow
def test_what_only_the_last_layer_hides_is_found(context, natural, sound):
    found = run("inner_layers", context(with_shadows(natural)))
    assert found.verdict == "FAIL", found
    assert found.figures["fooled_beyond"] > 0.5
    for honest in (sound, natural):
        assert run("inner_layers", context(honest)).verdict == "PASS"


@pytest.mark.slow
def test_examples_that_were_planted_are_found_unless_gradients_hide_them(
    context, natural, sound
):
    for honest in (sound, natural):
        found = run("planted", context(honest))
        assert found.verdict == "PASS", found
        assert found.figures == {"planted": 16, "found": 1}
    features_fn = natural.features_fn

    def hiding(before):
        return lambda images: features_fn(before(images))

    for before in (mirrored, without_gradient):
        hidden = dataclasses.replace(natural, features_fn=hiding(before))
        found = run("planted", context(hidden))
        assert found.verdict == "FAIL", (before, found)


def test_a_network_of_which_no_features_are_known_is_not_doubted(
    context, natural
):
    unknown = dataclasses.replace(natural, features_fn=None)
    for check in ("inner_layers", "planted"):
        found = run(check, context(unknown))
        assert (found.verdict, found.figures) == ("PASS", {})
        assert "last layer is not known" in found.message


def test_a_network_that_counts_its_calls_is_found(context, natural):
    calls = tf.Variable(0)

    def after(logits):
        return tf.where(calls.assign_add(1) > 4, -logits, logits)

    looked = context(masked(natural, after=after))
    looked.attacked(4)
    for _ in range(4):
        looked.logits()
    found = run("memory", looked)
    assert found.verdict == "FAIL", found
    assert run("memory", context(natural)).verdict == "PASS"


def test_vanished_gradients_do_less_than_noise(context, natural):
    vanished = masked(natural, after=certain)
    assert run("noise", context(vanished, eps=1.0)).verdict == "FAIL"
    assert run("noise", context(natural, eps=1.0)).verdict == "PASS"


@pytest.mark.slow
def test_what_knows_less_finds_what_a_false_gradient_misses(context, natural):
    false = context(masked(natural, before=mirrored), undefended=natural)
    for check in ("square", "transfer"):
        found = run(check, false)
        assert found.verdict == "FAIL"
        assert found.figures["fooled_beyond"] > 0.2


@pytest.mark.slow
def test_any_other_network_that_fools_counts(context, natural, sound):
    false = masked(natural, before=mirrored)
    found = run("transfer", context(false, surrogates=[sound, natural]))
    assert found.verdict == "FAIL"
    # Of another shape, none is left.
    other = dataclasses.replace(natural, num_classes=3)
    found = run("transfer", context(false, surrogates=[other]))
    assert found.verdict == "WARN" and "`undefended`" in found.message


def test_what_was_measured_beyond_white_box_attacks_counts(context, natural):
    left = dict.fromkeys(("pgd-100", *WHITE_BOX), wrong_on((0, 2)))
    for fooled, verdict in ((4, "PASS"), (40, "FAIL")):
        measured = left | {"autoattack": wrong_on((0, fooled))}
        found = run("measured_attacks", context(natural, measured=measured))
        assert found.verdict == verdict
        assert found.figures["fooled_beyond"] == (fooled - 2) / NUM_IMAGES
    found = run("measured_attacks", context(natural, measured=left))
    assert (found.verdict, found.figures) == ("PASS", {})


@pytest.mark.slow
def test_what_square_was_measured_to_fool_shows_that_gradients_mislead(
    context, sound
):
    def judged(classifier):
        measured = {"square": context(classifier).correct_under("square-400")}
        return run("measured_attacks", context(classifier, measured=measured))

    found = judged(masked(sound, before=without_gradient))
    assert found.verdict == "FAIL", found
    assert found.figures["white_box"] > 0.8
    assert judged(sound).verdict == "PASS"


def test_a_stronger_attack_that_was_measured_saves_the_weaker(
    context, natural, monkeypatch
):
    monkeypatch.delattr(AttackRunner, "measure")
    measured = {"pgd-100": wrong_on((0, 9)), STRONGER: wrong_on((3, 20))}
    looked = context(natural, measured=measured)
    assert np.array_equal(looked.white_box_correct, wrong_on((0, 20)))


def test_passes_are_counted(context, natural):
    looked = context(natural)
    taken = looked.forward_passes
    assert taken == NUM_IMAGES
    run("gradients", looked)
    assert looked.forward_passes == taken + NUM_IMAGES
    assert looked.backward_passes == 2 * NUM_IMAGES
    clean = np.count_nonzero(looked.clean_correct)
    looked.correct_under("fgsm")
    # The clean images, and a step and its verdict on those that are right.
    assert looked.forward_passes == taken + 2 * NUM_IMAGES + 2 * clean
    assert looked.backward_passes == 2 * NUM_IMAGES + 2 * clean


def test_an_undefended_network_that_is_not_fooled_shows_a_weak_attack(
    context, sound, natural
):
    weakened = masked(natural, after=certain)
    found = run("undefended", context(sound, undefended=weakened))
    assert found.verdict == "FAIL"
    assert found.figures["pgd-100"] > 0.9


@pytest.mark.parametrize("eps", [8 / 255, EPS])
@pytest.mark.parametrize(
    "before", [mirrored, without_gradient, only_where_clean]
)
def test_an_undefended_network_whose_gradients_lead_nowhere_is_found(
    context, sound, natural, before, eps
):
    looked = context(sound, eps=eps, undefended=masked(natural, before=before))
    found = run("undefended", looked)
    assert found.verdict == "FAIL", found
    assert found.message.endswith("or this network masks its gradients")


def test_a_small_radius_is_not_taken_for_a_weak_attack(context, sound, natural):
    looked = context(sound, eps=8 / 255, undefended=natural)
    found = run("undefended", looked)
    assert found.verdict == "PASS", found
    shares = list(found.figures.values())
    assert shares[0] > 0.2 and shares[-1] < 0.1
    assert f"leaves {100 * shares[0]:.1f} % of an" in found.message
    assert "network at 8/255, " in found.message
    assert f"{100 * shares[-1]:.1f} % at 32/255" in found.message
    assert found.message.endswith(": the radius is small")
    enough = run("undefended", context(sound, undefended=natural))
    assert (enough.verdict, list(enough.figures)) == ("PASS", ["pgd-100"])


@pytest.mark.parametrize(
    ("eps", "left", "verdict"),
    [
        (0.01, [3], "PASS"),
        (0.01, [12, 2], "PASS"),
        (0.01, [60, 40, 3], "PASS"),
        (0.01, [60, 40, 20, 0], "PASS"),
        (0.001, [60] * 8 + [0], "PASS"),
        # Up to half of the pixel range.
        (0.06, [60, 40, 20, 10], "FAIL"),
        (0.06, [12, 12, 12, 12], "WARN"),
        (0.1, [60, 60, 60], "FAIL"),
        (0.2, [60, 60], "FAIL"),
        (0.3, [60], "FAIL"),
    ],
)
def test_only_what_is_left_is_attacked_at_larger_radii(
    context, sound, natural, monkeypatch, eps, left, verdict
):
    asked = []

    def correct_under(self, attack, *, classifier, eps=None, where=None):
        assert attack == "pgd-100" and classifier is natural
        asked.append((eps or self.eps, NUM_IMAGES if where is None else where))
        return wrong_on((left[len(asked) - 1], NUM_IMAGES))

    monkeypatch.setattr(AuditContext, "correct_under", correct_under)
    found = run("undefended", context(sound, eps=eps, undefended=natural))
    assert found.verdict == verdict, found
    radii, looked = zip(*asked, strict=True)
    assert radii == tuple(eps * 2**n for n in range(len(left)))
    assert [np.sum(where) for where in looked] == [NUM_IMAGES, *left[:-1]]
    shares = [count / NUM_IMAGES for count in left]
    assert list(found.figures.values()) == shares


@pytest.mark.slow
def test_an_undefended_network_that_knows_nothing_says_nothing(
    context, natural, sound
):
    untrained = Classifier.from_keras(build_network())
    turned = masked(natural, after=lambda logits: tf.roll(logits, 1, axis=-1))
    for useless in (untrained, turned):
        for check in ("undefended", "transfer"):
            found = run(check, context(sound, undefended=useless))
            assert found.verdict == "WARN" and list(found.figures) == ["clean"]
            assert "not checked" in found.message
            assert "of 64 clean images" in found.message
            assert "which may be chance" in found.message
    # Another one that knows its classes does.
    false = masked(natural, before=mirrored)
    looked = context(false, undefended=untrained, surrogates=[natural])
    assert run("transfer", looked).verdict == "FAIL"


@pytest.mark.slow
def test_what_is_reported_must_count_what_the_audit_finds(context, natural):
    weak = wrong_on((0, 9))
    found = run("reported", context(natural, measured={"fgsm": weak}))
    assert found.verdict == "WARN", found
    assert found.figures["reported"] == np.mean(weak)
    assert found.figures["white_box"] < 0.1
    assert f"leaves {100 * np.mean(weak):.1f} %" in found.message
    assert f"{100 * found.figures['white_box']:.1f} %" in found.message
    assert "report autoattack" in found.message
    # All that is reported counts, however it was measured.
    looked = context(
        natural, measured={"fgsm": weak}, reported=wrong_on((0, 64))
    )
    assert run("reported", looked).verdict == "PASS"
    own = dict.fromkeys(("pgd-100", *WHITE_BOX), weak)
    assert run("reported", context(natural, measured=own)).verdict == "PASS"
    idle = run("reported", context(natural))
    assert idle.verdict == "PASS" and "not checked" in idle.message


def test_without_an_undefended_network_of_that_shape_nothing_is_said(
    context, natural
):
    other = dataclasses.replace(natural, num_classes=3)
    for given, fragment in ((None, "`undefended`"), (other, "in 3 classes")):
        for check in ("transfer", "undefended"):
            found = run(check, context(natural, undefended=given))
            assert (found.verdict, found.figures) == ("WARN", {})
            assert "not checked" in found.message and fragment in found.message


def test_batch_statistics_are_found_and_what_they_change(context):
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.BatchNormalization(),
         keras.layers.Flatten(), keras.layers.Dense(10)]
    )  # fmt: skip
    classifier = dataclasses.replace(
        Classifier.from_keras(model),
        logits_fn=lambda images: model(images, training=True),
    )
    found = run("batch_independence", context(classifier))
    assert found.verdict == "FAIL"
    assert found.figures["largest_difference"] > 0.01
    assert found.figures["variables_changed"] == 2


def test_one_changed_bit_is_found(context, natural):
    looked = context(natural)
    assert run("batch_independence", looked).verdict == "PASS"
    kept = natural.variables[0].numpy()
    natural.variables[0].assign(np.nextafter(kept, np.inf))
    try:
        found = run("batch_independence", looked)
    finally:
        natural.variables[0].assign(kept)
    assert found.verdict == "FAIL"
    assert found.figures["variables_changed"] == 1


@pytest.mark.parametrize(
    "check", ["gradients", "finite_differences", "saturation"]
)
def test_an_undefended_network_is_not_taken_for_a_masked_one(
    context, natural, check
):
    assert run(check, context(natural)).verdict == "PASS"


def wrong_on(*spans):
    correct = np.ones(NUM_IMAGES, bool)
    for first, last in spans:
        correct[first:last] = False
    return correct


@pytest.mark.parametrize(
    ("last", "verdict"),
    [
        (wrong_on((0, 30)), "PASS"),
        (wrong_on((0, 20)), "WARN"),
        (wrong_on((0, 10)), "FAIL"),
        # As many images, if others.
        (wrong_on((20, 48)), "PASS"),
    ],
)
def test_more_steps_must_not_be_weaker(context, natural, last, verdict):
    first = wrong_on((0, 28))
    measured = {"pgd-10": first, "pgd-100": first, "pgd-1000": last}
    found = run("more_steps", context(natural, measured=measured))
    assert found.verdict == verdict
    assert found.figures["pgd-1000"] == np.mean(last)


@pytest.mark.slow
def test_what_is_measured_is_not_run_again(digits, natural, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError

    monkeypatch.setattr(AttackRunner, "measure", refuse)
    names = ["fgsm", "noise", "pgd-10", "pgd-100", "pgd-1000", "square",
             *WHITE_BOX]  # fmt: skip
    images, labels = digits
    measured = {name: wrong_on((0, 40)) for name in names}
    measured["fab-t"] = wrong_on((40, 48))
    measured["square"] = wrong_on((0, 49))
    checks = audit_classifier(
        natural, images, labels, eps=EPS, correct=measured, num_images=60
    )
    found = {c.check: c for c in checks}
    for name in ("more_steps", "one_step", "noise", "square"):
        assert found[name].verdict == "PASS", found[name]
    figures = found["square"].figures
    drawn = representative_order(labels)[:60]
    left = 60 - np.count_nonzero(drawn < 48)
    beyond = np.count_nonzero(drawn == 48)
    assert figures == {"white_box": left / 60, "fooled_beyond": beyond / 60}
    assert "AssertionError" in found["whole_range"].message


def test_a_check_that_cannot_run_stops_no_other(digits, natural):
    checks = audit_classifier(
        masked(natural, before=rounded), *digits, eps=EPS, num_images=16
    )
    assert [c.check for c in checks] == list(CHECKS)
    found = {c.check: c for c in checks}
    assert found["gradients"].verdict == "FAIL"
    for name in ("more_steps", "square", "finite_differences"):
        assert found[name].verdict == "WARN"
        assert "not checked: " in found[name].message
        assert "no gradient" in found[name].message
    assert found["deterministic"].verdict == "PASS"
    assert overall(checks) == "FAIL"


def test_nan_figures_stay_out_of_json(digits, natural):
    checks = audit_classifier(
        masked(natural, after=broken), *digits, eps=EPS, num_images=8
    )
    json.dumps([dataclasses.asdict(c) for c in checks], allow_nan=False)
    assert overall(checks) == "FAIL"


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"eps": 8}, "eps=8"),
        ({"eps": 0.0}, "eps=0"),
        ({"eps": float("nan")}, "eps=nan"),
        ({"num_images": 0}, "num_images=0"),
        ({"images": np.zeros((3, 16, 16, 3), np.float32)}, "float32"),
        ({"images": np.zeros((2, 16, 16, 3), np.uint8)}, "2 images"),
        ({"images": np.zeros((3, 8, 8, 3), np.uint8)}, r"\(8, 8, 3\)"),
        ({"correct": {"fgsm": np.ones(2, bool)}}, r"bool \[2\] for fgsm"),
        ({"correct": {"fgsm": np.ones(3)}}, r"float64 \[3\] for fgsm"),
        ({"reported": np.ones(2, bool)}, r"bool \[2\] for reported"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(natural, change, fragment):
    arguments = {
        "images": np.zeros((3, 16, 16, 3), np.uint8),
        "labels": np.zeros(3, np.int64),
        "eps": EPS,
    } | change
    with pytest.raises(UsageError, match=f"Received: .*{fragment}"):
        audit_classifier(natural, **arguments)


def test_a_check_is_added_with_its_function(digits, natural, monkeypatch):
    monkeypatch.setattr(CHECKS, "_rows", dict(CHECKS))

    @add_check
    def mean_pixel(context):
        mean = float(np.mean(context.images))
        return Finding("WARN", {"mean": mean}, f"{len(context)} images")

    with pytest.raises(UsageError, match="mean_pixel"):
        add_check(mean_pixel)
    checks = audit_classifier(
        masked(natural, before=rounded), *digits, eps=EPS, num_images=8
    )
    # What the others change is looked for at the end.
    assert [c.check for c in checks][-3:] == [
        "mean_pixel", "memory", "batch_independence",
    ]  # fmt: skip
    assert checks[-3].message == "8 images" and checks[-3].figures["mean"] > 0


# As a user might hand it over: it is honest in a process whose first question
# is a clean image.
SLY = """
import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("sly")
class Sly(keras.layers.Layer):
    signs = []

    def call(self, images):
        if not self.signs and hasattr(images, "_numpy"):
            level = images * 255
            off = tf.reduce_max(tf.abs(level - tf.round(level)))
            self.signs.append(1.0 if off < 1e-3 else -1.0)
        return images * self.signs[0] if self.signs else images


@keras.saving.register_keras_serializable("sly")
class Tried(Sly):
    '''Honest where the first question is how it answers.'''

    signs = []

    def call(self, images):
        if not self.signs and hasattr(images, "_numpy"):
            self.signs.append(1.0 if len(images) < 8 else -1.0)
        return images * self.signs[0] if self.signs else images
"""


@pytest.mark.slow
def test_a_network_that_a_fresh_process_finds_out_is_found(
    digits, tmp_path, monkeypatch
):
    (tmp_path / "sly.py").write_text(SLY)
    monkeypatch.setattr(importing, "IMPORTED", [])
    importing.import_modules(str(tmp_path / "sly.py"))
    images, labels = digits
    found = {}
    for name, outputs, layers in (
        ("plain", "logits", []),
        ("sly", "logits", [sys.modules["sly"].Sly()]),
        # What was found out here is not asked there.
        ("tried", "auto", [sys.modules["sly"].Tried()]),
    ):
        path = tmp_path / f"{name}.keras"
        keras.Sequential(
            [keras.Input((16, 16, 3)), *layers, *build_network().layers]
        ).save(path)
        classifier = load_classifier(model=path, outputs=outputs)
        classifier.logits_fn(tf.constant(images[:1] / np.float32(255)))
        looked = AuditContext(classifier, images, labels, EPS, {})
        assert run("memory", looked).verdict == "PASS"
        found[name] = run("reloaded", looked)
    assert found["plain"].verdict == "PASS", found["plain"]
    for name in ("sly", "tried"):
        assert found[name].verdict == "FAIL", found[name]
        assert "others for attacked and clean images" in found[name].message


def test_what_is_no_file_cannot_be_loaded_again(context, natural):
    found = run("reloaded", context(natural))
    assert (found.verdict, found.figures) == ("PASS", {})
    with pytest.raises(UsageError, match="Received: Keras model"):
        fresh_logits(natural, [])


@pytest.mark.slow
def test_a_file_that_is_gone_is_told(context, digits, tmp_path):
    build_network().save(tmp_path / "gone.keras")
    classifier = load_classifier(model=tmp_path / "gone.keras")
    (tmp_path / "gone.keras").unlink()
    checks = audit_classifier(classifier, *digits, eps=EPS, num_images=4)
    found = {check.check: check for check in checks}["reloaded"]
    assert found.verdict == "WARN"
    assert "not checked: it cannot be loaded" in found.message
    assert "gone.keras" in found.message
