"""Rewriting an exported graph to pure operations gives what tracing it again gives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram

from conversion.capture.purify import pure_module
from conversion.capture.roles import FIRING, SYNAPSES, packet


class Residual(nn.Module):
    """In-place activations and sums as torchvision's networks have them; nobody reads what they overwrite."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm(self.conv(x)), inplace=True)
        y = F.hardtanh(self.norm(y.mul(2)).add_(x), 0, 1, inplace=True)
        y = F.leaky_relu(F.relu(self.conv(y)), inplace=True)
        return self.linear(F.dropout(torch.flatten(y, 1), training=self.training))


class Overwriting(nn.Module):
    """Reads a tensor again after an activation has overwritten it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return F.relu(y, inplace=True) + y


class Viewing(Overwriting):
    """Overwrites a tensor through a view of it."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        F.relu(y[:, :2], inplace=True)
        return y + 1


class Branches(nn.Module):
    """Operations of transformers and shuffling networks, and dropouts that overwrite what they read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(3, 4, 1), nn.LayerNorm(2), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.norm(F.gelu(self.conv(x))).chunk(2, dim=1)
        y = torch.cat([left * torch.sigmoid(right), right.permute(0, 1, 3, 2).contiguous()], 1).reshape(-1, 2, 8)
        y = F.scaled_dot_product_attention(y, y, y) + F.max_pool1d(y, 3, 1, 1).tanh_()
        return F.dropout(self.linear(y).mul_(2), training=self.training, inplace=True)


class Widened(Overwriting):
    """Adds a double in place to a float, which stays one."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x).mul_(torch.full((2, 2), 0.3, dtype=torch.float64)))


def exported(model: nn.Module, x: Tensor) -> ExportedProgram:
    with torch.no_grad():
        return torch.export.export(model, (x,), dynamic_shapes=({0: Dim("batch", min=1)},), strict=False)


def traced_again(program: ExportedProgram) -> fx.GraphModule:
    with torch.no_grad():
        module = program.run_decompositions({}).module(check_guards=False)
    assert isinstance(module, fx.GraphModule)
    return module


def test_common_networks_are_not_traced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExportedProgram, "run_decompositions", lambda *_: pytest.fail("traced a second time"))
    for model in (Residual(), Branches()):
        pure_module(exported(model.eval(), torch.randn(2, 3, 2, 2)))


@pytest.mark.slow
def test_operations_and_names_are_those_of_a_second_trace() -> None:
    model, x = Residual().eval(), torch.randn(2, 3, 2, 2)
    program = exported(model, x)
    ours, theirs = pure_module(program), traced_again(program)

    def told(module: fx.GraphModule) -> list[object]:
        """Names of activations and synapses; the numbers of the others differ, and a flattening is called a view."""
        nodes = [node for node in module.graph.nodes if node.op == "call_function" and "sym_size" not in node.name]
        named = (*FIRING, *SYNAPSES)
        return [node.name if packet(node) in named else node.name.rstrip("_0123456789") for node in nodes]

    assert told(ours) == told(theirs)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours(x), model(x))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Residual, Overwriting, Viewing, Branches, Widened])
def test_nothing_is_overwritten_and_all_is_computed(kind: type[nn.Module]) -> None:
    model, x = kind().eval(), torch.randn(2, 3, 2, 2)
    module = pure_module(exported(model, x))
    assert not any(str(packet(node)).endswith("_") for node in module.graph.nodes)
    assert torch.equal(module(x), model(x))
    assert module(x).dtype == model(x).dtype
    again = torch.randn(5, 3, 2, 2)
    assert torch.equal(module(again), model(again))


def test_a_batch_norm_that_learns_is_traced_again() -> None:
    class Learning(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.batch_norm(x, None, None, training=True)

    x = torch.randn(4, 3, 2, 2)
    module = pure_module(exported(Learning().eval(), x))
    assert torch.ops.aten._native_batch_norm_legit_no_training not in map(packet, module.graph.nodes)
    torch.testing.assert_close(module(x), F.batch_norm(x, None, None, training=True))
