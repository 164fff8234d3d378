"""Conversion methods: named recipes of stages. A new method is one file here, or a package of your own."""

from conversion.methods.adaptive import AdaFireSSC, Adaptive
from conversion.methods.auto import Auto, Choice, choose
from conversion.methods.base import METHODS, Method, make_method
from conversion.methods.burst import Burst, Spiking
from conversion.methods.calibration import CalibrationAdvanced, CalibrationLight
from conversion.methods.codes import BitSerial, Dcgs, HeldTuned, HeldValue, PhaseCode, PhaseTuned, SigmaDelta
from conversion.methods.energy_aware import EnergyAware
from conversion.methods.ftbc import Ftbc
from conversion.methods.hmt import Hmt
from conversion.methods.iat import AdaFireIat, AdaFireSSCIat, CalibrationIat
from conversion.methods.ltb import Ltb
from conversion.methods.opt import Opt
from conversion.methods.parallel import Parallel
from conversion.methods.qcfs import Cos, Qcfs, Srp
from conversion.methods.reference import Ann, QuantisedAnn
from conversion.methods.robustnorm import RobustNorm
from conversion.methods.snm import Snm
from conversion.registry import import_modules

__all__ = [
    "METHODS",
    "AdaFireIat",
    "AdaFireSSC",
    "AdaFireSSCIat",
    "Adaptive",
    "Ann",
    "Auto",
    "BitSerial",
    "Burst",
    "CalibrationAdvanced",
    "CalibrationIat",
    "CalibrationLight",
    "Choice",
    "Cos",
    "Dcgs",
    "EnergyAware",
    "Ftbc",
    "HeldTuned",
    "HeldValue",
    "Hmt",
    "Ltb",
    "Method",
    "Opt",
    "Parallel",
    "PhaseCode",
    "PhaseTuned",
    "Qcfs",
    "QuantisedAnn",
    "RobustNorm",
    "SigmaDelta",
    "Snm",
    "Spiking",
    "Srp",
    "choose",
    "make_method",
]

import_modules(__name__, __path__)
