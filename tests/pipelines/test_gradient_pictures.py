import matplotlib.image
import numpy as np

from layers import GradientFlow
from pipelines.evaluation import gradients


def test_the_picture_has_a_line_for_each_flow_in_the_colour_of_its_verdict(tmp_path):
    t = np.arange(50.0)
    shapes = {"lstm": np.ones(50), "elman": 0.5 ** t[::-1], "irnn": 1.5 ** t[::-1], "nothing": np.zeros(50)}
    measured = {name: GradientFlow({"hidden": norms[None]}) for name, norms in shapes.items()}
    gradients.flows(measured, tmp_path / "flows.png")
    picture = matplotlib.image.imread(tmp_path / "flows.png")[..., :3]
    assert (picture[..., 2] - picture[..., 0] > 0.3).sum() > 100  # blue: vanishing
    assert (picture[..., 0] - picture[..., 2] > 0.3).sum() > 100  # red: exploding
