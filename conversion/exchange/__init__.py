"""Converted networks in the formats of others: NIR for spiking networks, ONNX for their quantised twins."""

from conversion.exchange.files import Replay, save_nir, save_onnx
from conversion.exchange.nir_export import export_nir
from conversion.exchange.nir_import import FromNIR, import_nir
from conversion.exchange.onnx_twin import Comparison, compare, export_onnx
from conversion.exchange.trace import golden_trace

__all__ = [
    "Comparison",
    "FromNIR",
    "Replay",
    "compare",
    "export_nir",
    "export_onnx",
    "golden_trace",
    "import_nir",
    "save_nir",
    "save_onnx",
]
