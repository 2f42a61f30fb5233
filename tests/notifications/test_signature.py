"""Signatures of messages, against the package that receivers use."""

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from anomalies.notifications import signature
from anomalies.notifications.signature import SigningSecretError


def test_receivers_verify_it_and_nothing_that_was_changed() -> None:
    secret, body = signature.new_secret(), '{"a": "ä"}'.encode()
    headers = signature.headers(secret, message_id="msg_1", at=datetime.now(UTC), body=body)
    assert Webhook(secret).verify(body, headers) == {"a": "ä"}
    for changed in ({"webhook-id": "msg_2"}, {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, {**headers, **changed})
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!", "whsec_YWJj", "whsec_" + "YWJj" * 40])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(SigningSecretError):
        signature.key_of(secret)


def test_any_text_is_a_secret_by_its_bytes_and_one_that_is_stays() -> None:
    secret = signature.new_secret()
    assert signature.spelled(secret) == secret
    assert signature.key_of(signature.spelled("a text of some thirty letters")) == b"a text of some thirty letters"
