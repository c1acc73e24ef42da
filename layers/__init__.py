"""Recurrent cells as Keras layers, and the loop that runs them."""

from layers.attention import (
    AdditiveAttention,
    Attention,
    LocationAttention,
    MonotonicAttention,
    MultiplicativeAttention,
)
from layers.attention_cell import AttentionCell
from layers.bag import NaiveBayesBag
from layers.bam import BidirectionalAssociativeMemory
from layers.cell import Cell
from layers.cells.antisymmetric import AntisymmetricCell
from layers.cells.cfc import CfCCell
from layers.cells.clockwork import ClockworkCell
from layers.cells.cornn import CoRNNCell
from layers.cells.ctrnn import CTRNNCell
from layers.cells.dnc import DNCCell
from layers.cells.echo_state import EchoStateCell, Reservoir
from layers.cells.elman import ElmanCell
from layers.cells.fastgrnn import FastGRNNCell
from layers.cells.fully_recurrent import FullyRecurrentCell
from layers.cells.gru import GRUCell
from layers.cells.hierarchical import HierarchicalMultiscaleCell
from layers.cells.indrnn import IndRNNCell
from layers.cells.irnn import IRNNCell
from layers.cells.janet import JANETCell
from layers.cells.jordan import JordanCell
from layers.cells.layernorm import LayerNormGRUCell, LayerNormLSTMCell
from layers.cells.lem import LEMCell
from layers.cells.ligru import LiGRUCell
from layers.cells.lru import LRUCell
from layers.cells.lstm import LSTMCell
from layers.cells.ltc import LTCCell
from layers.cells.mgu import MGUCell
from layers.cells.minimal import MinGRUCell, MinLSTMCell
from layers.cells.mtrnn import MTRNNCell
from layers.cells.multiplicative import MultiplicativeLSTMCell
from layers.cells.mutants import MUT1Cell, MUT2Cell, MUT3Cell
from layers.cells.nas import NASCell
from layers.cells.neural_stack import NeuralDequeCell, NeuralQueueCell, NeuralStackCell
from layers.cells.ntm import NTMCell
from layers.cells.odyssey import CoupledLSTMCell, FGRCell, NFGCell, NIAFCell, NIGCell, NOAFCell, NOGCell, NPCell
from layers.cells.original_lstm import OriginalLSTMCell
from layers.cells.peephole import PeepholeLSTMCell
from layers.cells.projected import ProjectedLSTMCell
from layers.cells.qrnn import QRNNCell
from layers.cells.ran import RANCell
from layers.cells.rglru import RGLRUCell
from layers.cells.rmlp import RMLPCell
from layers.cells.scrn import SCRNCell
from layers.cells.second_order import SecondOrderCell
from layers.cells.sequential_cascaded import SequentialCascadedCell
from layers.cells.sru import SRUCell
from layers.cells.stack_cell import StackCell
from layers.cells.ugrnn import UGRNNCell
from layers.cells.xlstm import MLSTMCell, SLSTMCell
from layers.crf import CRF, CRFAccuracy, CRFLoss, Marginals, Viterbi, along
from layers.decoder import Decoder
from layers.evolution import Evolved, evolve
from layers.gradient_flow import GradientFlow, gradient_flow
from layers.hierarchical_reader import HierarchicalReader, Sentences, hierarchical
from layers.history_compressor import HistoryCompressor
from layers.hopfield import Hopfield
from layers.linear import LinearCell
from layers.memory_cell import MemoryCell
from layers.modern_hopfield import ModernHopfield
from layers.pooling import Pooling, WordDropout
from layers.profile import TermProfile
from layers.recurrent import Recurrent
from layers.recursive import RecursiveNetwork
from layers.ridge import RidgeReadout
from layers.rtrl import RealTimeLearning
from layers.scan import Scan
from layers.scores import TokenAccuracy, TokenCrossentropy
from layers.stack import Stack, stack
from layers.strands import Strands
from layers.timed import TimedCell
from layers.tree import TreeNetwork
from layers.tree_lstm import BinaryTreeLSTM, ChildSumTreeLSTM
from layers.views import RandomView
from layers.vote import Vote

