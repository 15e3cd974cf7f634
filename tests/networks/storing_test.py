"""Equal networks are equal files."""

import time
import zipfile

import keras
import numpy as np
import pytest
from toys import small_generator, small_vgg

from tfgan_robust.networks.storing import save_network


def shared():
    """A layer that is used twice, and objects that two layers share."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    start = keras.initializers.GlorotUniform(seed=1)
    first = keras.layers.Conv2D(3, 3, padding="same", kernel_initializer=start)
    last = keras.layers.Dense(2, kernel_initializer=start)
    x = keras.layers.Flatten()(first(first(image)))
    return keras.Model(image, last(x))


@pytest.mark.slow
def test_equal_networks_are_equal_bytes(tmp_path):
    for number, build in enumerate((shared, small_vgg, small_generator)):
        files = [tmp_path / f"{number}{name}.keras" for name in "ab"]
        for file in files:
            keras.utils.set_random_seed(0)
            keras.backend.clear_session()
            save_network(build(), file)
            # A zip file keeps times to two seconds.
            time.sleep(2.1 if build is shared else 0)
        first, second = (file.read_bytes() for file in files)
        assert first == second
        assert zipfile.is_zipfile(files[0])


def test_what_is_stored_is_the_network(tmp_path):
    network = shared()
    save_network(network, tmp_path / "n.keras")
    loaded = keras.models.load_model(tmp_path / "n.keras")
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(network(images), loaded(images))


def test_a_failure_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / "n.keras"
    save_network(shared(), path)
    kept = path.read_bytes()

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", refuse)
    with pytest.raises(OSError, match="No space"):
        save_network(small_vgg(), path)
    assert path.read_bytes() == kept
