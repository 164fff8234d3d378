"""Neural codes: what the spikes of a neuron mean to the neurons that receive them (docs/codes.md).

In the rate code a spike is a part of a mean over time; its neuron is that of `conversion.simulation.neuron`. The codes
of this package spell a value that receivers hold: every spike changes it by an amplitude that the code gives it.
"""

from conversion.codes.base import CODES, RATE, Code, Sent, WindowCode
from conversion.codes.digits import Binary, SignedDigits
from conversion.codes.held import Held
from conversion.codes.one_hot import Differential, OneHot
from conversion.codes.phase import Phase
from conversion.codes.unary import Unary

__all__ = [
    "CODES",
    "RATE",
    "Binary",
    "Code",
    "Differential",
    "Held",
    "OneHot",
    "Phase",
    "Sent",
    "SignedDigits",
    "Unary",
    "WindowCode",
]
