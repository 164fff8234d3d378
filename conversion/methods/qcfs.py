"""Methods for networks that were trained to be converted, with QCFS activations (Bu et al., ICLR 2022)."""

from __future__ import annotations

from pydantic import Field

from conversion.methods.base import METHODS, Method
from conversion.simulation.trial import Trial
from conversion.stages import Stage, TrainedThresholds, Trials


@METHODS.register("qcfs")
class Qcfs(Method):
    """Networks trained with QCFS activations (Bu et al., ICLR 2022): the thresholds they learnt, one spike per step.

    Potentials start at half a threshold, and nothing is calibrated. T is free: it need not be the number of levels.
    """

    trained = True

    def stages(self) -> tuple[Stage, ...]:
        return (TrainedThresholds(),)


@METHODS.register("srp")
class Srp(Method):
    """QCFS networks whose neurons are silenced by what is left in their potential (SRP, Hao et al., AAAI 2023).

    After `tau` steps of the input itself potentials are reset, and a neuron whose potential was not above a thousandth
    of its threshold sends nothing in the T steps that follow. The paper's T leaves out the first steps; here they are
    simulated and counted, in energy and in latency, and answers come after tau + T steps. Nothing is calibrated on
    other images; the release keeps the epoch of the network that is best on the test set.
    """

    trained = True
    tau: int = Field(default=4, ge=1, description="steps before those that are read")

    @property
    def converges(self) -> bool:
        return False  # A neuron that is silenced stays so, whatever it should send.

    def steps_taken(self, T: int) -> int:
        return self.tau + T

    def stages(self) -> tuple[Stage, ...]:
        return (TrainedThresholds(), Trials(Trial(self.tau, "silence")))


@METHODS.register("cos")
class Cos(Method):
    """QCFS networks whose neurons start anew, one spike corrected (COS, Hao et al., ICLR 2023).

    Layer after layer, a neuron tries the first `rho` steps of its corrected input. If it ends below zero it starts from
    a potential with which these currents cause one spike fewer, and if at a threshold or above, one more. The paper's T
    leaves the trials out; here a layer answers rho steps later than the one before, sends the steps of a trial twice,
    and updates its neurons as often. A neuron that fired at every step of the trial is left as it is, where the release
    gives it a potential of a thousand thresholds. Nothing is calibrated on other images; the release keeps the epoch
    of the network that is best on the test set.
    """

    trained = True
    rho: int = Field(default=4, ge=1, description="steps of a trial")

    def steps_taken(self, T: int) -> int:
        return max(self.rho, T)

    def stages(self) -> tuple[Stage, ...]:
        return (TrainedThresholds(), Trials(Trial(self.rho, "shift")))
