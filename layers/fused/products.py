"""Products of matrices on one thread, of which the second is laid out in the order in which it is read.

BLAS copies a large matrix at each call. On one core with AVX2, 16 x 128 times 128 x 512 took OpenBLAS 37 microseconds
and takes `product` 27; 8 x 64 times 64 x 256 took 6.0 and takes 3.8.

Each number is summed up in the order of the rows of the second matrix, whatever the number of rows of the first.
"""

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

WIDE = llvmlite.binding.get_host_cpu_features().get("avx512f")
BYTES = 128 if WIDE else 64  # of a row of a tile, two vectors
ROWS = 8 if WIDE else 4  # of a tile: two sums in each, enough to wait for none and fewer than there are registers

how = njit(nogil=True, error_model="numpy")


@how
def panels(k, n, like):
    """Room for a matrix `(k, n)` of an array's dtype as panels of columns, `(panels, k, columns)`."""
    columns = BYTES // like.itemsize
    return np.empty(((n + columns - 1) // columns, k, columns), like.dtype)


@how
def pack(b, to):
    """Lays a matrix out in `panels`, which may be those of more rows; behind the last column there are zeros."""
    columns = BYTES // b.itemsize  # which the compiler knows
    for p in range(len(to)):
        wide = min(columns, b.shape[1] - p * columns)
        for i in range(len(b)):
            if wide == columns:
                for j in range(columns):
                    to[p, i, j] = b[i, p * columns + j]
            else:
                for j in range(columns):
                    to[p, i, j] = b[i, p * columns + j] if j < wide else 0


@how
def packed(b):
    """A matrix `(k, n)` in panels of its own."""
    found = panels(*b.shape, b)
    pack(b, found)
    return found


def tiles_of(rows, adds):
    """The tile of that many rows, or of half, a quarter, ... as many; see `tile_of`."""
    whole = tile_of(rows, adds)
    part = tiles_of(rows // 2, adds) if rows > 1 else None

    @how
    def tile(high, a, row, panel, c, to, column):
        if high == rows:
            whole(a, row, panel, c, to, column)
        else:
            part(high, a, row, panel, c, to, column)

    @how
    def one(high, a, row, panel, c, to, column):
        whole(a, row, panel, c, to, column)

    return tile if rows > 1 else one


def product_of(adds):
    """The product in tiles."""
    tile = tiles_of(ROWS, adds)

    @how
    def product(a, b, c):
        columns = b.shape[2]
        beside = np.zeros((ROWS, columns), c.dtype)  # the tile at the right edge may be wider than `c`
        for p in range(len(b)):
            first = p * columns
            wide = min(columns, c.shape[1] - first)
            r = 0
            while r < len(c):
                high = ROWS
                while high > len(c) - r:
                    high //= 2
                if wide == columns:
                    tile(high, a, r, b[p], c, r, first)
                else:
                    for i in range(high):
                        for j in range(wide):
                            beside[i, j] = c[r + i, first + j]
                    tile(high, a, r, b[p], beside, 0, 0)
                    for i in range(high):
                        for j in range(wide):
                            c[r + i, first + j] = beside[i, j]
                r += high

    return product


def tile_of(rows, adds):
    """Rows of `a`, from `row` on, times a panel, written to `c` from row `to` and `column` on.

    It is in LLVM's own language: its sums stay in vector registers, which loops in Python cannot promise.

    Args:
        rows: How many.
        adds: Whether `a` is transposed, and the product is added to what is there.
    """

    def code(context, builder, signature, arguments):
        _, row, _, _, to, column = arguments
        a, panel, c = (
            context.make_array(signature.args[place])(context, builder, arguments[place]) for place in (0, 2, 3)
        )
        size = signature.args[0].dtype.bitwidth // 8
        lanes = BYTES // size // 2
        vector = ir.VectorType(context.get_value_type(signature.args[0].dtype), lanes)
        integer = lambda value: ir.Constant(context.get_value_type(types.intp), value)
        plus = lambda x, value: builder.add(x, integer(value))
        height, width = (lambda array, axis=axis: cgutils.unpack_tuple(builder, array.shape)[axis] for axis in (0, 1))
        number = lambda array, place: builder.gep(array.data, [place])
        vectors = lambda array, place: [
            builder.bitcast(number(array, plus(place, half * lanes)), vector.as_pointer()) for half in (0, 1)
        ]
        spread = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        nothing = ir.Constant(vector, ir.Undefined)

        places = [vectors(c, builder.add(builder.mul(plus(to, r), width(c)), column)) for r in range(rows)]
        zeros = ir.Constant(vector, [0.0] * lanes)
        begin = lambda place: builder.load(place, align=size) if adds else zeros
        sums = [[cgutils.alloca_once_value(builder, begin(place)) for place in pair] for pair in places]
        if adds:
            starts, step, count = [plus(row, r) for r in range(rows)], width(a), height(a)
        else:
            starts, step, count = [builder.mul(plus(row, r), width(a)) for r in range(rows)], integer(1), width(a)
        with cgutils.for_range(builder, count) as loop:
            past = builder.mul(loop.index, step)
            both = [builder.load(x, align=size) for x in vectors(panel, builder.mul(loop.index, integer(2 * lanes)))]
            for start, row_sums in zip(starts, sums, strict=True):
                value = builder.load(number(a, builder.add(start, past)))
                value = builder.shuffle_vector(
                    builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0)), nothing, spread
                )
                for x, held in zip(both, row_sums, strict=True):
                    more = builder.fmul(value, x, flags=("contract",))  # with the sum, one instruction
                    builder.store(builder.fadd(builder.load(held), more, flags=("contract",)), held)
        for pair, row_sums in zip(places, sums, strict=True):
            for target, held in zip(pair, row_sums, strict=True):
                builder.store(builder.load(held), target, align=size)
        return context.get_dummy_value()

    @intrinsic
    def tile(typing, a, row, panel, c, to, column):
        return types.void(a, row, panel, c, to, column), code

    return tile


# c = a b, of `(m, k)`, `packed(b)` and `(m, n)`.
product = product_of(False)
# c += aᵀ b, of `(k, m)`, `packed(b)` and `(m, n)`.
add_product = product_of(True)
