"""Elementary functions that LLVM turns into vector instructions, with their errors.

Those of 32 bits are rational or polynomial; those of 64 bits are the C library's.
"""

import math

import numpy as np
from numba import njit

F32, F64 = np.float32, np.float64


@njit(inline="always")
def tanh_32(x):
    """tanh(x), absolute error under 2e-7: the rational function of Eigen and XLA, odd of degree 13 by even of 6."""
    x = F32(-7.9) if x < F32(-7.9) else (F32(7.9) if x > F32(7.9) else x)
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


@njit(inline="always")
def sigmoid_32(x):
    """1 / (1 + exp(-x)), absolute error under 2e-7."""
    return F32(0.5) * tanh_32(F32(0.5) * x) + F32(0.5)


@njit(inline="always")
def exp_32(x):
    return F32(math.exp(x))


@njit(inline="always")
def softplus_32(x):
    """log(1 + exp(x))"""
    return (x if x > F32(0) else F32(0)) + F32(math.log1p(math.exp(-abs(x))))


@njit(inline="always")
def tanh_64(x):
    return math.tanh(x)


@njit(inline="always")
def sigmoid_64(x):
    return F64(0.5) * math.tanh(F64(0.5) * x) + F64(0.5)


@njit(inline="always")
def exp_64(x):
    return math.exp(x)


@njit(inline="always")
def softplus_64(x):
    return (x if x > 0.0 else 0.0) + math.log1p(math.exp(-abs(x)))
