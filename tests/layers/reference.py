"""Float64 readings of the papers, gate by gate and a timestep at a time, written without looking at the layers.

Each function takes one timestep: `x` `(features,)`, the carry's vectors, and the weights by name with Keras's shapes,
and returns the output and the new carry.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def blocks(matrix, count):
    """The columns of each gate."""
    return np.split(matrix, count, axis=-1)


def elman(x, carry, kernel, recurrent_kernel, bias):
    (h,) = carry
    h = np.tanh(kernel.T @ x + recurrent_kernel.T @ h + bias)
    return h, [h]


def lstm(x, carry, kernel, recurrent_kernel, bias):
    h, c = carry
    (w_i, w_f, w_c, w_o), (u_i, u_f, u_c, u_o) = blocks(kernel, 4), blocks(recurrent_kernel, 4)
    b_i, b_f, b_c, b_o = blocks(bias, 4)
    input_gate = sigmoid(w_i.T @ x + u_i.T @ h + b_i)
    forget_gate = sigmoid(w_f.T @ x + u_f.T @ h + b_f)
    candidate = np.tanh(w_c.T @ x + u_c.T @ h + b_c)
    output_gate = sigmoid(w_o.T @ x + u_o.T @ h + b_o)
    c = forget_gate * c + input_gate * candidate
    h = output_gate * np.tanh(c)
    return h, [h, c]


def gru(x, carry, kernel, recurrent_kernel, bias):
    """Reset after the product, with two biases."""
    (h,) = carry
    (w_z, w_r, w_h), (u_z, u_r, u_h) = blocks(kernel, 3), blocks(recurrent_kernel, 3)
    (b_z, b_r, b_h), (d_z, d_r, d_h) = blocks(bias[0], 3), blocks(bias[1], 3)
    update = sigmoid(w_z.T @ x + u_z.T @ h + b_z + d_z)
    reset = sigmoid(w_r.T @ x + u_r.T @ h + b_r + d_r)
    candidate = np.tanh(w_h.T @ x + b_h + reset * (u_h.T @ h + d_h))
    h = update * h + (1 - update) * candidate
    return h, [h]


def gru_reset_before(x, carry, kernel, recurrent_kernel, bias):
    (h,) = carry
    (w_z, w_r, w_h), (u_z, u_r, u_h) = blocks(kernel, 3), blocks(recurrent_kernel, 3)
    b_z, b_r, b_h = blocks(bias, 3)
    update = sigmoid(w_z.T @ x + u_z.T @ h + b_z)
    reset = sigmoid(w_r.T @ x + u_r.T @ h + b_r)
    candidate = np.tanh(w_h.T @ x + u_h.T @ (reset * h) + b_h)
    h = update * h + (1 - update) * candidate
    return h, [h]


def peephole(x, carry, kernel, recurrent_kernel, bias, peepholes):
    h, c = carry
    (w_i, w_f, w_c, w_o), (u_i, u_f, u_c, u_o) = blocks(kernel, 4), blocks(recurrent_kernel, 4)
    b_i, b_f, b_c, b_o = blocks(bias, 4)
    p_i, p_f, p_o = peepholes
    input_gate = sigmoid(w_i.T @ x + u_i.T @ h + p_i * c + b_i)
    forget_gate = sigmoid(w_f.T @ x + u_f.T @ h + p_f * c + b_f)
    c = forget_gate * c + input_gate * np.tanh(w_c.T @ x + u_c.T @ h + b_c)
    output_gate = sigmoid(w_o.T @ x + u_o.T @ h + p_o * c + b_o)
    h = output_gate * np.tanh(c)
    return h, [h, c]


def mingru(x, carry, kernel, bias):
    (h,) = carry
    (w_z, w_h), (b_z, b_h) = blocks(kernel, 2), blocks(bias, 2)
    update = sigmoid(w_z.T @ x + b_z)
    h = (1 - update) * h + update * (w_h.T @ x + b_h)
    return h, [h]


def minlstm(x, carry, kernel, bias):
    (h,) = carry
    (w_f, w_i, w_h), (b_f, b_i, b_h) = blocks(kernel, 3), blocks(bias, 3)
    forget, enter = sigmoid(w_f.T @ x + b_f), sigmoid(w_i.T @ x + b_i)
    h = forget / (forget + enter) * h + enter / (forget + enter) * (w_h.T @ x + b_h)
    return h, [h]


STEPS = {
    "elman": elman,
    "lstm": lstm,
    "gru": gru,
    "gru, reset before": gru_reset_before,
    "peephole": peephole,
    "mingru": mingru,
    "minlstm": minlstm,
}


def over_time(step, sequences, carry, weights):
    """`(batch, timesteps, features)` and `(batch, units)` of each carry -> outputs of all timesteps, last carry."""
    outputs, last = [], []
    for sequence, *vectors in zip(sequences, *carry, strict=True):
        outputs.append([])
        for x in sequence:
            output, vectors = step(x, vectors, **weights)
            outputs[-1].append(output)
        last.append(vectors)
    return np.array(outputs), [np.array(vectors) for vectors in zip(*last, strict=True)]
