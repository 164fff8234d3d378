"""ANN in, spiking network out: capture, convert, simulate.

"The paper" is "Adaptive Calibration: A Unified Conversion Framework of Spiking Neural Networks", arXiv:2311.14265v2;
equations and sections are cited by its numbers.
"""

from conversion.calibration.statistics import Calibration
from conversion.capture.export import capture
from conversion.capture.graph import ConversionGraph
from conversion.counting.counts import Counts
from conversion.errors import BenchmarkError, InvalidInput, UnknownName, UnsupportedOp
from conversion.methods import METHODS, Method, make_method
from conversion.methods.convert import convert
from conversion.modules.module import SpikingModule
from conversion.report.energy import energy
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.saving import load, save
from conversion.simulation.simulate import Readout, simulate

__all__ = [
    "METHODS",
    "BenchmarkError",
    "Calibration",
    "ConversionGraph",
    "Counts",
    "InvalidInput",
    "Method",
    "Readout",
    "SpikingModule",
    "SpikingNetwork",
    "UnknownName",
    "UnsupportedOp",
    "capture",
    "convert",
    "energy",
    "load",
    "make_method",
    "save",
    "simulate",
]
