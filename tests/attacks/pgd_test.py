"""Attacks against closed forms, a NumPy reference, and their own promises."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from toys import linear_logits, linear_weights

from tfgan_robust.attacks.compile import compile_attack, resolve_jit_compile
from tfgan_robust.attacks.fgsm import fgsm
from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.attacks.iterative import Problem, draw_batch, run_attack
from tfgan_robust.attacks.linf import project, random_start
from tfgan_robust.attacks.pgd import PGD, pgd
from tfgan_robust.attacks.result import is_fooled
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
    ("attack", "numbers"),
    [
        (fgsm, {}),
        (pgd, {"num_steps": 10}),
        (pgd, {"num_steps": 10, "random_start": False}),
        (pgd, {"num_steps": 40, "num_restarts": 2}),
        (pgd, {"num_steps": 4, "step_size": 2.0}),
    ],
    ids=["fgsm", "pgd", "clean-start", "restarts", "huge-steps"],
)
def test_reaches_the_worst_corner_of_a_linear_classifier(attack, numbers, eps):
    images, labels = batch()
    result = attack(linear_logits, images, labels, eps=eps, **numbers)
    corner = worst_corner(images, labels, eps)
    np.testing.assert_allclose(result.images, corner, rtol=0, atol=2e-7)
    scores = (corner.reshape(-1, PIXELS) - 0.5) @ linear_weights()
    assert np.abs(scores).min() > 1e-3  # Rounding decides no verdict.
    np.testing.assert_array_equal(result.fooled, (scores > 0) != labels)


def test_the_linear_examples_are_neither_all_fooled_nor_all_right():
    fooled = fgsm(linear_logits, *batch(), eps=EPS).fooled
    assert 0 < np.count_nonzero(fooled) < 8


@pytest.mark.parametrize("eps", [1 / 255, EPS, 1.0])
@pytest.mark.parametrize("protocol", ["final", "worst"])
def test_stays_in_ball_and_range_on_a_random_network(eps, protocol):
    logits_fn = inference(random_network())
    images, labels = batch(classes=3)
    results = [
        fgsm(logits_fn, images, labels, eps=eps),
        pgd(
            logits_fn,
            images,
            labels,
            eps=eps,
            num_steps=5,
            num_restarts=2,
            protocol=protocol,
        ),
    ]
    for result in results:
        assert result.images.shape == images.shape
        assert result.images.dtype == tf.float32
        assert result.fooled.shape == labels.shape
        assert np.abs(result.images - images).max() <= eps + 1e-6
        assert result.images.numpy().min() >= 0
        assert result.images.numpy().max() <= 1
        assert not np.array_equal(result.images, images)


def test_the_verdict_is_that_of_the_returned_images():
    logits_fn = inference(random_network())
    images, labels = batch(32, classes=3)
    for protocol in ("final", "worst"):
        result = pgd(
            logits_fn, images, labels, eps=EPS, num_steps=5, protocol=protocol
        )
        answers = np.argmax(logits_fn(result.images), axis=-1)
        np.testing.assert_array_equal(result.fooled, answers != labels)


@pytest.mark.parametrize(
    ("attack", "numbers"),
    [
        (fgsm, {}),
        (pgd, {"num_steps": 5, "num_restarts": 2}),
        (pgd, {"num_steps": 5, "step_size": 0.1}),
    ],
    ids=["fgsm", "pgd", "own-step"],
)
def test_no_radius_changes_no_bit(attack, numbers):
    images, labels = batch()
    result = attack(linear_logits, images, labels, eps=0.0, **numbers)
    np.testing.assert_array_equal(result.images, images)
    wrong = np.argmax(linear_logits(images), axis=-1) != labels
    np.testing.assert_array_equal(result.fooled, wrong)


def test_a_vanishing_radius_leaves_images_where_they_are():
    images, labels = batch()
    for result in (
        fgsm(linear_logits, images, labels, eps=1e-7),
        pgd(linear_logits, images, labels, eps=1e-7, num_steps=5),
    ):
        assert np.abs(result.images - images).max() <= 2e-7


def test_a_seed_decides_every_bit():
    logits_fn = inference(random_network())
    images, labels = batch()

    def attacked(seed):
        # Few small steps, so that the start shows in the end.
        return pgd(
            logits_fn,
            images,
            labels,
            eps=EPS,
            num_steps=2,
            step_size=1e-3,
            seed=seed,
        ).images.numpy()

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


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_pgd_takes_the_steps_of_its_equation(steps):
    images, labels = batch(classes=3)
    eps, step_size = 0.1, 0.03
    linear, curved = quadratic_model()
    clean = images.numpy().astype(np.float64).reshape(-1, PIXELS)
    current = clean
    for _ in range(steps):
        slopes = linear + np.einsum("kpq,nq->nkp", curved, current)
        logits = current @ linear.T + 0.5 * np.einsum(
            "np,kpq,nq->nk", current, curved, current
        )
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        gradient = np.einsum("nk,nkp->np", shares - np.eye(3)[labels], slopes)
        assert np.abs(gradient).min() > 1e-6  # Rounding flips no sign.
        moved = current + step_size * np.sign(gradient)
        current = np.clip(np.clip(moved, clean - eps, clean + eps), 0, 1)
    result = pgd(
        quadratic_logits,
        images,
        labels,
        eps=eps,
        num_steps=steps,
        step_size=step_size,
        random_start=False,
    )
    expected = current.reshape(images.shape)
    np.testing.assert_allclose(result.images, expected, rtol=0, atol=1e-6)


def test_the_default_step_is_two_and_a_half_radii_over_the_steps():
    images = tf.fill([1, *SHAPE], 0.5)
    result = pgd(
        linear_logits,
        images,
        tf.constant([0]),
        eps=0.1,
        num_steps=5,
        random_start=False,
    )
    explicit = pgd(
        linear_logits,
        images,
        tf.constant([0]),
        eps=0.4,
        num_steps=1,
        step_size=2.5 * 0.1 / 5,
        random_start=False,
    )
    # One such step goes half of the way; five are stopped at the border.
    np.testing.assert_allclose(np.abs(result.images - 0.5), 0.1, atol=1e-6)
    np.testing.assert_allclose(np.abs(explicit.images - 0.5), 0.05, atol=1e-6)
    one = pgd(
        linear_logits,
        images,
        tf.constant([0]),
        eps=tf.constant(0.1),
        num_steps=tf.constant(100),
        random_start=False,
    )
    np.testing.assert_allclose(np.abs(one.images - 0.5), 0.1, atol=1e-6)


def uphill(wrong):
    """Logits that fool where `wrong` says, while all gradients point up."""

    def logits_fn(images):
        pixel = images[:, 0, 0, 0]
        verdict = tf.where(wrong(pixel), 1.0, -1.0)
        score = pixel + tf.stop_gradient(verdict - pixel)
        return tf.stack([tf.zeros_like(score), score], axis=-1)

    return logits_fn


def march(wrong, protocol, *, first=0.5, **numbers):
    images = tf.fill([64, 1, 1, 1], first)
    settings = {"eps": 0.3, "num_steps": 3, "step_size": 0.1, **numbers}
    labels = tf.zeros([64], tf.int64)
    return pgd(uphill(wrong), images, labels, protocol=protocol, **settings)


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


def test_worst_counts_the_clean_image():
    def wrong(pixel):
        return tf.abs(pixel - 0.5) < 1e-6

    for attack in ("worst", "final"):
        result = march(wrong, attack)
        assert np.all(result.fooled.numpy() == (attack == "worst"))


def test_fgsm_counts_the_clean_image_under_worst_only():
    images, labels = tf.fill([4, 1, 1, 1], 0.5), tf.zeros([4], tf.int64)
    for place, counted in ((0.5, True), (0.6, False)):

        def wrong(pixel, place=place):
            return tf.abs(pixel - place) < 1e-6

        final, worst = (
            fgsm(uphill(wrong), images, labels, eps=0.3, protocol=protocol)
            for protocol in ("final", "worst")
        )
        assert not np.any(final.fooled)
        np.testing.assert_array_equal(worst.fooled, [counted] * 4)
        end = 0.5 if counted else 0.8
        np.testing.assert_allclose(worst.images, end, atol=1e-6)


def test_worst_of_no_steps_is_the_start():
    result = march(lambda pixel: pixel > 0, "worst", num_steps=0)
    assert np.all(result.fooled)
    assert np.abs(result.images - 0.5).max() <= 0.3 + 1e-6


@pytest.mark.parametrize("protocol", ["final", "worst"])
def test_restarts_only_ever_add_fooled_images(protocol):
    # Fooled on a twentieth of the ball and left there at once by no step:
    # what a restart finds is luck.
    def wrong(pixel):
        return tf.abs(pixel - 0.6) < 0.015

    found = [
        march(
            wrong,
            protocol,
            step_size=1e-6,
            num_restarts=restarts,
            seed=(4, 5),
        )
        for restarts in (1, 2, 8)
    ]
    counts = [np.count_nonzero(result.fooled) for result in found]
    assert counts[0] < counts[-1] < 64
    for fewer, more in zip(found, found[1:], strict=False):
        assert np.all(more.fooled.numpy()[fewer.fooled])
        # An image that fooled is kept, whatever later restarts come to.
        np.testing.assert_array_equal(
            more.images[fewer.fooled], fewer.images[fewer.fooled]
        )
    last = found[-1]
    np.testing.assert_array_equal(wrong(last.images[:, 0, 0, 0]), last.fooled)


def test_random_starts_fill_the_ball_and_heed_the_range():
    images = tf.fill([100, *SHAPE], 0.5)
    offsets = (random_start(images, 0.2, [0, 1]) - images).numpy()
    assert np.abs(offsets).max() <= 0.2 + 1e-6
    assert offsets.min() < -0.199 and offsets.max() > 0.199
    shares = np.histogram(offsets, 4, (-0.2, 0.2))[0] / offsets.size
    np.testing.assert_allclose(shares, 0.25, atol=0.03)
    white = random_start(tf.ones([4, *SHAPE]), 0.2, [0, 1]).numpy()
    assert white.max() == 1 and white.min() >= 0.8 - 1e-6


def test_projection_clips_to_the_ball_then_to_the_range():
    moved = tf.constant([-1.0, 0.1, 0.45, 0.9, 2.0])
    centre = tf.constant([0.05, 0.3, 0.5, 0.5, 0.95])
    expected = [0.0, 0.2, 0.45, 0.6, 1.0]
    np.testing.assert_allclose(project(moved, centre, 0.1), expected)


def test_the_gradient_is_that_of_the_summed_loss():
    images, labels = batch(classes=3)
    together, logits = input_gradient(quadratic_logits, images, labels)
    np.testing.assert_array_equal(logits, quadratic_logits(images))
    for index in range(len(labels)):
        alone, _ = input_gradient(
            quadratic_logits,
            images[index : index + 1],
            labels[index : index + 1],
        )
        np.testing.assert_allclose(
            together[index], alone[0], rtol=1e-5, atol=1e-7
        )


def test_the_gradient_is_that_of_the_given_loss():
    images, labels = batch()

    def margin(labels, logits):
        return logits[:, 1] * 3

    gradient, _ = input_gradient(linear_logits, images, labels, margin)
    expected = np.broadcast_to(3 * linear_weights().reshape(SHAPE), (8, *SHAPE))
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_gradients_are_float32_under_a_bfloat16_network():
    # Right by a margin of 12: 1 - p is 6e-6, which bfloat16 rounds away.
    dense = keras.layers.Dense(
        2,
        dtype="mixed_bfloat16",
        use_bias=False,
        kernel_initializer=keras.initializers.Constant(0.0),
    )
    model = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), dense]
    )
    dense.kernel.assign(np.tile([0.5, 0.0], (PIXELS, 1)))
    assert model(tf.ones([1, *SHAPE])).dtype == tf.bfloat16
    images, labels = tf.fill([3, *SHAPE], 0.5), tf.zeros([3], tf.int64)
    gradient, logits = input_gradient(inference(model), images, labels)
    assert gradient.dtype == tf.float32 and logits.dtype == tf.float32
    np.testing.assert_allclose(logits, [[12, 0]] * 3)
    np.testing.assert_allclose(gradient, -0.5 * 6.1442e-6, rtol=2e-2)
    result = pgd(inference(model), images, labels, eps=0.25, num_steps=4)
    assert result.images.dtype == tf.float32
    np.testing.assert_allclose(result.images, 0.25, atol=1e-6)


def test_attacks_leave_every_variable_bit_for_bit():
    model = random_network()
    images, labels = batch(classes=3)
    model(images, training=True)  # Averages and seeds away from their start.
    paths = [variable.path for variable in model.variables]
    assert any("moving_mean" in path for path in paths)
    assert any("seed_generator_state" in path for path in paths)
    before = [variable.numpy().tobytes() for variable in model.variables]
    logits_fn = inference(model)
    fgsm(logits_fn, images, labels, eps=EPS)
    pgd(logits_fn, images, labels, eps=EPS, num_steps=3, num_restarts=2)
    attack = compile_attack(pgd, logits_fn, jit_compile=False)
    attack(images, labels, eps=EPS, num_steps=3)
    after = [variable.numpy().tobytes() for variable in model.variables]
    assert before == after


@pytest.mark.parametrize("label_type", [tf.int32, tf.int64])
def test_nan_logits_count_as_fooled(label_type):
    nan = float("nan")
    logits = tf.constant([[0.0, 1], [1, 0], [nan, 1], [0, nan], [nan, nan]])
    labels = tf.constant([1, 1, 1, 1, 0], label_type)
    np.testing.assert_array_equal(
        is_fooled(logits, labels), [False, True, True, True, True]
    )


@pytest.mark.parametrize("protocol", ["final", "worst"])
def test_an_attack_on_nan_logits_fools(protocol):
    images, labels = batch()

    def broken(images):
        return linear_logits(images) * float("nan")

    result = pgd(
        broken, images, labels, eps=EPS, num_steps=2, protocol=protocol
    )
    assert np.all(result.fooled)
    assert np.all(fgsm(broken, images, labels, eps=EPS).fooled)


def test_a_compiled_attack_is_traced_once_for_all_radii_and_batches():
    calls = []

    def counted(images):
        calls.append(1)
        return linear_logits(images)

    attack = compile_attack(pgd, counted, jit_compile=False, protocol="worst")
    numbers = {"eps": 0.1, "num_steps": 3, "step_size": 0.05, "seed": (0, 0)}
    attack(*batch(seed=0), **numbers)
    traced = len(calls)
    assert traced > 0
    for index, eps in enumerate((0.2, tf.constant(0.3), np.float32(0.4))):
        changed = {
            "eps": eps,
            "num_steps": 5 + index,
            "step_size": 0.01 * index,
            "seed": (index, 7),
        }
        attack(*batch(seed=index), **changed)
    assert len(calls) == traced


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("protocol", ["final", "worst"])
def test_compiled_attacks_equal_eager_ones(jit_compile, protocol):
    # A linear model: no sign can flip, whatever fusing does to rounding.
    images, labels = batch()
    numbers = {"eps": EPS, "num_steps": 10, "seed": (3, 4)}
    attack = compile_attack(
        pgd,
        linear_logits,
        jit_compile=jit_compile,
        protocol=protocol,
        num_restarts=2,
        random_start=True,
    )
    compiled = attack(images, labels, **numbers)
    eager = pgd(
        linear_logits,
        images,
        labels,
        protocol=protocol,
        num_restarts=2,
        **numbers,
    )
    np.testing.assert_array_equal(compiled.fooled, eager.fooled)
    assert 0 < np.count_nonzero(eager.fooled) < len(labels)
    # XLA draws other random starts, and so passes other iterates.
    ends = ~eager.fooled if protocol == "worst" else slice(None)
    corner = worst_corner(images, labels, EPS)[ends]
    np.testing.assert_allclose(compiled.images[ends], corner, atol=1e-6)
    np.testing.assert_allclose(eager.images[ends], corner, atol=1e-6)


def test_xla_and_graph_take_the_same_fgsm_step():
    images, labels = batch()
    graph, xla = (
        compile_attack(fgsm, linear_logits, jit_compile=choice)(
            images, labels, eps=EPS
        )
        for choice in (False, True)
    )
    np.testing.assert_allclose(graph.images, xla.images, atol=1e-6)
    np.testing.assert_array_equal(graph.fooled, xla.fooled)


def test_unknown_protocols_are_refused():
    with pytest.raises(UsageError, match="final, worst.*Received: best"):
        pgd(linear_logits, *batch(), eps=EPS, num_steps=1, protocol="best")


def test_restarts_from_one_point_are_refused():
    with pytest.raises(UsageError, match="num_restarts=2"):
        pgd(
            linear_logits,
            *batch(),
            eps=EPS,
            num_steps=1,
            random_start=False,
            num_restarts=2,
        )


@pytest.mark.parametrize(
    ("choice", "gpus", "deterministic", "expected"),
    [
        ("true", 0, False, True),
        ("true", 1, True, True),
        ("false", 1, False, False),
        ("auto", 0, False, False),
        ("auto", 1, False, True),
        ("auto", 1, True, False),
    ],
)
def test_xla_is_chosen_on_a_gpu_that_may_round(
    monkeypatch, choice, gpus, deterministic, expected
):
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind: ["GPU:0"] * gpus
    )
    resolved = resolve_jit_compile(choice, deterministic=deterministic)
    assert resolved is expected


def gray(size=8, classes=2):
    """Images far from black and white, where the pixel range never binds."""
    images, labels = batch(size, classes=classes)
    return 0.4 + 0.2 * images, labels


def problem(attack, images, labels, eps, targets=None, seed=0):
    seeds = [(seed, number) for number in range(len(labels))]
    return Problem(
        images,
        labels,
        labels if targets is None else targets,
        tuple(map(tf.constant, draw_batch(attack, SHAPE, seeds))),
        tf.constant(eps, tf.float32),
    )


def run_pgd(logits_fn, images, labels, eps, *, targets=None, seed=0, **given):
    attack = PGD(**given)
    return run_attack(
        attack, logits_fn, problem(attack, images, labels, eps, targets, seed)
    )


@pytest.mark.parametrize("eps", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("whole", [False, True], ids=["steps", "function"])
def test_pgd_l2_reaches_the_closed_form_of_a_linear_classifier(whole, eps):
    """x + eps w / |w|, upwards for class 0 and downwards for class 1."""
    images, labels = gray()
    weights = linear_weights().reshape(SHAPE)
    unit = weights / np.linalg.norm(weights)
    sides = (1 - 2 * labels.numpy())[:, None, None, None]
    settings = {"num_steps": 10, "random_start": False, "norm": "l2"}
    settings["protocol"] = "final"
    result = (
        pgd(linear_logits, images, labels, eps=eps, **settings)
        if whole
        else run_pgd(linear_logits, images, labels, eps, **settings)
    )
    np.testing.assert_allclose(
        result.images - images, eps * sides * unit, rtol=0, atol=2e-6
    )


def test_pgd_l2_reaches_the_closed_form_from_random_starts():
    images, labels = gray()
    weights = linear_weights().reshape(SHAPE).astype(np.float64)
    settings = {"num_steps": 20, "step_size": 0.15, "norm": "l2"}
    for result in (
        run_pgd(linear_logits, images, labels, 0.3, protocol="final",
                **settings),
        pgd(linear_logits, images, labels, eps=0.3, **settings),
    ):  # fmt: skip
        change = (result.images - images).numpy().astype(np.float64)
        gains = np.abs(np.sum(change * weights, axis=(1, 2, 3)))
        most = 0.3 * np.linalg.norm(weights)
        assert np.all(gains > 0.999 * most) and np.all(gains < 1.0001 * most)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_finds_its_way_where_a_classifier_is_nearly_certain(norm):
    """Gradients of 1e-20 are directions like any other."""
    images, labels = gray()

    def sure(images):
        # Right by 45 at least, before the attack.
        score = linear_logits(images)[:, 1]
        score = score - tf.stop_gradient(score) + 0.02 * score
        away = tf.where(tf.equal(labels, 1), 45.0, -45.0)
        # The right logit has no gradient left in float32, the wrong one has.
        return tf.stack([-score - away, score + away], axis=-1) / 2

    settings = {"num_steps": 10, "random_start": False, "norm": norm}
    eps = 0.1
    result = run_pgd(sure, images, labels, eps, protocol="final", **settings)
    other = pgd(sure, images, labels, eps=eps, **settings)
    for moved in (result.images, other.images):
        lengths = np.linalg.norm(
            (moved - images).numpy().reshape(8, -1),
            np.inf if norm == "linf" else 2,
            axis=1,
        )
        np.testing.assert_allclose(lengths, eps, rtol=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_momentum_follows_its_equation(norm):
    """g <- mu g + gradient / |gradient|_1, equation 6 of arXiv:1710.06081."""
    images, labels = gray(classes=3)
    eps = {"linf": 0.1, "l2": 0.5}[norm]
    step_size, decay = eps / 3, 0.75
    linear, curved = quadratic_model()
    clean = images.numpy().astype(np.float64).reshape(-1, PIXELS)
    current, velocity = clean, 0.0
    for _ in range(5):
        slopes = linear + np.einsum("kpq,nq->nkp", curved, current)
        logits = current @ linear.T + 0.5 * np.einsum(
            "np,kpq,nq->nk", current, curved, current
        )
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        gradient = np.einsum("nk,nkp->np", shares - np.eye(3)[labels], slopes)
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
    settings = {"num_steps": 5, "step_size": step_size, "norm": norm}
    settings |= {"momentum": decay, "random_start": False}
    for result in (
        pgd(quadratic_logits, images, labels, eps=eps, **settings),
        run_pgd(
            quadratic_logits, images, labels, eps, protocol="final", **settings
        ),
    ):
        found = result.images.numpy().reshape(-1, PIXELS)
        np.testing.assert_allclose(found, current, rtol=0, atol=2e-5)


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
    result = run_pgd(
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
    result = run_pgd(
        linear_classes, images, labels, 0.02, targets=targets, num_steps=10,
        targeted=True, loss="margin", protocol="final",
    )  # fmt: skip
    weights = class_weights().T
    way = np.sign(weights[targets] - weights[labels]).reshape(-1, *SHAPE)
    np.testing.assert_allclose(
        result.images - images, 0.02 * way, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "margin", "dlr"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("eps", [0.0, 1 / 255, 2.0])
def test_every_loss_stays_in_ball_and_range(loss, norm, eps):
    images, labels = batch(classes=5)
    settings = {"num_steps": 3, "loss": loss, "norm": norm, "momentum": 0.5}
    for result in (
        pgd(linear_classes, images, labels, eps=eps, **settings),
        run_pgd(linear_classes, images, labels, eps, **settings),
        run_pgd(linear_classes, images, labels, eps, targeted=True,
                targets=(labels + 1) % 5, **settings),
    ):  # fmt: skip
        changes = (result.images - images).numpy().reshape(8, -1)
        order = np.inf if norm == "linf" else 2
        assert np.linalg.norm(changes, order, axis=1).max() <= eps + 1e-6
        assert result.images.numpy().min() >= 0
        assert result.images.numpy().max() <= 1
        if eps > 0:
            assert np.all(np.any(changes != 0, axis=1))


@pytest.mark.parametrize("protocol", ["final", "worst"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"loss": "margin", "step_size": 0.004},
        {"loss": "dlr", "norm": "l2", "step_size": 0.05},
        {"momentum": 0.9},
    ],
    ids=["plain", "margin", "dlr-l2", "momentum"],
)
def test_both_forms_of_pgd_are_one_attack(settings, protocol):
    images, labels = batch(24, classes=3)
    settings = {"num_steps": 6, "random_start": False, **settings}
    eps = 0.2 if "norm" in settings else 0.015
    whole = pgd(
        quadratic_logits, images, labels, eps=eps, protocol=protocol, **settings
    )
    steps = run_pgd(
        quadratic_logits, images, labels, eps, protocol=protocol, **settings
    )
    np.testing.assert_array_equal(whole.fooled, steps.fooled)
    assert 0 < np.count_nonzero(whole.fooled) < 24
    np.testing.assert_allclose(whole.images, steps.images, rtol=0, atol=1e-6)


def test_the_steps_of_pgd_begin_anywhere_in_the_ball():
    images, labels = gray(50)
    for norm in ("linf", "l2"):
        attack = PGD(3, norm=norm)
        given = problem(attack, images, labels, 0.1)
        starts = attack.begin(given).images
        np.testing.assert_allclose(
            starts, images + 0.1 * given.noise[0], rtol=0, atol=1e-6
        )
        still = PGD(3, norm=norm, random_start=False)
        there = still.begin(problem(still, images, labels, 0.1)).images
        np.testing.assert_array_equal(there, images)


def test_a_surrogate_gives_the_way_and_the_classifier_the_verdict():
    images, labels = gray(16)

    def downhill(images):
        return -linear_logits(images)

    for surrogate, climbs in ((None, True), (downhill, False)):
        result = run_pgd(
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


@pytest.mark.parametrize(("name", "value"), [("loss", "hinge"), ("norm", "l1")])
def test_unknown_losses_and_norms_are_refused(name, value):
    with pytest.raises(UsageError, match=f"`{name}` must be.*{value}"):
        pgd(linear_logits, *batch(), eps=EPS, num_steps=1, **{name: value})
