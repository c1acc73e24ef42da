"""Encoders of images: preprocessing as keras.applications does it, grids, files and fingerprints."""

import importlib

import keras
import numpy as np
import pytest
from keras import ops

from layers import image_encoder

IMAGES = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 3), "uint8")


@pytest.fixture
def builders(monkeypatch):
    """Applications that return their input, so that a test sees what reaches them; in their own modules."""

    def same(include_top, weights, input_shape):
        images = keras.Input(input_shape)
        return keras.Model(images, keras.layers.Identity()(images))

    def builder(module):
        function = lambda **arguments: same(**arguments)
        function.__module__ = module
        return function

    modules = {name: build.__module__ for name, build in image_encoder.APPLICATIONS.items()}
    monkeypatch.setattr(image_encoder, "APPLICATIONS", {name: builder(module) for name, module in modules.items()})


# Written from the papers: from -1 to 1; BGR without the means of ImageNet; RGB by means and deviations; as they are.
MEANS, DEVIATIONS = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
BY_HAND = {
    "MobileNetV2": lambda x: x / 127.5 - 1,
    "ResNet50V2": lambda x: x / 127.5 - 1,
    "ResNet50": lambda x: x[..., ::-1] - [103.939, 116.779, 123.68],
    "VGG16": lambda x: x[..., ::-1] - [103.939, 116.779, 123.68],
    "DenseNet121": lambda x: (x / 255 - MEANS) / DEVIATIONS,
    "EfficientNetB0": lambda x: x,
}


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("name", BY_HAND)
def test_an_application_gets_what_its_own_preprocessing_makes(name, dtype, builders):
    model = image_encoder.application(name, weights=None, size=32)
    found = ops.convert_to_numpy(model(IMAGES.astype(dtype)))
    np.testing.assert_allclose(found, BY_HAND[name](IMAGES.astype("float64")), atol=1e-4)
    module = importlib.import_module(image_encoder.APPLICATIONS[name].__module__)
    np.testing.assert_allclose(found, module.preprocess_input(IMAGES.astype("float32")), atol=1e-4)


def test_a_real_application_makes_the_grid_that_keras_makes_and_is_saved(tmp_path):
    model, size = image_encoder.encoder("mobilenet-v2", 32, weights=None)
    assert size == 32 and model.output_shape == (None, 1, 1, 1280)
    inner = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3))
    inner.set_weights(model.get_weights())
    expected = ops.convert_to_numpy(inner(IMAGES.astype("float32") / 127.5 - 1))
    np.testing.assert_allclose(ops.convert_to_numpy(model(IMAGES)), expected, atol=1e-5)
    inner.save_weights(tmp_path / "some.weights.h5")
    again = image_encoder.application("MobileNetV2", tmp_path / "some.weights.h5", 32)
    assert image_encoder.fingerprint(again) == image_encoder.fingerprint(model)


def test_every_application_is_found_by_its_name_and_has_a_size(builders):
    assert {"MobileNetV2", "ResNet50", "VGG16", "EfficientNetB0", "NASNetLarge"} <= set(image_encoder.APPLICATIONS)
    for name in image_encoder.APPLICATIONS:
        size = 331 if name == "NASNetLarge" else 224
        assert image_encoder.encoder(name.lower(), weights=None)[1] == size


@pytest.mark.parametrize(
    "name, near", [("resnet5o", "near it are .*ResNet50"), ("zzzzzzzz", "known: ConvNeXtBase, .*Xception")]
)
def test_an_unknown_name_is_refused_with_those_near_it(name, near):
    with pytest.raises(ValueError, match=f"`name` must be a model of keras.applications .*{near}.*name='{name}'"):
        image_encoder.encoder(name)


def test_a_failed_download_says_what_to_do(builders, monkeypatch):
    def failing(**arguments):
        raise Exception("URL fetch failure on https://weights: None -- [Errno -2]\nName or service not known")

    monkeypatch.setitem(image_encoder.APPLICATIONS, "VGG16", failing)
    with pytest.raises(ValueError, match="VGG16: .* could not be downloaded; check the connection.*fetch") as error:
        image_encoder.encoder("vgg16")
    assert "\n" not in str(error.value)


def test_weights_that_are_no_file_or_of_another_model_are_refused(tmp_path):
    with pytest.raises(ValueError, match="VGG16: `weights` must be imagenet, None or the path of a file.*nothing.h5"):
        image_encoder.application("VGG16", tmp_path / "nothing.h5", 32)
    image_encoder.small(8).save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ValueError, match="VGG16: `weights` must be a file of its weights without .*other.weights.h5"):
        image_encoder.application("VGG16", tmp_path / "other.weights.h5", 32)


