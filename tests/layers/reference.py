"""Float64 readings of the papers, gate by gate and a timestep at a time, written without looking at the layers.

Each function takes one timestep: `x` `(features,)`, the carry's vectors, and the weights by name with Keras's shapes,
and returns the output and the new carry.
"""

import memory_reference as memory
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


def jordan(x, carry, kernel, recurrent_kernel, bias, output_kernel, output_bias, decay=0.0):
    (s,) = carry
    h = np.tanh(kernel.T @ x + recurrent_kernel.T @ s + bias)
    y = np.tanh(output_kernel.T @ h + output_bias)
    return y, [decay * s + y]


def fully_recurrent(x, carry, kernel, recurrent_kernel, bias, outputs=None):
    """One matrix over all that a unit sees."""
    seen = np.concatenate([x, carry[0]])
    y = sigmoid(np.concatenate([kernel, recurrent_kernel]).T @ seen + bias)
    return y[:outputs], [y]


def second_order(x, carry, transition_kernel, bias):
    (s,) = carry
    w = transition_kernel.reshape(len(s), len(x), len(bias))
    new = np.zeros(len(bias))
    for i in range(len(bias)):
        for j in range(len(s)):
            for k in range(len(x)):
                new[i] += w[j, k, i] * s[j] * x[k]
    new = sigmoid(new + bias)
    return new, [new]


def sequential_cascaded(x, carry, kernel, recurrent_kernel, bias, context_kernel):
    (z,) = carry
    written = kernel + np.tensordot(z, context_kernel.reshape(len(z), len(x), len(bias)), axes=1)
    of_bias_unit = recurrent_kernel.T @ z + bias
    z = sigmoid(written.T @ x + of_bias_unit)
    return z, [z]


def rmlp(x, carry, kernel, recurrent_kernel, bias, **between):
    below, new = x, []
    for level, (u, b) in enumerate(zip(blocks(recurrent_kernel, len(carry)), blocks(bias, len(carry)), strict=True)):
        w = kernel if level == 0 else between[f"kernel_{level + 1}"]
        below = np.tanh(w.T @ below + u.T @ carry[level] + b)
        new.append(below)
    return below, new


def irnn(x, carry, kernel, recurrent_kernel, bias):
    h = np.maximum(0, kernel.T @ x + recurrent_kernel.T @ carry[0] + bias)
    return h, [h]


def indrnn(x, carry, kernel, recurrent_weight, bias):
    h = np.array(
        [max(0, w @ x + u * own + b) for w, u, own, b in zip(kernel.T, recurrent_weight, *carry, bias, strict=True)]
    )
    return h, [h]


def antisymmetric(x, carry, kernel, bias, recurrent_triangle, gated=False):
    (h,) = carry
    m = np.zeros((len(h), len(h)))
    m[np.triu_indices(len(h), 1)] = recurrent_triangle
    drive = (m - m.T - 0.01 * np.eye(len(h))) @ h
    if gated:
        (w_z, w), (b_z, b) = blocks(kernel, 2), blocks(bias, 2)
        h = h + 0.01 * sigmoid(drive + w_z.T @ x + b_z) * np.tanh(drive + w.T @ x + b)
    else:
        h = h + 0.01 * np.tanh(drive + kernel.T @ x + bias)
    return h, [h]


def cornn(x, carry, kernel, recurrent_kernel, bias, velocity_kernel):
    y, z = carry
    acceleration = np.tanh(recurrent_kernel.T @ y + velocity_kernel.T @ z + kernel.T @ x + bias) - 2.7 * y - 4.7 * z
    z = z + 0.042 * acceleration
    y = y + 0.042 * z
    return y, [y, z]


def lem(x, carry, kernel, recurrent_kernel, bias):
    y, z = carry
    v, w, b = blocks(kernel, 4), blocks(recurrent_kernel, 4), blocks(bias, 4)
    step_z, step_y = (sigmoid(w[k].T @ y + v[k].T @ x + b[k]) for k in (0, 1))
    z = (1 - step_z) * z + step_z * np.tanh(w[2].T @ y + v[2].T @ x + b[2])
    y = (1 - step_y) * y + step_y * np.tanh(w[3].T @ z + v[3].T @ x + b[3])
    return y, [y, z]