# The one list of cells, by the name that flags and tables use.
CELLS = {
    "elman": ElmanCell,
    "jordan": JordanCell,
    "fully_recurrent": FullyRecurrentCell,
    "second_order": SecondOrderCell,
    "sequential_cascaded": SequentialCascadedCell,
    "rmlp": RMLPCell,
    "irnn": IRNNCell,
    "indrnn": IndRNNCell,
    "antisymmetric": AntisymmetricCell,
    "cornn": CoRNNCell,
    "lem": LEMCell,
    "ctrnn": CTRNNCell,
    "mtrnn": MTRNNCell,
    "clockwork": ClockworkCell,
    "hierarchical": HierarchicalMultiscaleCell,
    "cfc": CfCCell,
    "ltc": LTCCell,
    "echo_state": EchoStateCell,
    "original_lstm": OriginalLSTMCell,
    "lstm": LSTMCell,
    "peephole": PeepholeLSTMCell,
    "coupled": CoupledLSTMCell,
    "nig": NIGCell,
    "nfg": NFGCell,
    "nog": NOGCell,
    "niaf": NIAFCell,
    "noaf": NOAFCell,
    "np": NPCell,
    "fgr": FGRCell,
    "layernorm_lstm": LayerNormLSTMCell,
    "projected": ProjectedLSTMCell,
    "multiplicative": MultiplicativeLSTMCell,
    "nas": NASCell,
    "slstm": SLSTMCell,
    "mlstm": MLSTMCell,
    "gru": GRUCell,
    "layernorm_gru": LayerNormGRUCell,
    "mut1": MUT1Cell,
    "mut2": MUT2Cell,
    "mut3": MUT3Cell,
    "mgu": MGUCell,
    "ugrnn": UGRNNCell,
    "janet": JANETCell,
    "ligru": LiGRUCell,
    "fastgrnn": FastGRNNCell,
    "scrn": SCRNCell,
    "ran": RANCell,
    "sru": SRUCell,
    "qrnn": QRNNCell,
    "mingru": MinGRUCell,
    "minlstm": MinLSTMCell,
    "lru": LRUCell,
    "rglru": RGLRUCell,
    "stack": StackCell,
    "neural_stack": NeuralStackCell,
    "neural_queue": NeuralQueueCell,
    "neural_deque": NeuralDequeCell,
    "ntm": NTMCell,
    "dnc": DNCCell,
}

__all__ = [
    "AdditiveAttention",
    "AntisymmetricCell",
    "Attention",
    "AttentionCell",
    "BidirectionalAssociativeMemory",
    "BinaryTreeLSTM",
    "CELLS",
    "CRF",
    "CRFAccuracy",
    "CRFLoss",
    "CTRNNCell",
    "Cell",
    "CfCCell",
    "ChildSumTreeLSTM",
    "ClockworkCell",
    "CoRNNCell",
    "CoupledLSTMCell",
    "DNCCell",
    "Decoder",
    "EchoStateCell",
    "ElmanCell",
    "Evolved",
    "FGRCell",
    "FastGRNNCell",
    "FullyRecurrentCell",
    "GRUCell",
    "GradientFlow",
    "HierarchicalMultiscaleCell",
    "HierarchicalReader",
    "HistoryCompressor",
    "Hopfield",
    "IRNNCell",
    "IndRNNCell",
    "JANETCell",
    "JordanCell",
    "LEMCell",
    "LRUCell",
    "LSTMCell",
    "LTCCell",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "LiGRUCell",
    "LinearCell",
    "LocationAttention",
    "MGUCell",
    "MLSTMCell",
    "MTRNNCell",
    "MUT1Cell",
    "MUT2Cell",
    "MUT3Cell",
    "Marginals",
    "MemoryCell",
    "MinGRUCell",
    "MinLSTMCell",
    "ModernHopfield",
    "MonotonicAttention",
    "MultiplicativeAttention",
    "MultiplicativeLSTMCell",
    "NASCell",
    "NFGCell",
    "NIAFCell",
    "NIGCell",
    "NOAFCell",
    "NOGCell",
    "NPCell",
    "NTMCell",
    "NaiveBayesBag",
    "NeuralDequeCell",
    "NeuralQueueCell",
    "NeuralStackCell",
    "OriginalLSTMCell",
    "PeepholeLSTMCell",
    "Pooling",
    "ProjectedLSTMCell",
    "QRNNCell",
    "RANCell",
    "RGLRUCell",
    "RMLPCell",
    "RandomView",
    "RealTimeLearning",
    "Recurrent",
    "RecursiveNetwork",
    "Reservoir",
    "RidgeReadout",
    "SCRNCell",
    "SLSTMCell",
    "SRUCell",
    "Scan",
    "SecondOrderCell",
    "Sentences",
    "SequentialCascadedCell",
    "Stack",
    "StackCell",
    "Strands",
    "TermProfile",
    "TimedCell",
    "TokenAccuracy",
    "TokenCrossentropy",
    "TreeNetwork",
    "UGRNNCell",
    "Viterbi",
    "Vote",
    "WordDropout",
    "along",
    "evolve",
    "gradient_flow",
    "hierarchical",
    "stack",
]
