"""What OCSF 1.5.0 says of the parts of a Detection Finding that are used here, copied by hand."""

from typing import Any

# Of the schema: attribute, type, and whether it is required there. The class first, then the objects in it.
TEXT, NUMBER, TIME, FLAG = str, int, int, bool
SCHEMA: dict[str, dict[str, tuple[type, bool]]] = {
    "": {
        "activity_id": (NUMBER, True), "activity_name": (TEXT, False), "category_uid": (NUMBER, True),
        "category_name": (TEXT, False), "class_uid": (NUMBER, True), "class_name": (TEXT, False),
        "type_uid": (NUMBER, True), "type_name": (TEXT, False), "time": (TIME, True), "start_time": (TIME, False),
        "end_time": (TIME, False), "severity_id": (NUMBER, True), "severity": (TEXT, False),
        "status_id": (NUMBER, False), "status": (TEXT, False), "status_detail": (TEXT, False),
        "verdict_id": (NUMBER, False), "verdict": (TEXT, False), "comment": (TEXT, False),
        "confidence_score": (NUMBER, False), "is_alert": (FLAG, False), "message": (TEXT, False),
        "assignee": (dict, False), "finding_info": (dict, True), "metadata": (dict, True),
        "evidences": (list, False), "resources": (list, False),
    },
    "metadata": {
        "version": (TEXT, True), "product": (dict, True), "profiles": (list, False), "uid": (TEXT, False),
    },
    "product": {"name": (TEXT, False), "vendor_name": (TEXT, False)},
    "finding_info": {
        "uid": (TEXT, True), "title": (TEXT, False), "desc": (TEXT, False), "types": (list, False),
        "created_time": (TIME, False), "modified_time": (TIME, False), "first_seen_time": (TIME, False),
        "last_seen_time": (TIME, False), "related_events_count": (NUMBER, False), "src_url": (TEXT, False),
        "data_sources": (list, False), "analytic": (dict, False),
    },
    "analytic": {
        "type_id": (NUMBER, True), "type": (TEXT, False), "uid": (TEXT, False), "name": (TEXT, False),
        "version": (TEXT, False),
    },
    "evidences": {"actor": (dict, False), "src_endpoint": (dict, False), "data": (dict, False)},
    "actor": {"app_uid": (TEXT, False), "user": (dict, False)},
    "user": {"uid": (TEXT, False)},
    "assignee": {"name": (TEXT, False)},
    "src_endpoint": {"ip": (TEXT, False), "location": (dict, False)},
    "location": {"country": (TEXT, False)},
    "resources": {"name": (TEXT, False), "type": (TEXT, False)},
}  # fmt: skip
AT_LEAST_ONE = {
    "product": {"name", "uid"},
    "analytic": {"name", "uid"},
    "evidences": {"actor", "src_endpoint", "data"},
    "actor": {"user", "app_uid"},
    "user": {"name", "uid"},
    "assignee": {"name", "uid"},
    "src_endpoint": {"ip"},
    "location": {"country", "city"},
    "resources": {"name", "uid"},
}


def complaints(told: dict[str, Any], name: str = "") -> list[str]:
    """What of an object the schema does not have, or has otherwise, or misses."""
    known = SCHEMA[name]
    found = [f"{name}.{one}: missing" for one, (_, required) in known.items() if required and one not in told]
    if name in AT_LEAST_ONE and not AT_LEAST_ONE[name] & set(told):
        found.append(f"{name}: none of {AT_LEAST_ONE[name]}")
    for one, value in told.items():
        if one not in known or type(value) is not known[one][0]:
            found.append(f"{name}.{one}: {value!r:.60}")
        elif one != "data":
            parts = value if isinstance(value, list) else [value]
            found += [text for part in parts if isinstance(part, dict) for text in complaints(part, one)]
    return found