def ctrnn(x, carry, kernel, recurrent_kernel, bias, log_time_constant):
    (y,) = carry
    slope = (-y + recurrent_kernel.T @ sigmoid(y + bias) + kernel.T @ x) / np.exp(log_time_constant)
    y = y + 0.1 * slope
    return sigmoid(y + bias), [y]


def ctrnn_elapsed(x, carry, kernel, recurrent_kernel, bias, log_time_constant):
    *x, span = x
    (y,) = carry
    slope = (-y + recurrent_kernel.T @ sigmoid(y + bias) + kernel.T @ x) / np.exp(log_time_constant)
    y = y + span * slope
    return sigmoid(y + bias), [y]


def mtrnn(x, carry, kernel, recurrent_kernel, bias):
    (u,) = carry
    fast = kernel.shape[1]
    new = []
    for i, potential in enumerate(u):
        tau = 5 if i < fast else 70
        outside = kernel[:, i] @ x if i < fast else 0
        new.append((1 - 1 / tau) * potential + (recurrent_kernel[:, i] @ np.tanh(u) + outside + bias[i]) / tau)
    return np.tanh(new[:fast]), [np.array(new)]


def clockwork(x, carry, kernel, bias, **recurrent_kernels):
    """Module by module; a module sees itself and the slower ones."""
    h, clock = carry
    new, first = [], 0
    for i, u in enumerate(recurrent_kernels[f"recurrent_kernel_{i}"] for i in range(len(recurrent_kernels))):
        own = slice(first, first + u.shape[1])
        first += u.shape[1]
        if np.round(clock[0]) % 2**i == 0:
            new.append(np.tanh(kernel[:, own].T @ x + u.T @ h[own.start :] + bias[own]))
        else:
            new.append(h[own])
    new = np.concatenate(new)
    return new, [new, clock + 1]


class StraightThrough:
    """A step whose slope is that of another function: the estimator's meaning, for central differences.

    The first run over the sequences notes the value and what stands for it backwards; later ones return the value plus
    the change of what stands for it.
    """

    def __init__(self):
        self.noted, self.place = [], None

    def begin(self, first):
        if first:
            self.noted, self.place = [], None
        else:
            self.place = iter(self.noted)

    def __call__(self, value, soft):
        if self.place is None:
            self.noted.append((value, soft))
            return value
        value, at_first = next(self.place)
        return value + soft - at_first


straight_through = StraightThrough()


def hierarchical(x, carry, kernel, **weights):
    (h_1, c_1, z_1, h_2, c_2), u = carry, len(carry[0])

    def gates(s):
        f, i, o = (sigmoid(s[k * u : (k + 1) * u]) for k in range(3))
        return f, i, o, np.tanh(s[3 * u : 4 * u])

    s = kernel.T @ x + weights["recurrent_kernel_1"].T @ h_1 + z_1 * (weights["above_kernel_1"].T @ h_2)
    s = s + weights["bias_1"]
    f, i, o, g = gates(s)
    c_1 = z_1 * (i * g) + (1 - z_1) * (f * c_1 + i * g)  # flush or update: what is below never waits
    h_1 = o * np.tanh(c_1)
    soft = np.clip((s[-1:] + 1) / 2, 0, 1)
    z_1 = straight_through((soft > 0.5).astype(float), soft)

    s = weights["recurrent_kernel_2"].T @ h_2 + z_1 * (weights["below_kernel_2"].T @ h_1) + weights["bias_2"]
    f, i, o, g = gates(s)
    c_2 = z_1 * (f * c_2 + i * g) + (1 - z_1) * c_2  # update or copy: no boundary, nothing above
    h_2 = z_1 * o * np.tanh(c_2) + (1 - z_1) * h_2
    return np.concatenate([h_1, h_2]), [h_1, c_1, z_1, h_2, c_2]


