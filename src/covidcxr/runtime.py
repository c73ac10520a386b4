"""How TensorFlow, Keras and OpenCV are set up before a step computes."""

import contextlib
from typing import Any

import cv2
import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from covidcxr.logs import log


def configure(*, threads: int, seed: int) -> None:
    """Set the process up for a step: threads, GPU memory on demand, seeds, deterministic kernels.

    Parameters
    ----------
    threads
        Processor threads of TensorFlow's kernels and of OpenCV. TensorFlow takes the number at its
        first computation and keeps it for the life of the process.
    seed
        Seed of TensorFlow's and Keras' global generators (`covidcxr.seeding.integer_seed`).
    """
    gpus = tf.config.list_physical_devices("GPU")
    # A process that has computed already (tests, notebooks) keeps its devices and threads.
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1 if threads == 1 else 2)
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    cv2.setNumThreads(threads)
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    log.info("TensorFlow %s on %d GPU and %d thread(s)", tf.__version__, len(gpus), threads)


def set_precision(model: keras.Model, policy: str) -> None:
    """Let the layers with weights compute under a Keras dtype policy; variables stay float32.

    Parameters
    ----------
    model
        Its layers are changed in place. Under `mixed_float16` its output may be float16.
    policy
        `mixed_float16` (for a GPU; slower than float32 on a CPU) or `float32`.
    """
    for layer in model.layers:
        if layer.weights and not isinstance(layer, keras.layers.Normalization):
            layer.dtype_policy = policy


def frozen(model: keras.Model, batch_size: int, dtype: tf.DType = tf.uint8) -> Any:
    """Return a model of images as one graph of one batch size, its weights constants.

    Kernels and their memory are laid out once, and TensorFlow folds batch normalisations into the
    convolutions before them.

    Returns
    -------
    A concrete function, `dtype` [batch_size, size, size, 1] -> list of the outputs as float32.
    """
    signature = [tf.TensorSpec((batch_size, *model.input_shape[1:3], 1), dtype, "image")]
    graph = tf.function(
        lambda images: [
            # Keras gives a list of one output as that output.
            tf.cast(one, tf.float32)
            for one in tf.nest.flatten(model(images, training=False))
        ],
        input_signature=signature,
    )
    return convert_variables_to_constants_v2(graph.get_concrete_function())
