"""Grants on their way: what an agent was authorized to, until it fetched the grant with its code."""

from django.db import models

from anomalies.models.access import Agent, Grant, Principal
from anomalies.models.public_id import new_authorization_id


class Authorization(models.Model):
    """That an agent may have a grant, which it fetches with a code. The code is kept nowhere."""

    public_id = models.CharField("authorization", max_length=40, unique=True, default=new_authorization_id)
    agent = models.ForeignKey(Agent, models.PROTECT, to_field="public_id", related_name="+")
    principal = models.ForeignKey(Principal, models.PROTECT, to_field="public_id", related_name="+")
    scopes = models.JSONField(default=list)
    life_seconds = models.PositiveIntegerField(help_text="Of the grant, from when it is fetched")
    code_challenge = models.CharField(max_length=128, blank=True, default="", help_text="SHA-256, as PKCE has it")
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200)
    expires_at = models.DateTimeField(help_text="Until when its code is good")
    grant = models.OneToOneField(Grant, models.PROTECT, null=True, blank=True, related_name="authorization")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.public_id
