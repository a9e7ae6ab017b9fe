"""Our Open Inference Protocol against the descriptors of the stock client.

Both define the package `inference`, which one process cannot hold twice: the client's descriptors
come out of a process of their own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from anyres_proto.inference import grpc_service_pb2, model_config_pb2

DUMP = """
import sys
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tritonclient.grpc import model_config_pb2, service_pb2
files = FileDescriptorSet()
for module in (model_config_pb2, service_pb2):
    module.DESCRIPTOR.CopyToProto(files.file.add())
sys.stdout.buffer.write(files.SerializeToString())
"""
Facts = dict[str, tuple[object, ...]]

# The protocol's own text has this field; Triton's copy of it does not.
OURS_ALONE = {
    "ModelMetadataResponse.properties",
    "ModelMetadataResponse.PropertiesEntry",
    "ModelMetadataResponse.PropertiesEntry.key",
    "ModelMetadataResponse.PropertiesEntry.value",
}


@pytest.fixture(scope="module")
def theirs() -> Facts:
    dump = subprocess.run([sys.executable, "-c", DUMP], check=True, capture_output=True).stdout
    return dict(fact for file in FileDescriptorSet.FromString(dump).file for fact in facts(file))


@pytest.fixture(scope="module")
def ours() -> Facts:
    files = [FileDescriptorProto(), FileDescriptorProto()]
    model_config_pb2.DESCRIPTOR.CopyToProto(files[0])
    grpc_service_pb2.DESCRIPTOR.CopyToProto(files[1])
    return dict(fact for file in files for fact in facts(file))


def test_every_message_field_enum_and_call_of_triton_is_ours(ours: Facts, theirs: Facts) -> None:
    assert len(theirs) > 500
    assert {name: ours.get(name) for name in theirs} == theirs


def test_what_triton_lacks_is_only_the_properties(ours: Facts, theirs: Facts) -> None:
    assert ours.keys() - theirs.keys() == OURS_ALONE
    assert ours["ModelMetadataResponse.properties"][0] == 6


def facts(file: FileDescriptorProto) -> Iterator[tuple[str, tuple[object, ...]]]:
    """All that shows on the wire, by full name."""
    yield f"package of {file.service[0].name if file.service else 'configuration'}", (file.package,)
    for service in file.service:
        for method in service.method:
            streams = (method.client_streaming, method.server_streaming)
            yield f"{service.name}/{method.name}", (method.input_type, method.output_type, *streams)
    for enum in file.enum_type:
        yield from enum_facts(enum, "")
    for message in file.message_type:
        yield from message_facts(message, "")


def message_facts(message: DescriptorProto, scope: str) -> Iterator[tuple[str, tuple[object, ...]]]:
    name = f"{scope}{message.name}"
    yield name, (message.options.map_entry,)
    for field in message.field:
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
        kind = (field.type, field.type_name, field.label, field.options.packed)
        yield f"{name}.{field.name}", (field.number, *kind, oneof)
    for enum in message.enum_type:
        yield from enum_facts(enum, f"{name}.")
    for inner in message.nested_type:
        yield from message_facts(inner, f"{name}.")


def enum_facts(enum: EnumDescriptorProto, scope: str) -> Iterator[tuple[str, tuple[object, ...]]]:
    for value in enum.value:
        yield f"{scope}{enum.name}.{value.name}", (value.number,)