def test_an_image_too_small_for_an_application_is_refused():
    with pytest.raises(ValueError, match="VGG16: `size` must fit the model. Received: size=16"):
        image_encoder.application("VGG16", None, 16)


def test_the_small_network_makes_a_grid_from_a_seed_and_reads_integers_too():
    first, size = image_encoder.encoder("small", width=8, seed=3)
    second = image_encoder.small(8, seed=3)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), "uint8")
    found = ops.convert_to_numpy(first(images))
    assert size == 64 and found.shape == (2, 8, 8, 32)
    np.testing.assert_array_equal(found, ops.convert_to_numpy(second(images.astype("float32"))))
    # The other images of a batch do not count.
    np.testing.assert_allclose(found[:1], ops.convert_to_numpy(first(images[:1])), atol=1e-5)
    # What the first layer gets lies in [-1, 1].
    scaled = ops.convert_to_numpy(first.layers[1](np.array([0.0, 127.5, 255.0])))
    np.testing.assert_allclose(scaled, [-1, 0, 1], atol=1e-6)


def test_the_small_network_knows_where_a_place_is():
    coordinates = ops.convert_to_numpy(image_encoder.Coordinates()(np.ones((2, 3, 5, 1), "float32")))
    assert coordinates.shape == (2, 3, 5, 3)
    for i in range(3):
        for j in range(5):
            np.testing.assert_allclose(coordinates[:, i, j], [[1, i - 1, j / 2 - 1]] * 2, atol=1e-6)


def test_the_small_network_is_saved_and_loaded(tmp_path):
    model = image_encoder.small(8, seed=1, size=32)
    model.save(tmp_path / "encoder.keras")
    loaded, size = image_encoder.encoder(tmp_path / "encoder.keras")
    assert size == 32
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded(IMAGES)), ops.convert_to_numpy(model(IMAGES)))
    assert image_encoder.fingerprint(loaded) == image_encoder.fingerprint(model)


@pytest.mark.parametrize("argument", [{"width": 12}, {"size": 60}, {"width": 0}, {"size": -8}])
def test_a_width_or_size_that_is_no_multiple_of_8_is_refused(argument):
    with pytest.raises(ValueError, match=f"small: `{next(iter(argument))}` must be a"):
        image_encoder.small(**argument)


def saved(path, shape, *layers):
    model = keras.Sequential([keras.Input(shape), *layers])
    model.save(path)
    return path


def test_a_file_of_images_of_any_size_gets_one(tmp_path):
    path = saved(tmp_path / "any.keras", (None, None, 3), keras.layers.Conv2D(4, 3, 2))
    assert image_encoder.encoder(path, 33)[0].output_shape == (None, 16, 16, 4)
    assert image_encoder.encoder(path)[1] == 224


def test_a_file_that_is_no_encoder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="none.keras: expected a .keras file, there is none"):
        image_encoder.encoder(tmp_path / "none.keras")
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(ValueError, match="text.keras: expected a model saved by `model.save"):
        image_encoder.encoder(tmp_path / "text.keras")
    pooled = saved(tmp_path / "pooled.keras", (32, 32, 3), keras.layers.GlobalAveragePooling2D())
    with pytest.raises(ValueError, match=r"pooled.keras: expected a model that makes a grid .* makes \(None, 3\)"):
        image_encoder.encoder(pooled)
    grey = saved(tmp_path / "grey.keras", (32, 32, 1), keras.layers.Conv2D(4, 3))
    with pytest.raises(ValueError, match=r"expected a model of images .* one of \(None, 32, 32, 1\)"):
        image_encoder.encoder(grey)
    right = saved(tmp_path / "right.keras", (32, 32, 3), keras.layers.Conv2D(4, 3))
    with pytest.raises(ValueError, match="`size` must be 32, the size of the model's images. Received: size=64"):
        image_encoder.encoder(right, 64)


def test_a_fingerprint_changes_with_a_weight_and_a_layer_but_not_with_names_or_freezing():
    model = image_encoder.small(8, seed=1)
    expected = image_encoder.fingerprint(model)
    same = image_encoder.small(8, seed=1)  # with other names of layers, as Keras counts on
    same.trainable = False
    assert image_encoder.fingerprint(same) == expected
    assert image_encoder.fingerprint(image_encoder.small(8, seed=1, size=32)) != expected
    images = keras.Input((64, 64, 3))
    assert image_encoder.fingerprint(keras.Model(images, keras.layers.ReLU(negative_slope=0.1)(model(images)))) != (
        image_encoder.fingerprint(keras.Model(images, keras.layers.ReLU(negative_slope=0.2)(model(images))))
    )
    weights = same.get_weights()
    weights[-1][3] += 1e-3
    same.set_weights(weights)
    assert image_encoder.fingerprint(same) != expected
