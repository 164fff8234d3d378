"""A captured network with encoders between its linear layers."""

from __future__ import annotations

from dataclasses import replace

from conversion.capture.assignment import assign_roles
from conversion.capture.copying import pack, unpack
from conversion.capture.encoders import insert_encoders_between
from conversion.capture.graph import ConversionGraph
from conversion.capture.plain import with_plain_activations


def encode_between(graph: ConversionGraph) -> ConversionGraph:
    """The same network with an encoder wherever weights read the sums of other weights, with no activation between.

    Without one such weights multiply and add at every step; neurons there send spikes, as after activations, and add an
    error as these do.

    Returns:
        A graph of nodes of its own that shares the parameters, the same in every call; the graph itself where there is
        nothing to encode.
    """
    if graph.plain is not None:
        return graph
    if graph.encoded is None:
        module, rules = unpack(pack(graph.module, graph.rules))
        encoders = insert_encoders_between(rules)
        if encoders:
            encoded = replace(graph, module=module, rules=assign_roles(module), plain=graph)
            graph.encoded = with_plain_activations(encoded, encoders)
        else:
            graph.encoded = graph
    return graph.encoded
