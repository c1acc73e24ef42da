"""Float64 readings of the papers on external memories, row by row, written without looking at the layers.

As in `reference.py`, a function takes one timestep of one sequence: `x` `(features,)`, the carry's vectors, and the
weights by name, and returns the output and the new carry. What the papers call one kernel over [x_t; r_{t-1}] is
`kernel` above `read_kernel`.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log(1 + np.exp(x))


def softmax(x):
    x = np.exp(x - np.max(x))
    return x / np.sum(x)


def cut(vector, *sizes):
    """The vector's parts of these sizes, which are all of it."""
    assert sum(sizes) == len(vector)
    return np.split(vector, np.cumsum(sizes)[:-1])


def lstm(x, carry, kernel, recurrent_kernel, bias):
    h, c = carry
    i, f, candidate, o = np.split(kernel.T @ x + recurrent_kernel.T @ h + bias, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(candidate)
    h = sigmoid(o) * np.tanh(c)
    return h, [h, c]


def elman(squash):
    def step(x, carry, kernel, recurrent_kernel, bias):
        h = squash(kernel.T @ x + recurrent_kernel.T @ carry[0] + bias)
        return h, [h]

    return step


def feedforward(x, carry, kernel, bias):
    return np.tanh(kernel.T @ x + bias), []


def controlled(controller, count, access):
    """A controller whose carry has `count` vectors, and what is done with its interface.

    `access(interface, *memory) -> (r, memory)`, and `read(*memory) -> r_{t-1}`; `with_read` says whether the output
    holds r_t too.
    """

    def made(read, with_read):
        def step(x, carry, kernel, read_kernel, interface_kernel, interface_bias, **weights):
            own, memory = carry[:count], carry[count:]
            both = np.concatenate([x, read(*memory)])
            h, own = controller(both, own, kernel=np.vstack([kernel, read_kernel]), **weights)
            r, memory = access(interface_kernel.T @ h + interface_bias, *memory)
            return np.concatenate([h, r]) if with_read else h, [*own, *memory]

        return step

    return made


def cosine(one, other):
    """With squared norms that are 10^-6 larger, as the layers say."""
    return one @ other / np.sqrt((one @ one + 1e-6) * (other @ other + 1e-6))


def by_content(M, key, strength):
    return softmax(np.array([strength * cosine(key, row) for row in M]))


# Graves, Wayne and Danihelka, 2014.


def ntm_weighting(M, last, key, strength, gate, shift, sharpness):
    """Equations 5 to 9, of one head; `shift` has the shares of -S ... S."""
    content = by_content(M, key, strength)
    gated = gate * content + (1 - gate) * last
    rows, most = len(M), len(shift) // 2
    moved = np.zeros(rows)
    for i in range(rows):
        for j in range(rows):
            for share, step in zip(shift, range(-most, most + 1), strict=True):
                if (j + step) % rows == i:
                    moved[i] += gated[j] * share
    return moved**sharpness / np.sum(moved**sharpness)


def ntm(controller=lstm, count=2, rows=16, width=8, reads=1, writes=1, shift=1):
    heads = reads + writes

    def access(told, memory, read, read_weights, write_weights):
        M = memory.reshape(rows, width).copy()
        last = np.concatenate([read_weights, write_weights]).reshape(heads, rows)
        sizes = heads * width, writes * width, writes * width, heads, heads, heads, heads * (2 * shift + 1)
        key, add, erase, gate, strength, sharpness, shifts = cut(told, *sizes)
        key, shifts = np.tanh(key).reshape(heads, width), shifts.reshape(heads, -1)
        add, erase = np.tanh(add).reshape(writes, width), sigmoid(erase).reshape(writes, width)
        w = [
            ntm_weighting(
                M,
                last[head],
                key[head],
                softplus(strength[head]),
                sigmoid(gate[head]),
                softmax(shifts[head]),
                1 + softplus(sharpness[head]),
            )
            for head in range(heads)
        ]
        for head in range(writes):
            M = M * (1 - np.outer(w[reads + head], erase[head]))
        for head in range(writes):
            M = M + np.outer(w[reads + head], add[head])
        read = np.concatenate([w[head] @ M for head in range(reads)])
        return read, [M.ravel(), read, np.concatenate(w[:reads]), np.concatenate(w[reads:])]

    return controlled(controller, count, access)(lambda memory, read, *weights: read, with_read=True)


# Graves et al., 2016.


def dnc_usage(usage, write_weights, free, read_weights):
    retention = np.prod([1 - gate * weights for gate, weights in zip(free, read_weights, strict=True)], axis=0)
    return (usage + write_weights - usage * write_weights) * retention


def dnc_allocation(usage):
    order = np.argsort(usage, kind="stable")
    weights, product = np.zeros(len(usage)), 1.0
    for row in order:
        weights[row] = (1 - usage[row]) * product
        product = product * usage[row]
    return weights


def dnc_links(links, precedence, write_weights):
    new = np.zeros_like(links)
    for i in range(len(links)):
        for j in range(len(links)):
            if i != j:
                kept = (1 - write_weights[i] - write_weights[j]) * links[i, j]
                new[i, j] = kept + write_weights[i] * precedence[j]
    return new


def dnc(controller=lstm, count=2, rows=16, width=8, reads=1):
    def access(told, memory, read, read_weights, write_weights, usage, precedence, links):
        M, L = memory.reshape(rows, width), links.reshape(rows, rows)
        w_r = read_weights.reshape(reads, rows)
        sizes = reads * width, width, width, width, reads, 1, 1, reads, 1, 3 * reads
        k_r, k_w, v, e, free, g_a, g_w, b_r, b_w, modes = cut(told, *sizes)
        usage = dnc_usage(usage, write_weights, sigmoid(free), w_r)
        content = by_content(M, k_w, 1 + softplus(b_w[0]))
        w_w = sigmoid(g_w) * (sigmoid(g_a) * dnc_allocation(usage) + (1 - sigmoid(g_a)) * content)
        M = M * (1 - np.outer(w_w, sigmoid(e))) + np.outer(w_w, v)
        L = dnc_links(L, precedence, w_w)
        precedence = (1 - np.sum(w_w)) * precedence + w_w
        new = []
        for key, strength, mode, last in zip(
            k_r.reshape(reads, width), 1 + softplus(b_r), modes.reshape(reads, 3), w_r, strict=True
        ):
            backward, content, forward = softmax(mode)
            new.append(backward * (L.T @ last) + content * by_content(M, key, strength) + forward * (L @ last))
        read = np.concatenate([M.T @ weights for weights in new])
        return read, [M.ravel(), read, np.concatenate(new), w_w, usage, precedence, L.ravel()]

    return controlled(controller, count, access)(lambda memory, read, *others: read, with_read=True)


# Joulin and Mikolov, 2015.


def joulin_stack(stack, push, pop, none, value):
    """One stack with -1 at its empty places."""
    below = np.append(stack[1:], -1)
    above = np.append(value, stack[:-1])
    return push * above + pop * below + none * stack


def stack(controller=None, count=1, stacks=4, depth=32, tops=2):
    def access(told, kept):
        values, actions = cut(told, stacks, 3 * stacks)
        new = []
        for old, value, action in zip(kept.reshape(stacks, depth), values, actions.reshape(stacks, 3), strict=True):
            new.append(joulin_stack(old - 1, *softmax(action), sigmoid(value)) + 1)
        return None, [np.concatenate(new)]

    def read(kept):
        return np.concatenate([one[:tops] - 1 for one in kept.reshape(stacks, depth)])

    return controlled(controller or elman(sigmoid), count, access)(read, with_read=False)


# Grefenstette et al., 2015. A memory is a list of (strength, vector) from the bottom to the top.


def popped_at_the_top(memory, pop):
    new = []
    for i, (strength, vector) in enumerate(memory):
        above = sum(other for other, _ in memory[i + 1 :])
        new.append((max(0, strength - max(0, pop - above)), vector))
    return new


def popped_at_the_bottom(memory, pop):
    return popped_at_the_top(memory[::-1], pop)[::-1]


def read_at_the_top(memory):
    found = 0
    for i, (strength, vector) in enumerate(memory):
        above = sum(other for other, _ in memory[i + 1 :])
        found = found + min(strength, max(0, 1 - above)) * vector
    return found


def read_at_the_bottom(memory):
    return read_at_the_top(memory[::-1])


def with_one_more(memory, row, at_bottom=False):
    """The weakest row is given up, the new one too; of equally weak ones the uppermost old one."""
    weakest = min(range(len(memory)), key=lambda i: (memory[i][0], -i))
    if row[0] < memory[weakest][0]:
        return memory
    kept = memory[:weakest] + memory[weakest + 1 :]
    return [row, *kept] if at_bottom else [*kept, row]


def neural_memory(kind, capacity=16, width=8):
    ends = 2 if kind == "deque" else 1

    def access(told, values, strengths, read):
        vectors, pushes, pops = cut(told, ends * width, ends, ends)
        vectors, pushes, pops = np.tanh(vectors).reshape(ends, width), sigmoid(pushes), sigmoid(pops)
        memory = list(zip(strengths, values.reshape(capacity, width), strict=True))[::-1]
        if kind != "queue":
            memory = popped_at_the_top(memory, pops[0])
        if kind != "stack":
            memory = popped_at_the_bottom(memory, pops[-1])
        memory = with_one_more(memory, (pushes[0], vectors[0]))
        if kind == "deque":
            memory = with_one_more(memory, (pushes[1], vectors[1]), at_bottom=True)
        found = [] if kind == "queue" else [read_at_the_top(memory)]
        found += [] if kind == "stack" else [read_at_the_bottom(memory)]
        strengths, values = zip(*memory[::-1], strict=True)
        read = np.concatenate(found)
        return read, [np.concatenate(values), np.array(strengths), read]

    return controlled(lstm, 2, access)(lambda values, strengths, read: read, with_read=False)
