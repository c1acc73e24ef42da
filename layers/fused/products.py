"""Products of a few rows with one matrix, again and again: the matrix is copied once, in the order in which it is read.

BLAS copies a large matrix at each call. On one core with AVX2, 16 x 128 times 128 x 512 took OpenBLAS 37 microseconds
and takes `product` 27; 8 x 64 times 64 x 256 took 6.0 and takes 3.8.

Each number is summed up in the order of the columns of `a`, whatever the number of rows.
"""

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

ROWS = 4  # of a tile: with two vectors in each row, eight sums, enough to wait for none
BYTES = 128 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 64  # of a row of a tile, two vectors

how = njit(nogil=True, error_model="numpy")


@how
def packed(b):
    """A matrix `(k, n)` as panels of columns, `(panels, k, columns)`; behind the last column there are zeros."""
    k, n = b.shape
    columns = BYTES // b.itemsize
    found = np.zeros(((n + columns - 1) // columns, k, columns), b.dtype)
    for p in range(len(found)):
        for i in range(k):
            for j in range(min(columns, n - p * columns)):
                found[p, i, j] = b[i, p * columns + j]
    return found


@how
def product(a, b, c):
    """c = a b, of `(m, k)`, `packed(b)` and `(m, n)`."""
    m, columns = len(a), b.shape[2]
    beside = np.empty((ROWS, columns), c.dtype)  # the tile at the right edge may be wider than `c`
    for p in range(len(b)):
        first = p * columns
        wide = min(columns, c.shape[1] - first)
        for r in range(0, m, ROWS):
            high = min(ROWS, m - r)
            if wide == columns:
                tile(high, a, r, b[p], c, r, first)
            else:
                tile(high, a, r, b[p], beside, 0, 0)
                c[r : r + high, first:] = beside[:high, :wide]


@how
def tile(rows, a, row, panel, c, to, column):
    """`rows` rows of `a` from `row` on times a panel; written to `c` from row `to` and `column` on."""
    if rows == 4:
        tile_4(a, row, panel, c, to, column)
    elif rows == 3:
        tile_3(a, row, panel, c, to, column)
    elif rows == 2:
        tile_2(a, row, panel, c, to, column)
    else:
        tile_1(a, row, panel, c, to, column)


def tile_of(rows):
    """A tile in LLVM's own language: its sums stay in vector registers, which loops in Python cannot promise."""

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
        width = lambda array: cgutils.unpack_tuple(builder, array.shape)[1]
        number = lambda array, place: builder.gep(array.data, [place])
        vectors = lambda array, place: [
            builder.bitcast(number(array, plus(place, half * lanes)), vector.as_pointer()) for half in (0, 1)
        ]
        spread = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        nothing = ir.Constant(vector, ir.Undefined)

        sums = [
            [cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * lanes)) for _ in (0, 1)]
            for _ in range(rows)
        ]
        starts = [builder.mul(plus(row, r), width(a)) for r in range(rows)]
        with cgutils.for_range(builder, width(a)) as loop:
            both = [builder.load(x, align=size) for x in vectors(panel, builder.mul(loop.index, integer(2 * lanes)))]
            for start, row_sums in zip(starts, sums, strict=True):
                value = builder.load(number(a, builder.add(start, loop.index)))
                value = builder.shuffle_vector(
                    builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0)), nothing, spread
                )
                for x, held in zip(both, row_sums, strict=True):
                    more = builder.fmul(value, x, flags=("contract",))  # with the sum, one instruction
                    builder.store(builder.fadd(builder.load(held), more, flags=("contract",)), held)
        for r, row_sums in enumerate(sums):
            place = builder.add(builder.mul(plus(to, r), width(c)), column)
            for target, held in zip(vectors(c, place), row_sums, strict=True):
                builder.store(builder.load(held), target, align=size)
        return context.get_dummy_value()

    @intrinsic
    def tile(typing, a, row, panel, c, to, column):
        return types.void(a, row, panel, c, to, column), code

    return tile


tile_1, tile_2, tile_3, tile_4 = (tile_of(rows) for rows in (1, 2, 3, 4))