def cfc(x, carry, kernel, recurrent_kernel, bias, head_kernel, head_bias):
    backbone = np.tanh(kernel.T @ x + recurrent_kernel.T @ carry[0] + bias)
    (v_f, v_g, v_h), (c_f, c_g, c_h) = blocks(head_kernel, 3), blocks(head_bias, 3)
    f, g, h = v_f.T @ backbone + c_f, np.tanh(v_g.T @ backbone + c_g), np.tanh(v_h.T @ backbone + c_h)
    state = sigmoid(-f) * g + (1 - sigmoid(-f)) * h
    return state, [state]


def ltc(x, carry, kernel, recurrent_kernel, bias, log_time_constant, target):
    (state,) = carry
    for _ in range(6):
        f = sigmoid(kernel.T @ x + recurrent_kernel.T @ state + bias)
        state = (state + f * target / 6) / (1 + (1 / np.exp(log_time_constant) + f) / 6)
    return state, [state]


def odyssey(without=(), squash_input=np.tanh, squash_output=np.tanh, order=("i", "f", "c", "o"), coupled=False):
    """The vanilla LSTM of Greff et al., with parts left out."""

    def step(x, carry, kernel, recurrent_kernel, bias, peepholes=None, gate_kernel=None):
        h, c, *last_gates = carry
        count = len(order)
        w, u, b = (dict(zip(order, blocks(m, count), strict=True)) for m in (kernel, recurrent_kernel, bias))
        seeing = [gate for gate in ("i", "f", "o") if gate in order]
        p = dict.fromkeys("ifo", 0) if peepholes is None else dict(zip(seeing, peepholes, strict=True))
        r = {}
        if gate_kernel is not None:
            r = dict(zip("ifo", blocks(gate_kernel.T @ np.concatenate(last_gates), 3), strict=True))
        total = lambda gate: w[gate].T @ x + u[gate].T @ h + b[gate] + r.get(gate, 0)
        f = 1 if "f" in without else sigmoid(total("f") + p["f"] * c)
        i = 1 - f if coupled else 1 if "i" in without else sigmoid(total("i") + p["i"] * c)
        c = f * c + i * squash_input(total("c"))
        o = 1 if "o" in without else sigmoid(total("o") + p["o"] * c)
        h = o * squash_output(c)
        return h, [h, c, *([i, f, o] if last_gates else [])]

    return step


def normalized(x):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5)


