"""How late an event may come and still change what is said of its time."""

LATE_SECONDS = 48 * 3600  # later, it is counted and told, and its time is not judged again
# Of the days that end so long before a UTC day, nothing changes any more what that day is judged by.
SETTLED_DAYS = LATE_SECONDS // 86400
