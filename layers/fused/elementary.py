"""Elementary functions that LLVM turns into vector instructions; those of 64 bits are the C library's.

The errors are those against float64 over the whole range of float32, which `tests/layers/test_fused.py` checks.
"""

import math

import numpy as np
from numba import njit

F32, F64 = np.float32, np.float64
how = njit(inline="always", error_model="numpy")


@how
def tanh_32(x):
    """Absolute error under 3e-7: a rational function, odd of degree 13 by even of 6, as in Eigen and XLA."""
    x = min(max(x, F32(-7.9)), F32(7.9)) if x == x else x
    y = x * x
    p = F32(-2.76076847742355e-16)
    p = p * y + F32(2.00018790482477e-13)
    p = p * y + F32(-8.60467152213735e-11)
    p = p * y + F32(5.12229709037114e-08)
    p = p * y + F32(1.48572235717979e-05)
    p = p * y + F32(6.37261928875436e-04)
    p = p * y + F32(4.89352455891786e-03)
    q = F32(1.19825839466702e-06)
    q = q * y + F32(1.18534705686654e-04)
    q = q * y + F32(2.26843463243900e-03)
    q = q * y + F32(4.89352518554385e-03)
    return x * p / q


@how
def exp_32(x):
    """Relative error under 2e-7: 2^n times a polynomial on half an octave; 0 under -87, infinity over 88."""
    n = np.floor(min(max(x, F32(-87)), F32(88)) * F32(1.44269504) + F32(0.5))
    r = x - n * F32(0.693359375) + n * F32(2.12194440e-4)
    p = F32(1.9875691500e-4)
    p = p * r + F32(1.3981999507e-3)
    p = p * r + F32(8.3334519073e-3)
    p = p * r + F32(4.1665795894e-2)
    p = p * r + F32(1.6666665459e-1)
    p = p * r + F32(5.0000001201e-1)
    scale = np.int32((np.int32(n) + 127) << 23).view(F32)
    found = (p * r * r + r + F32(1)) * scale
    return F32(0) if x < F32(-87) else (F32(np.inf) if x > F32(88) else found)


@how
def tanh_64(x):
    return math.tanh(x)


@how
def exp_64(x):
    return math.exp(x)


def made_of(F, tanh):
    """Functions of a precision."""

    @how
    def sigmoid(x):
        return F(0.5) * tanh(F(0.5) * x) + F(0.5)

    @how
    def softplus(x):
        return max(x, F(0)) + F(math.log1p(math.exp(-abs(x))))

    return sigmoid, softplus


sigmoid_32, softplus_32 = made_of(F32, tanh_32)
sigmoid_64, softplus_64 = made_of(F64, tanh_64)
