"""The backend functions of the loop over time; no other file but those of `fused` calls a backend.

`backend` is the module `tensorflow` or `jax`, whichever Keras runs on. Both have `scan`, `stacked`, `vjp`,
`with_gradient`, `choice`, `product` with `factor`, `plus_bias`, `known_product`, `cut`, `portions`, `value`, `expect`,
`compiled`, `traced_once`, `kernels`, `fuses` and `under_xla`; `vendor_has` and `VENDOR_MASKS` are for `vendor.py`.
"""

import importlib

import keras

from layers.backend.written import Written

__all__ = ["Written", "backend"]

name = keras.backend.backend()
if name not in ("tensorflow", "jax"):
    raise ImportError(
        "`layers` runs on TensorFlow and on JAX: set KERAS_BACKEND to tensorflow or jax before Keras is imported. "
        f"Received: Keras runs on {name}."
    )
backend = importlib.import_module(f"layers.backend.{name}")
