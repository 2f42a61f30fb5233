"""An API that documents itself in full: what each call may be answered with, and an example of it."""

from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from django.contrib.auth.decorators import login_required
from ninja import NinjaAPI, Schema
from ninja.openapi.docs import Swagger
from ninja.openapi.schema import REF_TEMPLATE, OpenAPISchema

from anomalies.api.bodies import StrictParser
from anomalies.api.errors import REQUEST_ID, Error

_GUARDED = {
    401: "The key is missing, unknown, expired or revoked",
    403: "The key lacks the scope",
    429: "The key made all its calls of this minute",
}
_ASKED = {400: "A parameter or the body makes no sense"}
_SENT = {**_ASKED, 413: "The body is too large"}
_HEADERS = {
    REQUEST_ID: {
        "description": "By which the log knows this answer",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
    }
}
_ALLOWANCE = {
    name: {"description": meaning, "schema": {"type": "integer"}}
    for name, meaning in {
        "X-RateLimit-Limit": "How many calls a minute the key may make",
        "X-RateLimit-Remaining": "How many of them are left",
        "X-RateLimit-Reset": "Seconds until the next minute begins",
    }.items()
}


class DocumentedAPI(NinjaAPI):
    """An API whose reference is for people who are logged in, and made of files of our own.

    Its document says of each call what its route need not say itself: the errors of keys and bodies, in the form of
    `error`, and the request id. `examples` are of parameters of paths, by name; the examples of bodies and answers are
    put together from those of their schemas.
    """

    def __init__(self, *, error: type[Schema] = Error, examples: Mapping[str, Any] | None = None, **known: Any) -> None:
        swagger = Swagger(settings={"validatorUrl": "none"})  # it would ask another host about our schema
        super().__init__(**{"parser": StrictParser(), "docs": swagger, "docs_decorator": login_required, **known})
        self.error, self.examples = error, examples or {}

    def get_openapi_schema(self, **known: Any) -> OpenAPISchema:
        document = super().get_openapi_schema(**known)
        shape = self.error.model_json_schema(ref_template=REF_TEMPLATE)
        document["components"]["schemas"] |= {**shape.pop("$defs", {}), self.error.__name__: shape}
        for calls in document["paths"].values():
            # Ninja tells of several methods of one function by one object, with one id.
            sharing = Counter(call["operationId"] for call in calls.values())
            for method, call in calls.items():
                calls[method] = self._in_full(deepcopy(call), document["components"]["schemas"])
                if sharing[call["operationId"]] > 1:
                    calls[method]["operationId"] += f"_{method}"
        return document

    def _in_full(self, call: dict[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
        for parameter in call["parameters"]:
            parameter.pop("examples", None)  # ninja repeats the list of the schema where a map belongs
            if parameter["in"] == "path" and parameter["name"] in self.examples:
                parameter["example"] = self.examples[parameter["name"]]
        shape = {"$ref": REF_TEMPLATE.format(model=self.error.__name__)}
        guarded = "security" in call
        asked = any(parameter["in"] == "query" for parameter in call["parameters"])
        errors = {
            **(_GUARDED if guarded else {}),
            **(_ASKED if asked else {}),
            **(_SENT if "requestBody" in call else {}),
        }
        for status, meaning in errors.items():
            error = {"description": meaning, "content": {"application/json": {"schema": shape}}}
            call["responses"].setdefault(status, error)
        for answer in call["responses"].values():
            answer["headers"] = _HEADERS | (_ALLOWANCE if guarded else {}) | answer.get("headers", {})
        for part in (*call["responses"].values(), call.get("requestBody", {})):
            for media in part.get("content", {}).values():
                found = _examples(media["schema"], schemas)
                if found and not media.keys() & {"example", "examples"}:
                    media["example"] = found[0]
        return call


def _examples(schema: Mapping[str, Any], named: Mapping[str, Any]) -> list[Any]:
    """The examples of a schema, or one that is made of those of its parts; none where a part has none."""
    if "examples" in schema:
        return list(schema["examples"])
    if "$ref" in schema:
        return _examples(named[schema["$ref"].rpartition("/")[2]], named)
    if "anyOf" in schema:
        return [example for choice in schema["anyOf"] for example in _examples(choice, named)]
    if schema.get("type") == "array":
        return [[example] for example in _examples(schema["items"], named)[:1]]
    parts = {name: _examples(part, named) for name, part in schema.get("properties", {}).items()}
    return [{name: found[0] for name, found in parts.items()}] if parts and all(parts.values()) else []
