"""The protobuf messages in which a Functions host and Microsoft's Python worker library speak.

The library imports no message classes: it uses whatever object comes with a request as ``protos``. These are
real protobuf messages, made from the table below when this module is imported, so that a value of a wrong
type fails as it does under the real host. The table has what the library touches (named after Microsoft's
FunctionRpc.proto); field numbers are arbitrary, because nothing of it ever goes over a wire.
"""

from __future__ import annotations

from types import SimpleNamespace

import google.protobuf.duration_pb2 as _duration  # type: ignore[import-untyped]  # ships no types
import google.protobuf.timestamp_pb2 as _timestamp  # type: ignore[import-untyped]
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "local_functions_host"
_WELL_KNOWN = {
    "Duration": f".{_duration.DESCRIPTOR.package}.Duration",
    "Timestamp": f".{_timestamp.DESCRIPTOR.package}.Timestamp",
}
_SCALARS = {"string", "bytes", "bool", "int32", "sint64", "double"}

_ENUMS: dict[str, dict[str, list[str]]] = {
    "StatusResult": {"Status": ["Failure", "Success", "Cancelled"]},
    "BindingInfo": {
        "Direction": ["in", "out", "inout"],
        "DataType": ["undefined", "string", "binary", "stream"],
    },
    "RpcRetryOptions": {"RetryStrategy": ["exponential_backoff", "fixed_delay"]},
    "RpcHttpCookie": {"SameSite": ["None", "Lax", "Strict", "ExplicitNone"]},
}

_ONE_OFS = {
    "TypedData": "data",
    "ParameterBinding": "rpc_data",
    "NullableString": "string",
    "NullableBool": "bool",
    "NullableDouble": "double",
    "NullableTimestamp": "timestamp",
}

# A type alone is one value; "[] T" many, "{} T" a map from text, "| T" a choice of the message's one-of.
_MESSAGES: dict[str, dict[str, str]] = {
    "RpcException": {"source": "string", "stack_trace": "string", "message": "string"},
    "StatusResult": {"status": "StatusResult.Status", "result": "string", "exception": "RpcException"},
    "WorkerMetadata": {
        "runtime_name": "string",
        "runtime_version": "string",
        "worker_version": "string",
        "worker_bitness": "string",
        "custom_properties": "{} string",
    },
    "WorkerInitResponse": {
        "capabilities": "{} string",
        "result": "StatusResult",
        "worker_metadata": "WorkerMetadata",
    },
    "BindingInfo": {
        "type": "string",
        "direction": "BindingInfo.Direction",
        "data_type": "BindingInfo.DataType",
    },
    "RpcRetryOptions": {
        "max_retry_count": "int32",
        "retry_strategy": "RpcRetryOptions.RetryStrategy",
        "delay_interval": "Duration",
        "minimum_interval": "Duration",
        "maximum_interval": "Duration",
    },
    "RpcFunctionMetadata": {
        "name": "string",
        "directory": "string",
        "script_file": "string",
        "entry_point": "string",
        "bindings": "{} BindingInfo",
        "is_proxy": "bool",
        "language": "string",
        "raw_bindings": "[] string",
        "function_id": "string",
        "managed_dependency_enabled": "bool",
        "retry_options": "RpcRetryOptions",
        "properties": "{} string",
    },
    "FunctionMetadataResponse": {
        "function_metadata_results": "[] RpcFunctionMetadata",
        "result": "StatusResult",
        "use_default_metadata_indexing": "bool",
    },
    "FunctionLoadResponse": {"function_id": "string", "result": "StatusResult"},
    "NullableString": {"value": "| string"},
    "NullableBool": {"value": "| bool"},
    "NullableDouble": {"value": "| double"},
    "NullableTimestamp": {"value": "| Timestamp"},
    "RpcHttpCookie": {
        "name": "string",
        "value": "string",
        "domain": "NullableString",
        "path": "NullableString",
        "expires": "NullableTimestamp",
        "secure": "NullableBool",
        "http_only": "NullableBool",
        "same_site": "RpcHttpCookie.SameSite",
        "max_age": "NullableDouble",
    },
    "RpcHttp": {
        "method": "string",
        "url": "string",
        "headers": "{} string",
        "body": "TypedData",
        "params": "{} string",
        "status_code": "string",
        "query": "{} string",
        "enable_content_negotiation": "bool",
        "cookies": "[] RpcHttpCookie",
    },
    "TypedData": {
        "string": "| string",
        "json": "| string",
        "bytes": "| bytes",
        "http": "| RpcHttp",
        "int": "| sint64",
        "double": "| double",
    },
    "ParameterBinding": {"name": "string", "data": "| TypedData"},
    "InvocationResponse": {
        "invocation_id": "string",
        "output_data": "[] ParameterBinding",
        "return_value": "TypedData",
        "result": "StatusResult",
    },
}


def _typed(field: descriptor_pb2.FieldDescriptorProto, name: str) -> None:
    if name in _SCALARS:
        field.type = descriptor_pb2.FieldDescriptorProto.Type.Value(f"TYPE_{name.upper()}")
        return
    is_enum = "." in name
    field.type = descriptor_pb2.FieldDescriptorProto.TYPE_ENUM if is_enum else field.TYPE_MESSAGE
    field.type_name = _WELL_KNOWN.get(name, f".{_PACKAGE}.{name}")


def _add_field(message: descriptor_pb2.DescriptorProto, name: str, number: int, spec: str) -> None:
    kind, _, type_name = spec.rpartition(" ")
    field = message.field.add(
        name=name, number=number, label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    )
    if kind == "|":
        field.oneof_index = 0
    elif kind:
        field.label = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
    if kind != "{}":
        _typed(field, type_name)
        return
    entry = message.nested_type.add(name="".join(part.capitalize() for part in name.split("_")) + "Entry")
    entry.options.map_entry = True
    for place, (part, part_type) in enumerate([("key", "string"), ("value", type_name)], 1):
        part_field = entry.field.add(name=part, number=place, label=field.LABEL_OPTIONAL)
        _typed(part_field, part_type)
    field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{message.name}.{entry.name}"


def _build() -> SimpleNamespace:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{_PACKAGE}.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[_duration.DESCRIPTOR.name, _timestamp.DESCRIPTOR.name],
    )
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for enum_name, values in _ENUMS.get(message_name, {}).items():
            enum = message.enum_type.add(name=enum_name)
            for number, value in enumerate(values):
                enum.value.add(name=value, number=number)
        if message_name in _ONE_OFS:
            message.oneof_decl.add(name=_ONE_OFS[message_name])
        for number, (field_name, spec) in enumerate(fields.items(), 1):
            _add_field(message, field_name, number, spec)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    found = {name: pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in _MESSAGES}
    return SimpleNamespace(**{name: message_factory.GetMessageClass(kind) for name, kind in found.items()})


protos = _build()
"""The message classes as attributes, the way the worker library expects them."""