def layernorm_lstm(x, carry, kernel, recurrent_kernel, bias, gains, cell_gain, cell_bias):
    h, c = carry
    s = gains[0] * normalized(kernel.T @ x) + gains[1] * normalized(recurrent_kernel.T @ h) + bias
    i, f, candidate, o = np.split(s, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(candidate)
    h = sigmoid(o) * np.tanh(cell_gain * normalized(c) + cell_bias)
    return h, [h, c]


def layernorm_gru(x, carry, kernel, recurrent_kernel, bias, gains, candidate_bias):
    (h,) = carry
    u = len(h)
    in_gates = gains[0, : 2 * u] * normalized((kernel.T @ x)[: 2 * u])
    from_gates = gains[1, : 2 * u] * normalized((recurrent_kernel.T @ h)[: 2 * u])
    z, r = np.split(in_gates + from_gates + bias[: 2 * u], 2)
    candidate = gains[0, 2 * u :] * normalized((kernel.T @ x)[2 * u :]) + bias[2 * u :]
    candidate = candidate + sigmoid(r) * (
        gains[1, 2 * u :] * normalized((recurrent_kernel.T @ h)[2 * u :]) + candidate_bias
    )
    h = (1 - sigmoid(z)) * h + sigmoid(z) * np.tanh(candidate)
    return h, [h]


def projected(x, carry, kernel, recurrent_kernel, bias, peepholes, projection_kernel):
    r, c = carry
    h, (_, c) = odyssey()(x, [r, c], kernel, recurrent_kernel, bias, peepholes)
    r = projection_kernel.T @ h
    return r, [r, c]


def multiplicative(x, carry, kernel, recurrent_kernel, bias, multiplier_kernel):
    h, c = carry
    w, w_m = kernel[:, : -len(h)], kernel[:, -len(h) :]
    m = (w_m.T @ x) * (multiplier_kernel.T @ h)
    return lstm(x, [m, c], w, recurrent_kernel, bias)


def nas(x, carry, kernel, recurrent_kernel, bias):
    h, c = carry
    a = np.split(kernel.T @ x + bias, 8)
    r = np.split(recurrent_kernel.T @ h, 8)
    relu = lambda v: np.maximum(v, 0)
    leaves = [
        sigmoid(a[0] + r[0]),
        relu(a[1] + r[1]),
        sigmoid(a[2] + r[2]),
        relu(a[3] * r[3]),
        np.tanh(a[4] + r[4]),
        sigmoid(a[5] + r[5]),
        np.tanh(a[6] + r[6]),
        sigmoid(a[7] + r[7]),
    ]
    first = np.tanh(np.tanh(leaves[0] * leaves[1]) + c)
    second = np.tanh(leaves[2] + leaves[3])
    third = np.tanh(leaves[4] * leaves[5])
    fourth = sigmoid(leaves[6] + leaves[7])
    c = first * second
    h = np.tanh(c * np.tanh(third + fourth))
    return h, [h, c]


def mut1(x, carry, kernel, recurrent_kernel, bias):
    (h,) = carry
    (w_z, w_r, w_h), (u_r, u_h), (b_z, b_r, b_h) = blocks(kernel, 3), blocks(recurrent_kernel, 2), blocks(bias, 3)
    z, r = sigmoid(w_z.T @ x + b_z), sigmoid(w_r.T @ x + u_r.T @ h + b_r)
    h = np.tanh(u_h.T @ (r * h) + np.tanh(w_h.T @ x) + b_h) * z + h * (1 - z)
    return h, [h]


def mut2(x, carry, kernel, recurrent_kernel, bias, squash=lambda h: h):
    (h,) = carry
    (w_z, w_r, w_h), (u_z, u_r, u_h) = blocks(kernel, 3), blocks(recurrent_kernel, 3)
    b_z, b_r, b_h = blocks(bias, 3)
    z = sigmoid(w_z.T @ x + u_z.T @ squash(h) + b_z)
    r = sigmoid(w_r.T @ x + u_r.T @ h + b_r)
    h = np.tanh(u_h.T @ (r * h) + w_h.T @ x + b_h) * z + h * (1 - z)
    return h, [h]


def mgu(x, carry, kernel, recurrent_kernel, bias):
    (h,) = carry
    (w_f, w_h), (u_f, u_h), (b_f, b_h) = blocks(kernel, 2), blocks(recurrent_kernel, 2), blocks(bias, 2)
    f = sigmoid(w_f.T @ x + u_f.T @ h + b_f)
    h = (1 - f) * h + f * np.tanh(w_h.T @ x + u_h.T @ (f * h) + b_h)
    return h, [h]


def ugrnn(x, carry, kernel, recurrent_kernel, bias):
    (h,) = carry
    (w_g, w_c), (u_g, u_c), (b_g, b_c) = blocks(kernel, 2), blocks(recurrent_kernel, 2), blocks(bias, 2)
    g = sigmoid(w_g.T @ x + u_g.T @ h + b_g)
    h = g * h + (1 - g) * np.tanh(w_c.T @ x + u_c.T @ h + b_c)
    return h, [h]


def janet(x, carry, kernel, recurrent_kernel, bias):
    (h,) = carry
    (w_f, w_c), (u_f, u_c), (b_f, b_c) = blocks(kernel, 2), blocks(recurrent_kernel, 2), blocks(bias, 2)
    s = w_f.T @ x + u_f.T @ h + b_f
    h = sigmoid(s) * h + (1 - sigmoid(s - 1)) * np.tanh(w_c.T @ x + u_c.T @ h + b_c)
    return h, [h]


def ligru(x, carry, kernel, recurrent_kernel, bias, gain):
    (h,) = carry
    (w_z, w_h), (u_z, u_h) = blocks(kernel, 2), blocks(recurrent_kernel, 2)
    (b_z, b_h), (g_z, g_h) = blocks(bias, 2), blocks(gain, 2)
    z = sigmoid(g_z * normalized(w_z.T @ x) + u_z.T @ h + b_z)
    h = z * h + (1 - z) * np.maximum(0, g_h * normalized(w_h.T @ x) + u_h.T @ h + b_h)
    return h, [h]


def fastgrnn(x, carry, kernel, recurrent_kernel, bias, scales):
    (h,) = carry
    b_z, b_h = blocks(bias, 2)
    zeta, nu = sigmoid(scales)
    z = sigmoid(kernel.T @ x + recurrent_kernel.T @ h + b_z)
    candidate = np.tanh(kernel.T @ x + recurrent_kernel.T @ h + b_h)
    h = (zeta * (1 - z) + nu) * candidate + z * h
    return h, [h]


def scrn(x, carry, kernel, recurrent_kernel, bias, context_kernel, hidden_kernel):
    h, s = carry
    s = 0.05 * context_kernel.T @ x + 0.95 * s
    h = sigmoid(hidden_kernel.T @ s + kernel.T @ x + recurrent_kernel.T @ h + bias)
    return np.concatenate([h, s]), [h, s]


def ran(x, carry, kernel, recurrent_kernel, bias):
    h, c = carry
    (w_c, w_i, w_f), (u_i, u_f), (b_i, b_f) = blocks(kernel, 3), blocks(recurrent_kernel, 2), blocks(bias, 2)
    c = sigmoid(u_i.T @ h + w_i.T @ x + b_i) * (w_c.T @ x) + sigmoid(u_f.T @ h + w_f.T @ x + b_f) * c
    return np.tanh(c), [np.tanh(c), c]


def sru(x, carry, kernel, bias):
    (c,) = carry
    w, w_f, w_r, *around = np.split(kernel.T @ x, kernel.shape[1] // len(c))
    b_f, b_r = blocks(bias, 2)
    f, r = sigmoid(w_f + b_f), sigmoid(w_r + b_r)
    c = f * c + (1 - f) * w
    return r * np.tanh(c) + (1 - r) * (around[0] if around else x), [c]


def qrnn(x, carry, kernel, bias):
    (w_z, w_f, w_o), (b_z, b_f, b_o) = blocks(kernel, 3), blocks(bias, 3)
    f = sigmoid(w_f.T @ x + b_f)
    c = f * carry[0] + (1 - f) * np.tanh(w_z.T @ x + b_z)
    return sigmoid(w_o.T @ x + b_o) * c, [c]


def lru(x, carry, kernel, bias, output_kernel, ring):
    """In complex numbers."""
    real, imaginary, d = blocks(kernel, 3)
    nu, theta, gamma = ring
    eigenvalues = np.exp(-np.exp(nu) + 1j * np.exp(theta))
    state = eigenvalues * (carry[0] + 1j * carry[1]) + np.exp(gamma) * ((real + 1j * imaginary).T @ x)
    c = output_kernel[: len(nu)] + 1j * output_kernel[len(nu) :]
    return (c.T @ state).real + d.T @ x + bias, [state.real, state.imag]


def rglru(x, carry, kernel, bias, decay):
    (w, w_a, w_i), (b, b_a, b_i) = blocks(kernel, 3), blocks(bias, 3)
    r, i = sigmoid(w_a.T @ x + b_a), sigmoid(w_i.T @ x + b_i)
    a = sigmoid(decay) ** (8 * r)
    h = a * carry[0] + np.sqrt(1 - a**2) * i * (w.T @ x + b)
    return h, [h]


def slstm(x, carry, kernel, recurrent_kernel, bias):
    """Without a stabiliser: c and n whole, multiplied by exp(m) on the way in and divided by it on the way out."""
    h, c, n, m = carry
    c, n = c * np.exp(m), n * np.exp(m)
    i, f, z, o = np.split(kernel.T @ x + recurrent_kernel.T @ h + bias, 4)
    c = sigmoid(f) * c + np.exp(i) * np.tanh(z)
    n = sigmoid(f) * n + np.exp(i)
    h = sigmoid(o) * c / n
    m = np.maximum(np.log(sigmoid(f)) + m, i)
    return h, [h, c / np.exp(m), n / np.exp(m), m]


def mlstm(x, carry, kernel, bias):
    memory, n, m = carry
    u = len(n)
    memory, n = memory.reshape(u, u) * np.exp(m), n * np.exp(m)
    s = kernel.T @ x + bias
    q, k, v, o = np.split(s[: 4 * u], 4)
    k = k / np.sqrt(u)
    i, f = np.exp(s[4 * u]), sigmoid(s[4 * u + 1])
    memory = f * memory + i * np.outer(v, k)
    n = f * n + i * k
    h = sigmoid(o) * (memory @ q) / max(abs(n @ q), 1)
    m = np.maximum(np.log(f) + m, np.log(i))
    return h, [memory.ravel() / np.exp(m), n / np.exp(m), m]


def with_options(step, **options):
    return lambda x, carry, **weights: step(x, carry, **weights, **options)


STEPS = {
    "elman": elman,
    "jordan": jordan,
    "jordan, two outputs that fade": with_options(jordan, decay=0.5),
    "fully_recurrent": fully_recurrent,
    "fully_recurrent, two outputs": with_options(fully_recurrent, outputs=2),
    "second_order": second_order,
    "sequential_cascaded": sequential_cascaded,
    "rmlp": rmlp,
    "irnn": irnn,
    "indrnn": indrnn,
    "antisymmetric": antisymmetric,
    "antisymmetric, gated": with_options(antisymmetric, gated=True),
    "cornn": cornn,
    "lem": lem,
    "ctrnn": ctrnn,
    "ctrnn, elapsed": ctrnn_elapsed,
    "mtrnn": mtrnn,
    "clockwork": clockwork,
    "hierarchical": hierarchical,
    "cfc": cfc,
    "ltc": ltc,
    "echo_state": elman,
    "original_lstm": odyssey(without="f", order=("i", "c", "o")),
    "lstm": lstm,
    "peephole": peephole,
    "coupled": odyssey(order=("f", "c", "o"), coupled=True),
    "nig": odyssey(without="i", order=("f", "c", "o")),
    "nfg": odyssey(without="f", order=("i", "c", "o")),
    "nog": odyssey(without="o", order=("i", "f", "c")),
    "niaf": odyssey(squash_input=lambda x: x),
    "noaf": odyssey(squash_output=lambda c: c),
    "np": lstm,
    "fgr": odyssey(),
    "layernorm_lstm": layernorm_lstm,
    "projected": projected,
    "multiplicative": multiplicative,
    "nas": nas,
    "slstm": slstm,
    "mlstm": mlstm,
    "gru": gru,
    "gru, reset before": gru_reset_before,
    "layernorm_gru": layernorm_gru,
    "mut1": mut1,
    "mut2": mut2,
    "mut3": with_options(mut2, squash=np.tanh),
    "mgu": mgu,
    "ugrnn": ugrnn,
    "janet": janet,
    "ligru": ligru,
    "fastgrnn": fastgrnn,
    "scrn": scrn,
    "ran": ran,
    "sru": sru,
    "qrnn": qrnn,
    "mingru": mingru,
    "minlstm": minlstm,
    "lru": lru,
    "rglru": rglru,
    "stack": memory.stack(),
    "neural_stack": memory.neural_memory("stack"),
    "neural_queue": memory.neural_memory("queue"),
    "neural_deque": memory.neural_memory("deque"),
    "ntm": memory.ntm(),
    "dnc": memory.dnc(),
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
