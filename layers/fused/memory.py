"""Arrays whose memory is used again: pages that the system gives anew at each step cost a fifth of its time."""

import math
import threading
import weakref

import numpy as np

SMALL = 2**16  # bytes up to which the C library does that itself
ALIGNED = 64  # TensorFlow takes an array without a copy if its address is a multiple of this


class Memory:
    """Blocks that were used and that no array holds any more."""

    def __init__(self):
        self.free, self.lock = {}, threading.Lock()

    def empty(self, shape, dtype):
        """An array without values."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        block = self.block(size + ALIGNED) if size > SMALL else np.empty(size + ALIGNED, np.uint8)
        found = np.frombuffer(memoryview(block), np.uint8, size, -block.ctypes.data % ALIGNED)
        if size > SMALL:
            # All views keep this base alive, TensorFlow's too. It may end at any time, so nothing is locked then.
            weakref.finalize(found.base, self.free.__setitem__, id(block), block).atexit = False
        return found.view(dtype).reshape(shape)

    def block(self, size):
        """A free block that is not much too large, or a new one; then the others are given back: sizes have changed."""
        with self.lock:
            fitting = [(one.size, key) for key, one in list(self.free.items()) if size <= one.size <= 2 * size]
            if fitting:
                return self.free.pop(min(fitting)[1])
            self.free.clear()
        return np.empty(size, np.uint8)


MEMORY = Memory()
