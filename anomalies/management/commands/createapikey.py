"""Make an API key, or one that takes the place of another, and show it once."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from anomalies.models import ApiKey
from anomalies.services import api_keys

MAX_DAYS = 36_500


class Command(BaseCommand):
    help = "Make a key with which machines call, and print it: it is shown this once and kept as a hash only."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="what the key is for")
        parser.add_argument(
            "--scope",
            action="append",
            choices=ApiKey.Scope.values,
            dest="scopes",
            help="what it may do; give it more than once for more",
        )
        parser.add_argument("--expires", type=int, metavar="DAYS", help="let it expire; by default it does not")
        parser.add_argument(
            "--limit", type=int, metavar="N", help="calls a minute, 0 for no limit; by default as the settings say"
        )
        parser.add_argument(
            "--rotate",
            action="store_true",
            help="make a key that takes the place of the one of that name: the same scopes and limit, as long a life",
        )
        parser.add_argument(
            "--overlap", type=int, metavar="HOURS", help="how long the old one still lets in; by default no longer"
        )

    def handle(
        self,
        *_args: Any,
        name: str,
        scopes: list[str] | None,
        expires: int | None,
        limit: int | None,
        rotate: bool,
        overlap: int | None,
        **_options: Any,
    ) -> None:
        given = {"--scope": scopes, "--expires": expires, "--limit": limit} if rotate else {"--overlap": overlap}
        for option, value in given.items():
            if value is not None:
                raise CommandError(f"{option}: not {'with' if rotate else 'without'} --rotate.")
        try:
            plain = self._rotated(name, overlap or 0) if rotate else self._created(name, scopes, expires, limit)
        except api_keys.ApiKeyError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(plain)

    def _created(self, name: str, scopes: list[str] | None, expires: int | None, limit: int | None) -> str:
        if expires is not None and not 0 < expires <= MAX_DAYS:
            raise CommandError(f"--expires: 1 to {MAX_DAYS:,} days.")
        expires_at = timezone.now() + timedelta(days=expires) if expires else None
        return api_keys.create(name=name, scopes=scopes or [], expires_at=expires_at, requests_per_minute=limit)[1]

    def _rotated(self, name: str, overlap: int) -> str:
        key = ApiKey.objects.called(name).first()
        if key is None:
            raise CommandError(f"name: there is no key named {name}.")
        return api_keys.rotate(key, at=timezone.now(), overlap_hours=overlap)[1]
