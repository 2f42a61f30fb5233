"""Check that no entry of the audit log was changed, added in between or taken out."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from anomalies.models import AuditEntry
from anomalies.services import audit


class Command(BaseCommand):
    help = "Recompute the hash chain of the audit log; says how many entries hold, or names the first that does not."

    def handle(self, *args: Any, **options: Any) -> None:
        columns = (TextColumn("Verifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        count = 0
        try:
            with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
                bar = progress.add_task("", total=AuditEntry.objects.count())
                for count, _ in enumerate(audit.verified(), start=1):
                    progress.update(bar, completed=count)
        except audit.BrokenChainError as error:
            raise CommandError(f"{error} The {count:,} before it hold.") from None
        self.stdout.write(f"{count:,} audit entries hold.")
