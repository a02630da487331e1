"""Payload indexes: their schema as the API writes it, and as the engine wants it."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge

from local.qdrant.answers import Body

Schema = dict[str, str | dict[str, Any]]

PLAIN = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
    "bool": edge.PayloadSchemaType.Bool,
    "datetime": edge.PayloadSchemaType.Datetime,
    "uuid": edge.PayloadSchemaType.Uuid,
    "text": edge.PayloadSchemaType.Text,
}
OPTIONS = {
    "keyword": ("type", "is_tenant", "on_disk"),
    "integer": ("type", "lookup", "range", "is_principal", "on_disk"),
    "datetime": ("type", "is_principal", "on_disk"),
    "text": ("type", "tokenizer", "min_token_len", "max_token_len", "lowercase", "on_disk"),
}
TOKENIZERS = {
    "word": edge.TokenizerType.Word,
    "whitespace": edge.TokenizerType.Whitespace,
    "prefix": edge.TokenizerType.Prefix,
    "multilingual": edge.TokenizerType.Multilingual,
}


def requested(body: Body) -> tuple[str, str | dict[str, Any]]:
    """Field name and schema of ``PUT /collections/{c}/index``.

    Raises:
        QdrantError: a type or option that the stand-in does not know.
    """
    body.only("field_name", "field_schema")
    name = str(body.need("field_name"))
    schema = body.need("field_schema")
    if isinstance(schema, dict):
        options = Body(schema, body.raw)
        options.need("type")
        kind = options.choice("type", *OPTIONS, default="")
        options.only(*OPTIONS[kind])
        return name, schema
    return name, body.choice("field_schema", *PLAIN, default="")


def engine_index(schema: str | dict[str, Any]) -> Any:
    """The engine's parameters of an index."""
    if isinstance(schema, str):
        return PLAIN[schema]
    options = {key: value for key, value in schema.items() if key != "type"}
    match schema["type"]:
        case "keyword":
            return edge.KeywordIndexParams(**options)
        case "integer":
            return edge.IntegerIndexParams(**options)
        case "datetime":
            return edge.DatetimeIndexParams(**options)
        case _:
            if "tokenizer" in options:
                options["tokenizer"] = TOKENIZERS[options["tokenizer"]]
            return edge.TextIndexParams(**options)


def shown(schema: str | dict[str, Any], points: int) -> dict[str, Any]:
    """One entry of ``payload_schema`` in a collection's info."""
    if isinstance(schema, str):
        return {"data_type": schema, "points": points}
    return {"data_type": schema["type"], "params": schema, "points": points}
