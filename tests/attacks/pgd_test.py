"""PGD, for training and for evaluation, against closed forms and NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from toys import linear_logits, linear_weights, problem_of, run_attack

from tfgan_robust.attacks.compile import compile_attack
from tfgan_robust.attacks.pgd import PGD, pgd
from tfgan_robust.errors import UsageError

SHAPE = (4, 4, 3)
PIXELS = 48
EPS = 8 / 255


def batch(size=8, seed=0, classes=2):
    generator = np.random.default_rng(seed)
    images = generator.random((size, *SHAPE), np.float32)
    # Black and white pixels, where the pixel range binds.
    images[:, 0], images[:, -1] = 0, 1
    return tf.constant(images), tf.constant(np.arange(size) % classes)


def gray(size=8, classes=2):
    """Images far from black and white, where the pixel range never binds."""
    images, labels = batch(size, classes=classes)
    return 0.4 + 0.2 * images, labels


def evaluated(logits_fn, images, labels, eps, *, targets=None, seed=0, **given):
    """What `PGD` does."""
    attack = PGD(**given)
    problem = problem_of(
        attack, images, labels, eps, targets=targets, seed=seed
    )
    return run_attack(attack, logits_fn, problem)


def both(logits_fn, images, labels, eps, *, seed=(0, 0), **given):
    """What `pgd` makes of images, and `PGD` in its last iterate."""
    verdict = evaluated(
        logits_fn, images, labels, eps, protocol="final",
        random_start=seed is not None, **given,
    )  # fmt: skip
    trained = pgd(logits_fn, images, labels, eps=eps, seed=seed, **given)
    return trained, verdict.images


def worst_corner(images, labels, eps):
    """Of the ball within [0, 1]: class 1 is pushed down, class 0 up."""
    signs = np.sign(linear_weights()).reshape(SHAPE)
    directions = (1 - 2 * np.asarray(labels))[:, None, None, None] * signs
    moved = images.numpy() + np.float32(eps) * directions.astype(np.float32)
    return np.clip(moved, 0, 1)


def random_network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Conv2D(4, 3, kernel_initializer="he_normal"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.5),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )


def inference(model):
    return lambda images: model(images, training=False)


@pytest.mark.parametrize("eps", [1 / 255, EPS, 0.3, 1.0])
@pytest.mark.parametrize(
    "numbers",
    [
        {"num_steps": 1, "step_size": None},  # A step of eps: FGSM.
        {"num_steps": 10},
        {"num_steps": 10, "seed": (0, 0)},
        {"num_steps": 4, "step_size": 2.0, "seed": (0, 0)},
    ],
    ids=["fgsm", "clean-start", "random-start", "huge-steps"],
)
def test_reaches_the_worst_corner_of_a_linear_classifier(numbers, eps):
    images, labels = batch()
    if "step_size" in numbers:
        numbers = {**numbers, "step_size": numbers["step_size"] or eps}
    corner = worst_corner(images, labels, eps)
    scores = (corner.reshape(-1, PIXELS) - 0.5) @ linear_weights()
    assert np.abs(scores).min() > 1e-3  # Rounding decides no verdict.
    found = both(
        linear_logits, images, labels, eps, **{"seed": None, **numbers}
    )
    for attacked in found:
        np.testing.assert_allclose(attacked, corner, rtol=0, atol=2e-7)


@pytest.mark.parametrize("eps", [1 / 255, EPS, 1.0])
def test_stays_in_ball_and_range_on_a_random_network(eps):
    images, labels = batch(classes=3)
    for attacked in both(
        inference(random_network()), images, labels, eps, num_steps=5
    ):
        assert attacked.shape == images.shape and attacked.dtype == tf.float32
        assert np.abs(attacked - images).max() <= eps + 1e-6
        assert attacked.numpy().min() >= 0 and attacked.numpy().max() <= 1
        assert not np.array_equal(attacked, images)


@pytest.mark.parametrize("protocol", ["final", "worst"])
def test_the_verdict_is_that_of_the_returned_images(protocol):
    logits_fn = inference(random_network())
    images, labels = batch(32, classes=3)
    verdict = evaluated(
        logits_fn, images, labels, EPS, num_steps=5, protocol=protocol
    )
    answers = np.argmax(logits_fn(verdict.images), axis=-1)
    np.testing.assert_array_equal(verdict.fooled, answers != labels)
    np.testing.assert_array_equal(verdict.predicted, answers)


@pytest.mark.parametrize(
    "numbers", [{"num_steps": 5}, {"num_steps": 5, "step_size": 0.1}]
)
def test_no_radius_changes_no_bit(numbers):
    images, labels = batch()
    for attacked in both(linear_logits, images, labels, 0.0, **numbers):
        np.testing.assert_array_equal(attacked, images)


def test_a_vanishing_radius_leaves_images_where_they_are():
    images, labels = batch()
    for attacked in both(linear_logits, images, labels, 1e-7, num_steps=5):
        assert np.abs(attacked - images).max() <= 2e-7


def test_a_seed_decides_every_bit():
    images, labels = batch()
    logits_fn = inference(random_network())

    def attacked(seed):
        # Few small steps, so that the start shows in the end.
        return pgd(
            logits_fn, images, labels, eps=EPS, num_steps=2, step_size=1e-3,
            seed=seed,
        ).numpy()  # fmt: skip

    np.testing.assert_array_equal(attacked((1, 2)), attacked((1, 2)))
    for other in ((1, 3), (2, 2)):
        assert not np.array_equal(attacked((1, 2)), attacked(other))


def quadratic_model():
    generator = np.random.default_rng(3)
    linear = generator.normal(size=(3, PIXELS))
    curved = generator.normal(size=(3, PIXELS, PIXELS)) / PIXELS
    return linear, curved + curved.transpose(0, 2, 1)


def quadratic_logits(images):
    linear, curved = quadratic_model()
    flat = tf.cast(tf.reshape(images, [-1, PIXELS]), tf.float64)
    bent = tf.einsum("np,kpq,nq->nk", flat, curved, flat) / 2
    return tf.cast(tf.linalg.matmul(flat, linear.T) + bent, tf.float32)


def quadratic_gradient(current, labels):
    """Of the cross-entropy, float64 [n, PIXELS]."""
    linear, curved = quadratic_model()
    slopes = linear + np.einsum("kpq,nq->nkp", curved, current)
    logits = current @ linear.T + 0.5 * np.einsum(
        "np,kpq,nq->nk", current, curved, current
    )
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return np.einsum("nk,nkp->np", shares - np.eye(3)[labels], slopes)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_takes_the_steps_of_its_equation(steps):
    images, labels = batch(classes=3)
    eps, step_size = 0.1, 0.03
    clean = images.numpy().astype(np.float64).reshape(-1, PIXELS)
    current = clean
    for _ in range(steps):
        gradient = quadratic_gradient(current, labels)
        assert np.abs(gradient).min() > 1e-6  # Rounding flips no sign.
        moved = current + step_size * np.sign(gradient)
        current = np.clip(np.clip(moved, clean - eps, clean + eps), 0, 1)
    for attacked in both(
        quadratic_logits, images, labels, eps, num_steps=steps,
        step_size=step_size, seed=None,
    ):  # fmt: skip
        np.testing.assert_allclose(
            attacked, current.reshape(images.shape), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_momentum_follows_its_equation(norm):
    """g <- mu g + gradient / |gradient|_1, equation 6 of arXiv:1710.06081."""
    images, labels = gray(classes=3)
    eps = {"linf": 0.1, "l2": 0.5}[norm]
    step_size, decay = eps / 3, 0.75
    clean = images.numpy().astype(np.float64).reshape(-1, PIXELS)
    current, velocity = clean, 0.0
    for _ in range(5):
        gradient = quadratic_gradient(current, labels)
        one = np.abs(gradient).sum(axis=1, keepdims=True)
        velocity = decay * velocity + gradient / one
        length = np.linalg.norm(velocity, axis=1, keepdims=True)
        # Rounding flips no sign.
        assert np.abs(velocity / length).min() > 1e-5
        if norm == "linf":
            moved = current + step_size * np.sign(velocity)
            change = np.clip(moved - clean, -eps, eps)
        else:
            change = current + step_size * velocity / length - clean
            size = np.linalg.norm(change, axis=1, keepdims=True)
            change *= np.minimum(1, eps / size)
        current = np.clip(clean + change, 0, 1)
    verdict = evaluated(
        quadratic_logits, images, labels, eps, num_steps=5, norm=norm,
        step_size=step_size, momentum=decay, random_start=False,
        protocol="final",
    )  # fmt: skip
    found = verdict.images.numpy().reshape(-1, PIXELS)
    np.testing.assert_allclose(found, current, rtol=0, atol=2e-5)


@pytest.mark.parametrize("as_tensor", [float, tf.constant])
def test_the_default_step_is_two_and_a_half_radii_over_the_steps(as_tensor):
    images, labels = tf.fill([1, *SHAPE], 0.5), tf.constant([0])
    # One such step goes half of the way; five are stopped at the border.
    for given, way in (
        ({"eps": as_tensor(0.1), "num_steps": 5}, 0.1),
        ({"eps": 0.4, "num_steps": 1, "step_size": 2.5 * 0.1 / 5}, 0.05),
    ):
        for attacked in both(linear_logits, images, labels, seed=None, **given):
            np.testing.assert_allclose(np.abs(attacked - 0.5), way, atol=1e-6)
    many = pgd(
        linear_logits, images, labels, eps=as_tensor(0.1),
        num_steps=tf.constant(100),
    )  # fmt: skip
    np.testing.assert_allclose(np.abs(many - 0.5), 0.1, atol=1e-6)


def uphill(wrong):
    """Logits that fool where `wrong` says, while all gradients point up."""

    def logits_fn(images):
        pixel = images[:, 0, 0, 0]
        verdict = tf.where(wrong(pixel), 1.0, -1.0)
        score = pixel + tf.stop_gradient(verdict - pixel)
        return tf.stack([tf.zeros_like(score), score], axis=-1)

    return logits_fn


def march(wrong, protocol, **numbers):
    images = tf.fill([64, 1, 1, 1], 0.5)
    settings = {"num_steps": 3, "step_size": 0.1, **numbers}
    labels = tf.zeros([64], tf.int64)
    return evaluated(
        uphill(wrong), images, labels, 0.3, protocol=protocol, **settings
    )


@pytest.mark.parametrize("place", [0.5, 0.6, 0.7])
def test_worst_counts_a_passing_iterate_and_final_does_not(place):
    def wrong(pixel):
        return tf.abs(pixel - place) < 0.01

    final = march(wrong, "final", random_start=False)
    assert not np.any(final.fooled)
    np.testing.assert_allclose(final.images, 0.8, atol=1e-6)
    worst = march(wrong, "worst", random_start=False)
    assert np.all(worst.fooled)
    np.testing.assert_allclose(worst.images, place, atol=1e-6)


@pytest.mark.parametrize("protocol", ["final", "worst"])
def test_both_protocols_count_the_last_iterate(protocol):
    result = march(lambda pixel: pixel > 0.79, protocol, random_start=False)
    assert np.all(result.fooled)
    np.testing.assert_allclose(result.images, 0.8, atol=1e-6)


def test_worst_returns_the_first_iterate_that_fools():
    result = march(lambda pixel: pixel > 0.55, "worst", random_start=False)
    np.testing.assert_allclose(result.images, 0.6, atol=1e-6)


def test_worst_counts_the_random_start_itself():
    leap = {"num_steps": 1, "step_size": 1.0}

    def wrong(pixel):
        # Anywhere but at the clean image and at the end.
        return (pixel < 0.7999) & (tf.abs(pixel - 0.5) > 1e-6)

    worst = march(wrong, "worst", **leap)
    assert np.all(worst.fooled)
    starts = worst.images.numpy().ravel()
    assert starts.max() < 0.8 and np.ptp(starts) > 0.4
    final = march(wrong, "final", **leap)
    assert not np.any(final.fooled)


def test_attacks_leave_every_variable_bit_for_bit():
    model = random_network()
    images, labels = batch(classes=3)
    model(images, training=True)  # Averages and seeds away from their start.
    paths = [variable.path for variable in model.variables]
    assert any("moving_mean" in path for path in paths)
    assert any("seed_generator_state" in path for path in paths)
    before = [variable.numpy().tobytes() for variable in model.variables]
    logits_fn = inference(model)
    both(logits_fn, images, labels, EPS, num_steps=3)
    attack = compile_attack(pgd, logits_fn, jit_compile=False)
    attack(images, labels, eps=EPS, num_steps=3)
    after = [variable.numpy().tobytes() for variable in model.variables]
    assert before == after


@pytest.mark.parametrize("protocol", ["final", "worst"])
def test_nan_logits_fool(protocol):
    images, labels = batch()

    def broken(images):
        return linear_logits(images) * float("nan")

    verdict = evaluated(
        broken, images, labels, EPS, num_steps=2, protocol=protocol
    )
    assert np.all(verdict.fooled) and np.all(verdict.predicted == -1)


@pytest.mark.parametrize("eps", [0.01, 0.1, 0.5])
def test_l2_reaches_the_closed_form_of_a_linear_classifier(eps):
    """x + eps w / |w|, upwards for class 0 and downwards for class 1."""
    images, labels = gray()
    weights = linear_weights().reshape(SHAPE)
    unit = weights / np.linalg.norm(weights)
    sides = (1 - 2 * labels.numpy())[:, None, None, None]
    result = evaluated(
        linear_logits, images, labels, eps, num_steps=10, random_start=False,
        norm="l2", protocol="final",
    )  # fmt: skip
    np.testing.assert_allclose(
        result.images - images, eps * sides * unit, rtol=0, atol=2e-6
    )


def test_l2_reaches_the_closed_form_from_random_starts():
    images, labels = gray()
    weights = linear_weights().reshape(SHAPE).astype(np.float64)
    result = evaluated(
        linear_logits, images, labels, 0.3, protocol="final", num_steps=20,
        step_size=0.15, norm="l2",
    )  # fmt: skip
    change = (result.images - images).numpy().astype(np.float64)
    gains = np.abs(np.sum(change * weights, axis=(1, 2, 3)))
    most = 0.3 * np.linalg.norm(weights)
    assert np.all(gains > 0.999 * most) and np.all(gains < 1.0001 * most)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_finds_its_way_where_a_classifier_is_nearly_certain(norm):
    """Gradients of 1e-20 are directions like any other."""
    images, labels = gray()

    def sure(images):
        # Right by 45 at least, before the attack.
        score = linear_logits(images)[:, 1]
        score = score - tf.stop_gradient(score) + 0.02 * score
        away = tf.where(tf.equal(labels, 1), 45.0, -45.0)
        # The right logit has no gradient left in float32, the wrong one has.
        return tf.stack([-score - away, score + away], axis=-1) / 2

    found = [
        evaluated(
            sure, images, labels, 0.1, protocol="final", num_steps=10,
            random_start=False, norm=norm,
        ).images
    ]  # fmt: skip
    if norm == "linf":
        found.append(pgd(sure, images, labels, eps=0.1, num_steps=10))
    for moved in found:
        changes = (moved - images).numpy().reshape(8, -1)
        order = np.inf if norm == "linf" else 2
        lengths = np.linalg.norm(changes, order, axis=1)
        np.testing.assert_allclose(lengths, 0.1, rtol=1e-4)


def class_weights(classes=5):
    return np.random.default_rng(4).normal(size=(PIXELS, classes))


def linear_classes(images):
    flat = tf.reshape(images, [-1, PIXELS]) - 0.5
    return tf.matmul(flat, tf.constant(class_weights(), tf.float32))


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin", "dlr"])
def test_targeted_pgd_reaches_its_target(loss, norm):
    images, _ = gray(20)
    before = linear_classes(images).numpy()
    labels = before.argmax(axis=1)
    targets = np.argsort(before, axis=1)[:, 1]  # The least likely but one.
    result = evaluated(
        linear_classes,
        images,
        tf.constant(labels),
        {"linf": 0.25, "l2": 1.5}[norm],
        targets=tf.constant(targets),
        num_steps=10,
        targeted=True,
        loss=loss,
        norm=norm,
        protocol="final",
    )
    after, index = linear_classes(result.images).numpy(), np.arange(20)
    assert np.all(result.fooled)
    assert np.all(after[index, targets] > after[index, labels] + 1)
    if loss == "cross_entropy":  # The others do not ask for more than that.
        np.testing.assert_array_equal(after.argmax(axis=1), targets)


def test_a_targeted_margin_takes_the_straight_way():
    """To the corner of the difference of the two weights."""
    images, _ = gray(6)
    labels = tf.argmax(linear_classes(images), axis=1)
    targets = (labels + 2) % 5
    result = evaluated(
        linear_classes, images, labels, 0.02, targets=targets, num_steps=10,
        targeted=True, loss="margin", protocol="final",
    )  # fmt: skip
    weights = class_weights().T
    way = np.sign(weights[targets] - weights[labels]).reshape(-1, *SHAPE)
    np.testing.assert_allclose(
        result.images - images, 0.02 * way, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin", "dlr"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("eps", [0.0, 1 / 255, 2.0])
def test_every_loss_stays_in_ball_and_range(loss, norm, eps, targeted):
    images, labels = batch(classes=5)
    result = evaluated(
        linear_classes, images, labels, eps, targets=(labels + 1) % 5,
        num_steps=3, loss=loss, norm=norm, momentum=0.5, targeted=targeted,
    )  # fmt: skip
    changes = (result.images - images).numpy().reshape(8, -1)
    order = np.inf if norm == "linf" else 2
    assert np.linalg.norm(changes, order, axis=1).max() <= eps + 1e-6
    assert result.images.numpy().min() >= 0
    assert result.images.numpy().max() <= 1
    if eps > 0:
        assert np.all(np.any(changes != 0, axis=1))


def test_begins_anywhere_in_the_ball_or_at_the_image():
    images, labels = gray(50)
    for norm in ("linf", "l2"):
        attack = PGD(3, norm=norm)
        given = problem_of(attack, images, labels, 0.1)
        starts = attack.begin(given).images
        np.testing.assert_allclose(
            starts, images + 0.1 * given.noise[0], rtol=0, atol=1e-6
        )
        still = PGD(3, norm=norm, random_start=False)
        there = still.begin(problem_of(still, images, labels, 0.1)).images
        np.testing.assert_array_equal(there, images)


def test_a_surrogate_gives_the_way_and_the_classifier_the_verdict():
    images, labels = gray(16)

    def downhill(images):
        return -linear_logits(images)

    for surrogate, climbs in ((None, True), (downhill, False)):
        result = evaluated(
            linear_logits, images, labels, 0.05, num_steps=4,
            random_start=False, protocol="final", surrogate=surrogate,
        )  # fmt: skip
        before, after = (
            np.where(labels == 0, 1, -1) * linear_logits(x)[:, 1].numpy()
            for x in (images, result.images)
        )
        assert np.all((after > before) == climbs)
        wrong = np.argmax(linear_logits(result.images), axis=1) != labels
        np.testing.assert_array_equal(result.fooled, wrong)
    assert PGD(3).passes == (1, 1)
    assert PGD(3, surrogate=downhill).passes == (2, 1)


@pytest.mark.parametrize(
    ("name", "value"), [("loss", "hinge"), ("norm", "l1"), ("protocol", "best")]
)
def test_unknown_settings_are_refused(name, value):
    with pytest.raises(UsageError, match=f"`{name}` must be.*{value}"):
        PGD(1, **{name: value})
