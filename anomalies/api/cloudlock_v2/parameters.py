"""The parameters of the list: each of them, alone and together, a condition in SQL."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Schema
from pydantic import BeforeValidator, Field, WithJsonSchema

from anomalies.api.cloudlock_v2.answers import FieldError
from anomalies.api.cloudlock_v2.threat import ACTIVE, DISMISSED, IS_DISMISSED, SCALARS, Page, Where

DEFAULT_LIMIT, MOST = 50, 100_000
MOST_DAYS = 36_500  # a hundred years
SHOWN = 60  # characters of what was sent that an error repeats

_NUMBER = re.compile(r"[0-9]{1,18}")
# A plus that was not encoded arrives as a space: what is sent back as it was emitted is understood.
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9:]{5,8}(?:\.[0-9]{1,6})?)(Z|[-+ ][0-9]{2}:?[0-9]{2})?)?")
_TIMES = "2020-09-19T03:16:50.016438+00:00, 2020-09-19 03:16:50.016438 (in UTC) or 2020-09-19"


def _number(text: Any) -> Any:
    if isinstance(text, str) and not _NUMBER.fullmatch(text):
        raise ValueError(f"{text[:SHOWN]!r} is no whole number")
    return text


def _time(text: Any) -> Any:
    """Return the time that a text names, exact to the microsecond."""
    if not isinstance(text, str):
        return text
    if match := _TIME.fullmatch(text):
        day, clock, offset = match.groups()
        zone = (offset or "Z").replace(" ", "+")
        try:
            return datetime.fromisoformat(f"{day}T{clock or '00:00'}{zone}").astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"{text[:SHOWN]!r} is no time such as {_TIMES}")


def _since(text: Any) -> Any:
    """Return the start of the last days, or the time that a text names."""
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        return _time(text)
    if not 1 <= int(text) <= MOST_DAYS:
        raise ValueError(f"{text} is no number of days from 1 to {MOST_DAYS:,}")
    return timezone.now() - timedelta(days=int(text))


def _status(text: Any) -> Any:
    if isinstance(text, str) and text.isascii() and text.upper() in (ACTIVE, DISMISSED):
        return text.upper()
    raise ValueError(f"{str(text)[:SHOWN]!r} is neither {ACTIVE} nor {DISMISSED}")


def _order(text: Any) -> Any:
    if isinstance(text, str) and text.removeprefix("-") in SCALARS:
        return text
    raise ValueError(f"{str(text)[:SHOWN]!r} is none of {', '.join(SCALARS)}, with - before it for descending")


Number = Annotated[int, BeforeValidator(_number)]
Status = Annotated[str, BeforeValidator(_status), WithJsonSchema({"type": "string", "enum": [ACTIVE, DISMISSED]})]


def _times(*examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": list(examples)})


Time = Annotated[datetime, BeforeValidator(_time), _times("2020-09-19T03:16:50.016438+00:00", "2020-09-19")]


class Parameters(Schema):
    limit: Annotated[Number, Field(ge=1, le=MOST)] | None = Field(
        None, description="At most so many; without it 50 as JSON, and all as CSV"
    )
    offset: Annotated[Number, Field(ge=0)] = Field(0, description="So many at the beginning are left out")
    start_time: Annotated[datetime, BeforeValidator(_since), _times("30", "2020-09-19")] | None = Field(
        None, description="Those that began in the last so many days, or at that time or later"
    )
    status: Status | None = Field(None, description="In upper or lower case")
    created_before: Time | None = Field(None, description="Exclusive")
    created_after: Time | None = Field(None, description="Inclusive: go on with `offset` where several share a time")
    order: Annotated[
        str, BeforeValidator(_order), WithJsonSchema({"type": "string", "examples": ["created_at", "-start_time"]})
    ] = Field("-created_at", description="A field that is no list, descending after `-`; the same in it: by id")

    def where(self) -> Where:
        """Return the filters as SQL."""
        dismissed = IS_DISMISSED if self.status == DISMISSED else f"NOT {IS_DISMISSED}"
        bounds = {
            "a.started_at >= %s": self.start_time,
            "a.created_at >= %s": self.created_after,
            "a.created_at < %s": self.created_before,
        }
        asked = {sql: value for sql, value in bounds.items() if value is not None}
        return Where(" AND ".join([dismissed if self.status else "true", *asked]), [*asked.values()])

    def page(self, limit: int | None) -> Page:
        """Those that pass the filters, in order, from the offset on."""
        return Page(self.where(), self.order, self.offset, limit)


def check_names(request: HttpRequest) -> None:
    """Raises FieldError for a parameter that there is not, or that is there twice: no filter is ever dropped."""
    for name, values in request.GET.lists():
        if name not in Parameters.model_fields:
            raise FieldError(name[:SHOWN], f"there is no such parameter, only {', '.join(Parameters.model_fields)}")
        if len(values) > 1:
            raise FieldError(name, f"it is there {len(values):,} times")
