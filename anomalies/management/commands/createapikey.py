"""Make an API key and show it once."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from anomalies.models import ApiKey
from anomalies.services import api_keys


class Command(BaseCommand):
    help = "Make a key with which machines call, and print it: it is shown this once and kept as a hash only."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="what the key is for")
        parser.add_argument(
            "--scope",
            action="append",
            choices=ApiKey.Scope.values,
            required=True,
            dest="scopes",
            help="what it may do; give it more than once for more",
        )

    def handle(self, *_args: Any, name: str, scopes: list[str], **_options: Any) -> None:
        try:
            _, plain = api_keys.create(name=name, scopes=scopes)
        except api_keys.ApiKeyError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(plain)
