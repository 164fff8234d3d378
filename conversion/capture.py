"""From a PyTorch module to a ConversionGraph: `torch.export`, batch-norm folding, one role for every node."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram

from conversion.errors import InvalidInput, UnsupportedOp
from conversion.folding import fold_batch_norm
from conversion.graph import ConversionGraph, evaluate, source_line
from conversion.roles import Role, Rule, rule_of


def capture(model: nn.Module, example: Tensor) -> ConversionGraph:
    """Captures an inference-mode network with a free batch size.

    Args:
        model: the trained network; it is copied and left as it is.
        example: a batch that the network accepts, shape (N, ...); all but N is fixed from here on.

    Returns:
        The graph, in topological order, every node with its role.

    Raises:
        InvalidInput: the model is in training mode, or holds a parameter or buffer that is not finite.
        UnsupportedOp: torch.export fails, an operation has no rule, or one mixes the samples of a batch. The message
            names the operation, the source line and what to do.
    """
    if model.training:
        raise InvalidInput("The network is in training mode; call model.eval() before capture.")
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InvalidInput(f"The network's '{name}' holds values that are not finite; the checkpoint is damaged.")

    sample = example[:1]
    # A batch of one would be specialised to one.
    batch = sample.expand(2, *sample.shape[1:]).contiguous()
    # A copy, so that moving or casting the graph never changes the caller's network.
    program = _export(copy.deepcopy(model), batch)
    module = program.module(check_guards=False)
    assert isinstance(module, fx.GraphModule)
    for view in module.graph.find_nodes(op="call_function", target=torch.ops.aten.view.default):
        # A view recorded for one memory format fails on channels-last activations; a reshape never does.
        view.target = torch.ops.aten.reshape.default
    fold_batch_norm(module)
    out_spec = program.call_spec.out_spec
    assert out_spec is not None
    graph = ConversionGraph(module, _assign_roles(module), sample.detach().clone(), out_spec)
    _refuse_mixing_values(graph)
    return graph


def _export(model: nn.Module, batch: Tensor) -> ExportedProgram:
    with torch.no_grad():
        try:
            program: ExportedProgram = torch.export.export(
                model, (batch,), dynamic_shapes=({0: Dim("batch", min=1)},), strict=False
            )
        except Exception as error:  # torch.export passes on whatever the model's own code raised.
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UnsupportedOp(
                f"torch.export cannot capture the network for any batch size and inputs of shape "
                f"(N, {', '.join(map(str, batch.shape[1:]))}): {reason}"
            ) from error
        # An empty table decomposes nothing; it rewrites in-place operations to pure ones.
        pure: ExportedProgram = program.run_decompositions({})
        return pure


def _assign_roles(module: fx.GraphModule) -> dict[fx.Node, Rule]:
    rules: dict[fx.Node, Rule] = {}
    batch = None
    for node in module.graph.nodes:
        signals = sum(arg.meta["signal"] for arg in node.all_input_nodes)
        node.meta["signal"] = node.op == "placeholder" or (signals > 0 and _is_tensor(node))
        if node.op == "placeholder":
            rules[node] = Rule(Role.INPUT)
            batch = node.meta["val"].shape[0]
        elif node.op == "output":
            rules[node] = Rule(Role.OUTPUT)
        elif not node.meta["signal"]:
            # Parameters, what is computed from them alone, and batch sizes.
            rules[node] = Rule(Role.CONSTANT)
        else:
            rule = rule_of(node, signals)
            if rule is None:
                raise UnsupportedOp(
                    f"The operation {node.target} at {source_line(node)} has no rule. Add it to the table in "
                    "conversion/roles.py, in the row that says what it does in time, or replace it in the network."
                )
            _refuse_mixing(node, rule, batch)
            rules[node] = rule
    return rules


def _is_tensor(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) or (isinstance(value, (tuple, list)) and any(isinstance(v, Tensor) for v in value))


def _refuse_mixing(node: fx.Node, rule: Rule, batch: Any) -> None:
    """Samples leave a batch one by one, so no operation may read across it; neurons keep it on the first axis."""
    value = node.meta["val"]
    values = value if isinstance(value, (tuple, list)) else [value]
    for item in values:
        axes = [str(size) for size in item.shape]
        if not any(str(batch) in axis for axis in axes):
            raise UnsupportedOp(f"The operation {node.target} at {source_line(node)} mixes the samples of a batch.")
        if rule.role is Role.FIRING and axes[0] != str(batch):
            raise UnsupportedOp(
                f"The activation at {source_line(node)} does not have the batch on its first axis (shape "
                f"{tuple(axes)}); move the reshape behind the activation."
            )


@torch.no_grad()
def _refuse_mixing_values(graph: ConversionGraph) -> None:
    """Reading another sample may leave the shape as it is (a flip, x @ x.T): a sample of NaN beside one betrays it."""
    clean, poisoned = (graph.start(torch.cat([graph.example, graph.example * factor])) for factor in (1, torch.nan))
    for node in graph.body:
        clean[node], poisoned[node] = evaluate(node, clean), evaluate(node, poisoned)
        if _first_is_nan(poisoned[node]) and not _first_is_nan(clean[node]):
            raise UnsupportedOp(f"The operation {node.target} at {source_line(node)} mixes the samples of a batch.")


def _first_is_nan(value: object) -> bool:
    return isinstance(value, Tensor) and len(value) == 2 and bool(value[0].isnan().any())
