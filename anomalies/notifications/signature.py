"""Signatures by which a receiver knows who sent a message: Standard Webhooks, symmetric.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import datetime

PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64  # of a key


class SigningSecretError(ValueError):
    """A secret that is none; its text says why."""


def new_secret() -> str:
    """Return a fresh secret such as `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def spelled(text: str) -> str:
    """Return a text as a secret: one stays as it is, of any other text its bytes are the key."""
    return text if text.startswith(PREFIX) else PREFIX + base64.b64encode(text.encode()).decode()


def key_of(secret: str) -> bytes:
    """Return the key that the secret spells. Raises SigningSecretError."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SigningSecretError(f"it is {PREFIX} and then base64.") from error
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise SigningSecretError(f"it spells {len(key)} bytes; {LEAST_BYTES} to {MOST_BYTES} are needed.")
    return key


def headers(secret: str, *, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """Return the three headers of a message that is sent at that time; each attempt has its own time."""
    timestamp = str(int(at.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
