"""The tables of a knowledge base folder, one a config."""

from __future__ import annotations

import pyarrow as pa

CONCEPTS = pa.schema([("concept", pa.string()), ("semantic_types", pa.list_(pa.string()))])
NAMES = pa.schema(
    [
        ("concept", pa.string()),
        ("language", pa.string()),
        ("name", pa.string()),
        ("preferred", pa.bool_()),
        ("source", pa.string()),
        ("term_type", pa.string()),
        ("license", pa.string()),
    ]
)
RELATIONS = pa.schema(
    [("subject", pa.string()), ("relation", pa.string()), ("object", pa.string()), ("source", pa.string())]
)
RELATION_NAMES = pa.schema([("relation", pa.string()), ("language", pa.string()), ("name", pa.string())])
SOURCES = pa.schema(
    [
        *((name, pa.string()) for name in ("source", "license", "title", "version", "file", "sha256")),
        ("names", pa.int64()),
    ]
)
