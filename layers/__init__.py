"""Recurrent cells as Keras layers, and the loop that runs them."""

from layers.bag import NaiveBayesBag
from layers.cell import Cell
from layers.cells.elman import ElmanCell
from layers.cells.gru import GRUCell
from layers.cells.lstm import LSTMCell
from layers.cells.minimal import MinGRUCell, MinLSTMCell
from layers.cells.peephole import PeepholeLSTMCell
from layers.linear import LinearCell
from layers.pooling import Pooling, WordDropout
from layers.recurrent import Recurrent
from layers.stack import Stack, stack
from layers.vote import Vote

# The one list of cells, by the name that flags and tables use.
CELLS = {
    "elman": ElmanCell,
    "lstm": LSTMCell,
    "gru": GRUCell,
    "peephole": PeepholeLSTMCell,
    "mingru": MinGRUCell,
    "minlstm": MinLSTMCell,
}

__all__ = [
    "CELLS",
    "Cell",
    "ElmanCell",
    "GRUCell",
    "LSTMCell",
    "LinearCell",
    "MinGRUCell",
    "MinLSTMCell",
    "NaiveBayesBag",
    "PeepholeLSTMCell",
    "Pooling",
    "Recurrent",
    "Stack",
    "Vote",
    "WordDropout",
    "stack",
]
