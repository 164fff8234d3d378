"""Capture of a PyTorch module as a ConversionGraph: `torch.export`, batch-norm folding, one role for every node.

Nodes that are inserted into the graph compute nothing: encoders are the identity, and views around an activation put
the batch on its first axis and leave it one axis of channels, as neurons expect them.
"""

from __future__ import annotations

import copy
import io
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, ShapesCollection

from conversion.capture.assignment import assign_roles
from conversion.capture.effects import changing_answer, fill_unwritten, no_numbers_drawn, require_initialised
from conversion.capture.encoders import insert_encoders, insert_output_encoders
from conversion.capture.folding import fold_batch_norm
from conversion.capture.graph import ConversionGraph
from conversion.capture.inputs import example_tensor, unwrapped
from conversion.capture.normal_form import normalise, unify_precision, working_dtype
from conversion.capture.plain import with_plain_activations
from conversion.capture.purify import pure_module
from conversion.capture.qcfs import QCFS
from conversion.capture.roles import packet
from conversion.errors import BenchmarkError, InvalidInput, UnsupportedOp


def capture(model: nn.Module | str | os.PathLike[str], example: Tensor | None = None) -> ConversionGraph:
    """Captures an inference-mode network with a free batch size.

    Args:
        model: the trained network; it is copied and left as it is. Wrappers (DataParallel, torch.compile) are taken
            off. Or the path of an ONNX file (docs/any_network.md).
        example: a batch that the network accepts, shape (N, ...), a tensor or a numpy array; all but N is fixed from
            here on. Whole numbers, as of images that the network scales itself, are taken as floating-point numbers.
            Of an ONNX file that says all sizes but N it may be left out.

    Returns:
        The graph, in topological order, every node with its role. It computes in one precision, the widest of the
        network's parameters.

    Raises:
        InvalidInput: the model is no network, in training mode, or holds a value that is not finite (buffers may hold
            -inf, as masks do), or a QCFS activation whose threshold is not one positive number; the example is no batch
            of one input.
        UnsupportedOp: torch.export fails, an operation has no rule, or one mixes the samples of a batch. The message
            names the operation, the source line and what to do.
    """
    if isinstance(model, str | os.PathLike):
        return _capture_file(Path(model), example)
    return _capture(unwrapped(model), example_tensor(example))


def _capture_file(path: Path, example: Any) -> ConversionGraph:
    """Captures the network in an ONNX file; an error names the file."""
    if path.suffix != ".onnx":
        raise InvalidInput(
            f"{path} is no ONNX file by its name; pass a network, or the path of a file that ends in .onnx."
        )
    # Its rules are loaded where they are needed.
    from conversion.capture.onnx.network import read_onnx
    from conversion.capture.onnx.rules import FAILURES

    try:
        network = read_onnx(path)
        given = network.sample() if example is None else example_tensor(example)
        network.check(given)
        return _capture(network, given)
    except (InvalidInput, UnsupportedOp) as error:
        said = " ".join(str(error).split())  # Names of nodes and values are anyone's.
        raise type(error)(said if str(path) in said else f"{path}: {said}") from error
    except FAILURES as error:  # The file is anyone's: sizes and types that do not go together.
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UnsupportedOp(f"The network in {path} cannot be computed: {said}") from error


def _capture(model: nn.Module, example: Tensor) -> ConversionGraph:
    if model.training:
        raise InvalidInput("The network is in training mode; call model.eval() before capture.")
    _check_finite(model)

    sample = example[:1]
    # A batch of one would be specialised to one.
    batch = sample.expand(2, *sample.shape[1:]).contiguous()
    # A copy, so that moving or casting the graph never changes the caller's network.
    model = copy.deepcopy(model)
    program = _export(model, batch)
    module = pure_module(program)
    normalise(module)
    fold_batch_norm(module)
    # Before casts are dropped, since those to whole numbers are refused.
    assign_roles(module)
    # Whose parameters the module shares: it is called before these are cast.
    varies = changing_answer(model, batch)
    dtype = working_dtype(module, sample)
    unify_precision(module, dtype)
    require_initialised(module, batch.to(dtype))  # The more telling of two reasons.
    if varies is not None:
        raise UnsupportedOp(varies)
    fill_unwritten(module)
    insert_encoders(module, assign_roles(module))
    insert_output_encoders(module, assign_roles(module))
    out_spec = program.call_spec.out_spec
    assert out_spec is not None
    graph = ConversionGraph(module, assign_roles(module), sample.to(dtype).clone(), out_spec)
    _check_trained_thresholds(graph)
    return with_plain_activations(graph, (*graph.firing, *graph.output_encoders))


