"""Cells in continuous time, which can take the elapsed time as an input."""

from keras import ops

from layers.cell import Cell


class TimedCell(Cell):
    """A cell whose step depends on the elapsed time.

    Args:
        elapsed: Whether the last feature of the inputs is the time that has passed since the last timestep, a number
            that is not negative; otherwise it is `step_size` at every timestep.
        step_size: The time of a step where the inputs do not give it, a positive number.
    """

    def __init__(self, units, elapsed=False, step_size=1.0, **kwargs):
        super().__init__(units, **kwargs)
        self.elapsed = elapsed
        self.step_size = self.within("step_size", step_size, 0)

    def build(self, input_shape):
        if self.elapsed and input_shape[-1] < 2:
            raise ValueError(
                f"{type(self).__name__}: with `elapsed` the inputs must have at least two features, the last of them "
                f"the time. Received: {input_shape[-1]}."
            )
        super().build((*input_shape[:-1], input_shape[-1] - self.elapsed))

    def project(self, inputs):
        x = self.drive(inputs[..., : self.kernel.shape[0]])
        return ops.concatenate([x, inputs[..., -1:]], axis=-1) if self.elapsed else x

    def drive(self, inputs):
        """The projection of the inputs without the time."""
        return super().project(inputs)

    def span(self, x):
        """Splits the result of `project` into the projection and the elapsed time, a number or `(batch, 1)`."""
        return (x[:, :-1], x[:, -1:]) if self.elapsed else (x, self.step_size)

    def get_config(self):
        return {**super().get_config(), "elapsed": self.elapsed, "step_size": self.step_size}
