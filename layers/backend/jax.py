"""The loop's backend functions for JAX."""

import itertools

import jax
from keras import ops

from layers.backend.written import first_values, joined

VENDOR_MASKS = False


def vendor_has(cell):
    return "cell" in cell.carry and jax.default_backend() == "gpu"  # Keras runs the GRU as a plain scan


def compiled(run, jit_compile, training, shape, tensors, largest):
    return jax.jit(run)() if jit_compile is True else run()


def under_xla():
    return True


def expect(holds, message, received, then=None):
    if not isinstance(holds, jax.core.Tracer) and not holds:
        raise ValueError(f"{message} Received: {first_values(received)}.")
    return then


def choice(condition, one, other, arguments):
    return ops.cond(condition, lambda: one(*arguments), lambda: other(*arguments))


def plus_bias(x, bias):
    return x + bias


def value(x):
    return ops.convert_to_tensor(x)


def factor(matrix, batch):
    return matrix


def product(x, factor):
    return ops.matmul(x, factor)


def traced_once(f):
    return f


def cut(x, sizes):
    return [x] * len(sizes) if len(sizes) < 2 else ops.split(x, list(itertools.accumulate(sizes))[:-1])


def portions(rows):
    return [rows]


def scan(body, carry, xs, written, reverse=False):
    def iteration(carry, x):
        carry, values = body(carry, x)
        return carry, [ops.stack(v) if one.apart else v for one, v in zip(written, values, strict=True)]

    return jax.lax.scan(iteration, list(carry), xs, reverse=reverse)


def stacked(held):
    return joined(held)


def vjp(f, arguments):
    outputs, pull, aux = jax.vjp(f, *arguments, has_aux=True)
    return outputs, aux, lambda gradients: list(pull(list(gradients)))


def kernels(step, sequences, dtype, fused, timesteps=None):
    return None  # XLA compiles the loop; a callback out of it costs more than it saves


def fuses(step, dtype):
    return False


def with_gradient(forward, backward, keep, arguments, again=None):
    run = jax.custom_vjp(lambda *arguments: forward(False, arguments)[0])

    def run_and_keep(*arguments):
        results, kept = forward(True, arguments)
        return results, (arguments, kept)

    run.defvjp(run_and_keep, lambda kept, gradients: tuple(backward(*kept, gradients)))
    return run(*arguments)


def known_product(hidden, zeros, known, transposed):
    @jax.custom_vjp
    def run(hidden, zeros, known, transposed):
        return known

    def forward(hidden, zeros, known, transposed):
        return known, (hidden, known, transposed)

    def pull(kept, d):
        hidden, known, transposed = kept
        return ops.matmul(d, transposed), d, ops.zeros_like(known), ops.matmul(ops.transpose(d), hidden)

    run.defvjp(forward, pull)
    return run(hidden, zeros, known, transposed)
