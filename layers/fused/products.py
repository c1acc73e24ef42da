"""Products of a few rows with a recurrent matrix, for which a library's kernels are made for larger ones.

Eight rows times 64 x 256 took BLAS (OpenBLAS on AVX2) 17 microseconds and takes `product` 7. On AVX-512, where OpenBLAS
has kernels for small matrices, BLAS took 2.7. Sums have a fixed order.
"""

import llvmlite.binding
import numpy as np
from numba import njit

# Up to these rows of `a` and numbers in `b` there is no call of BLAS.
ROWS, SIZE = 0 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 16, 2**16

how = njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})


@how
def product(a, b, c):
    """c = a b. Two rows and four columns of `a` at a time: a row of `b` is read once for both, and `c` less often."""
    m, k = a.shape
    if m > ROWS or b.size > SIZE:
        np.dot(a, b, c)
        return
    c[:] = 0
    for r in range(0, m - 1, 2):
        a0, a1, c0, c1 = a[r], a[r + 1], c[r], c[r + 1]
        for i in range(0, k - 3, 4):
            b0, b1, b2, b3 = b[i], b[i + 1], b[i + 2], b[i + 3]
            p0, p1, p2, p3 = a0[i], a0[i + 1], a0[i + 2], a0[i + 3]
            q0, q1, q2, q3 = a1[i], a1[i + 1], a1[i + 2], a1[i + 3]
            for j in range(b.shape[1]):
                c0[j] += p0 * b0[j] + p1 * b1[j] + p2 * b2[j] + p3 * b3[j]
                c1[j] += q0 * b0[j] + q1 * b1[j] + q2 * b2[j] + q3 * b3[j]
    for r in range(m):
        for i in range(0 if r == m - 1 and m % 2 else k - k % 4, k):
            for j in range(b.shape[1]):
                c[r, j] += a[r, i] * b[i, j]


@how
def product_transposed(a, b, c):
    """c = a b^T. Four rows of `a` and two of `b` at a time: eight sums at once."""
    m, k = a.shape
    n = b.shape[0]
    if b.size > 4 * SIZE:
        np.dot(a, b.T, c)
        return
    for r in range(0, m - 3, 4):
        a0, a1, a2, a3 = a[r], a[r + 1], a[r + 2], a[r + 3]
        for j in range(0, n - 1, 2):
            b0, b1 = b[j], b[j + 1]
            s00 = s01 = s10 = s11 = s20 = s21 = s30 = s31 = a.dtype.type(0)
            for i in range(k):
                s00 += a0[i] * b0[i]
                s01 += a0[i] * b1[i]
                s10 += a1[i] * b0[i]
                s11 += a1[i] * b1[i]
                s20 += a2[i] * b0[i]
                s21 += a2[i] * b1[i]
                s30 += a3[i] * b0[i]
                s31 += a3[i] * b1[i]
            c[r, j], c[r, j + 1] = s00, s01
            c[r + 1, j], c[r + 1, j + 1] = s10, s11
            c[r + 2, j], c[r + 2, j + 1] = s20, s21
            c[r + 3, j], c[r + 3, j + 1] = s30, s31
    for r in range(m):
        for j in range(0 if r >= m - m % 4 else n - n % 2, n):
            s = a.dtype.type(0)
            for i in range(k):
                s += a[r, i] * b[j, i]
            c[r, j] = s