def _check_finite(model: nn.Module) -> None:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point():
            # Masks of attention are buffers of -inf.
            masked = not isinstance(tensor, nn.Parameter)
            if not bool((torch.isfinite(tensor) | (tensor.isneginf() if masked else False)).all()):
                raise InvalidInput(
                    f"The network's '{name}' holds values that are not finite; the checkpoint is damaged."
                )


def _export(model: nn.Module, batch: Tensor) -> ExportedProgram:
    shapes = ShapesCollection()
    shapes[batch] = {0: Dim("batch", min=1)}
    try:
        with torch.no_grad(), no_numbers_drawn(), _no_graph_on_stderr():
            # However the forward function names its input, as one argument or as one of any number.
            return torch.export.export(
                model, (batch,), dynamic_shapes=shapes.dynamic_shapes(model, (batch,)), strict=False
            )
    except BenchmarkError:
        raise
    except Exception as error:  # torch.export passes on whatever the model's own code raised.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        own = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
        if own and batch.dtype not in own and re.search("same|dtype|scalar type", str(error)):
            names = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in own))
            given = str(batch.dtype).removeprefix("torch.")
            raise InvalidInput(
                f"The example input is of type {given}, the network's parameters of {names}, and the network does not "
                f"cast its input; pass an example of {names}."
            ) from error
        if type(error).__name__ == "GuardOnDataDependentSymNode":  # Its module takes a moment to load.
            lines = re.findall(r"# File: (.+?), code: (.+)", str(getattr(error, "partial_fx_graph", "")))
            where = ": ".join(lines[-1]) if lines else "a line that torch.export did not record"
            raise UnsupportedOp(
                f"The network takes a branch, or makes a size, by the values of its input, at {where}; a captured "
                "network does the same with every sample. Capture the part that does so, without what is before or "
                "after it."
            ) from error
        raise UnsupportedOp(
            f"torch.export cannot capture the network for any batch size and inputs of shape "
            f"(N, {', '.join(map(str, batch.shape[1:]))}): {reason}"
        ) from error


@contextmanager
def _no_graph_on_stderr() -> Iterator[None]:
    """Keeps the graph that torch.export prints when it fails; all else that is written arrives afterwards."""
    said = io.StringIO()
    guards = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    before, guards.disabled = guards.disabled, True
    graph = ""
    try:
        with redirect_stderr(said):
            yield
    except Exception as error:
        graph = f"{getattr(error, 'partial_fx_graph', '')}\n"
        raise
    finally:
        guards.disabled = before
        sys.stderr.write(said.getvalue().replace(graph, "") if graph.strip() else said.getvalue())


def _check_trained_thresholds(graph: ConversionGraph) -> None:
    for node in graph.firing:
        if packet(node) is not QCFS:
            continue
        levels: Any = node.args[2]
        if levels < 1:
            raise InvalidInput(f"A QCFS activation has {levels} levels; neurons need at least 1.")
        source: Any = node.args[1]
        threshold = graph.constant(source)
        if threshold.numel() != 1 or not bool((threshold > 0).all()):
            value = f"{float(threshold):.4g}" if threshold.numel() == 1 else f"{threshold.numel()} numbers"
            raise InvalidInput(
                f"The threshold of a QCFS activation, '{source.target}', is {value}; neurons need one positive number "
                "for a layer. Where training has driven it below zero, train again with a smaller learning rate."
            )
