"""What a model takes and gives, in the protocol's words.

Shapes say less than is known, so the exact sizes, and why those, go in `properties` and again in
the configuration's `parameters`. What is made of the network's outputs is named there too, and not
among the outputs: tools ask for all of those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from anyres_proto.card import Card
from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.inference import model_config_pb2 as config
from anyres_server.model import Model, OutputKind
from anyres_server.oip import datatypes
from anyres_server.oip.contract import model_input, model_output
from anyres_server.oip.request import datatypes_taken
from anyres_server.oip.shared_memory import Region
from anyres_server.reduction.views import told
from anyres_server.settings.versions import VersionPolicy

PLATFORM = "onnxruntime_onnx"


def model_metadata(model: Model, versions: Sequence[str]) -> pb.ModelMetadataResponse:
    """The answer to `ModelMetadata`; `versions` are those that can be asked."""
    card, tensor = model.card, pb.ModelMetadataResponse.TensorMetadata
    return pb.ModelMetadataResponse(
        name=model.name,
        versions=versions,
        platform=PLATFORM,
        inputs=[
            tensor(
                name=card.input.name,
                datatype=datatypes.datatype(card.input.dtype).name,
                shape=model_input(model),
            )
        ],
        outputs=[
            tensor(
                name=output.name,
                datatype=datatypes.datatype(output.dtype).name,
                shape=model_output(model, output),
            )
            for output in card.outputs
        ],
        properties=dict(properties(model)),
    )


def model_config(model: Model, usual: VersionPolicy) -> config.ModelConfig:
    """The answer to `ModelConfig`; shapes include the batch axis, so `max_batch_size` is 0.

    Args:
        model: whose.
        usual: which versions of a model are served, where its own settings do not say.
    """
    card, own = model.card, model.settings.versions
    return config.ModelConfig(
        name=model.name,
        platform=PLATFORM,
        backend="onnxruntime",
        version_policy=_policy(usual if own is None else own),
        max_batch_size=0,
        input=[
            config.ModelInput(
                name=card.input.name,
                data_type=_data_type(card.input.dtype),
                dims=model_input(model),
            )
        ],
        output=[
            config.ModelOutput(
                name=output.name,
                data_type=_data_type(output.dtype),
                dims=model_output(model, output),
            )
            for output in card.outputs
        ],
        parameters={
            name: config.ModelParameter(string_value=value) for name, value in properties(model)
        },
    )


def region_status(region: Region) -> pb.SystemSharedMemoryStatusResponse.RegionStatus:
    """One region, as `SystemSharedMemoryStatus` tells of it."""
    return pb.SystemSharedMemoryStatusResponse.RegionStatus(
        name=region.name, key=region.key, offset=region.offset, byte_size=region.byte_size
    )


def properties(model: Model) -> Iterator[tuple[str, str]]:
    """The size contract, and what goes in and comes out besides what shapes can say."""
    card = model.card
    for name, axis in (("height", card.sizes.height), ("width", card.sizes.width)):
        yield name, axis.expected()
        yield f"{name}_minimum", str(axis.minimum)
        yield f"{name}_step", str(axis.step)
        if axis.maximum is not None:
            yield f"{name}_maximum", str(axis.maximum)
        yield f"{name}_reason", axis.reason
    yield "tiling", "exact" if card.tiling.exact else _breaker(card)
    yield "task", card.task
    yield "execution", str(model.execution)
    if model.agreement is not None:
        yield "agreement", f"{model.agreement:.6f}"
    yield "input_layout", card.input.layout
    yield "input_datatypes", ",".join(datatypes_taken(card.input))
    yield "output_meaning", card.output.meaning
    yield "made_of_outputs", ",".join(kind.name.lower() for kind in OutputKind if told(card, kind))


def _policy(policy: VersionPolicy) -> config.ModelVersionPolicy:
    kind = config.ModelVersionPolicy
    match policy:
        case int():
            return kind(latest=kind.Latest(num_versions=policy))
        case tuple():
            return kind(specific=kind.Specific(versions=policy))
        case _:
            return kind(all=kind.All())


def _breaker(card: Card) -> str:
    return next(iter(card.tiling.breakers), "the card does not say how")


def _data_type(dtype: str) -> config.DataType.ValueType:
    return datatypes.in_config(datatypes.datatype(dtype).name)
