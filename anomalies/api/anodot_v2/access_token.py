"""A token for an API key, as clients of this API expect to get one. The key itself is as good."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router
from ninja.errors import HttpError

from anomalies.api.anodot_v2.answers import ErrorAnswer
from anomalies.api.auth import ApiKeyAuth, let_in
from anomalies.api.bodies import json_answer
from anomalies.api.errors import CamelSchema, exemplified
from anomalies.models import ApiKey
from anomalies.services import api_keys

READ = ApiKeyAuth(ApiKey.Scope.READ, admit=api_keys.authenticate_token)

EXAMPLE = "gx_live_4kLkqVnG2mZrS0eXw7Yb1cTtHuJd9fPaQ5oN8iRv3Es"
TOKEN = "WzEsMTYxNDU5NTIwMF0:1vMjXk:q3Zb1n6hH0Ff2Yk9cUu7Jd5Rr4Tt8Ww6Aa1Ss3Dd5Gg"  # noqa: S105  of no key

router = Router(tags=["Access"], by_alias=True)


class RefreshToken(CamelSchema):
    refresh_token: Any = None

    model_config = exemplified({"refreshToken": EXAMPLE})


class Token(CamelSchema):
    token: str


@router.post(
    "/access-token",
    response={200: str | Token, (400, 401, 429): ErrorAnswer},
    openapi_extra={"responses": {200: {"content": {"application/json": {"example": TOKEN}}}}},
)
def make_token(request: HttpRequest, body: RefreshToken, responseformat: str = "") -> HttpResponse:
    """Return a token for an API key, good for 24 hours, unless the key ends before.

    It is a string, with `?responseformat=JSON` the `token` of an object.
    """
    sent = body.refresh_token
    key = let_in(request, sent) if isinstance(sent, str) else None
    if key is None:
        raise HttpError(401, "refreshToken is missing, or an API key that is unknown, expired or revoked.")
    token = api_keys.token_of(key, at=timezone.now())
    return json_answer({"token": token} if responseformat.upper() == "JSON" else token)
