"""The `/docs` page: our OpenAPI schema as plain HTML, without any asset from elsewhere.

FastAPI's own page loads its scripts from a content network, which a server without network lacks.
"""

from __future__ import annotations

import json
import shlex
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 0.9em ui-monospace, monospace; }
h2 { border-top: 1px solid #8886; padding-top: 1rem; margin-top: 2rem; }
h2 b { color: #2a7; } table { border-collapse: collapse; width: 100%; }
pre { white-space: pre-wrap; background: #8882; padding: .75rem; border-radius: .4rem; }
td, th { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; }
tr + tr { border-top: 1px solid #8883; }
"""


def render_docs(schema: dict[str, Any], address: str) -> str:
    """One page with every path of an OpenAPI schema and the fields of its request and reply.

    `address` is what the examples call, without a slash at the end.
    """
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(schema['info']['title'])}</title>",
        f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>",
        f"<h1>{escape(schema['info']['title'])}</h1>",
        f"<p>{escape(schema['info'].get('description', ''))}</p>",
        "<p>For programs: <a href=/openapi.json>/openapi.json</a></p>",
    ]
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            parts.append(_render_operation(schema, address, path, method, operation))
    return "\n".join(parts)


def _render_operation(
    schema: dict[str, Any], address: str, path: str, method: str, operation: dict[str, Any]
) -> str:
    body = operation.get("requestBody", {}).get("content", {})
    reply = operation["responses"].get("200", {}).get("content", {})
    return "\n".join(
        [
            f"<h2><b>{method.upper()}</b> <code>{escape(path)}</code></h2>",
            f"<p>{escape(operation.get('description', ''))}</p>",
            _render_fields(schema, "Request", body),
            _render_example(schema, address + path, body),
            _render_fields(schema, "Reply", reply),
        ]
    )


def _render_example(schema: dict[str, Any], address: str, content: dict[str, Any]) -> str:
    """A command to paste into a shell, if the request type has an example."""
    bodies = [model["examples"][0] for model in _models(schema, content) if model.get("examples")]
    commands = (
        f"curl -H 'Content-Type: application/json' {address} -d {shlex.quote(json.dumps(body))}"
        for body in bodies
    )
    return "\n".join(f"<pre>{escape(command)}</pre>" for command in commands)


def _render_fields(schema: dict[str, Any], title: str, content: dict[str, Any]) -> str:
    models = [model for model in _models(schema, content) if model.get("properties")]
    return "\n".join(_render_table(title, model, len(models) > 1) for model in models)


def _render_table(title: str, model: dict[str, Any], is_one_of_several: bool) -> str:
    required: list[str] = model.get("required", []) if title == "Request" else []
    if is_one_of_several:
        title = f"{title}: {model.get('title', '')}"
    rows = [
        f"<tr><td><code>{escape(name)}</code>{' *' if name in required else ''}"
        f"<td>{escape(_type_name(field))}<td>{escape(_default(field))}"
        f"<td>{escape(field.get('description', ''))}"
        for name, field in model["properties"].items()
    ]
    head = f"<h3>{escape(title)}</h3><table><tr><th>field<th>type<th>default<th>meaning"
    return "\n".join([head, *rows, "</table>"])


def _models(schema: dict[str, Any], content: dict[str, Any]) -> list[dict[str, Any]]:
    """The types that a body may have: one, but where a path is shared by several protocols."""
    body = content.get("application/json", {}).get("schema", {})
    return [_resolve(schema, each) for each in body.get("oneOf") or body.get("anyOf") or [body]]


def _resolve(schema: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    name = reference.get("$ref", "").rpartition("/")[2]
    return schema["components"]["schemas"][name] if name else reference


def _default(field: dict[str, Any]) -> str:
    return repr(field["default"]) if field.get("default") is not None else ""


def _type_name(field: dict[str, Any]) -> str:
    """`string`, `array of integer`, `string or null`, or the name of a type."""
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2]
    if "enum" in field:
        return " | ".join(str(value) for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(_type_name(option) for option in field["anyOf"])
    if field.get("type") == "array":
        return f"array of {_type_name(field.get('items', {}))}"
    return str(field.get("type", field.get("const", "any")))
