"""Secrets as the database keeps them."""

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class UnreadableSecretError(Exception):
    """A secret that was encrypted with another key."""

    def __init__(self) -> None:
        super().__init__("secret: it was encrypted with another key; enter it again.")


def encrypt(secret: str) -> str:
    """Return it encrypted, and "" for none."""
    return _fernet().encrypt(secret.encode()).decode() if secret else ""


def decrypt(encrypted: str) -> str:
    """Return it as it was entered. Raises UnreadableSecretError."""
    if not encrypted:
        return ""
    try:
        return _fernet().decrypt(encrypted.encode()).decode()
    except InvalidToken as error:
        raise UnreadableSecretError from error


def _fernet() -> Fernet:
    # A key of its own for this use: who learns one learns nothing of what else the same setting signs.
    derived = HKDF(SHA256(), length=32, salt=None, info=b"anomalies.services.encryption")
    return Fernet(base64.urlsafe_b64encode(derived.derive(settings.ANOMALIES_ENCRYPTION_KEY.encode())))
