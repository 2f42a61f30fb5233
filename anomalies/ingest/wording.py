"""Foreign values as they may stand in a sentence to the sender."""

MAX_SHOWN = 60  # characters


def shown(value: object) -> str:
    """Return the value in JSON's spelling, shortened; objects and lists by their kind."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value) if abs(value) < 10**MAX_SHOWN else f"a number of more than {MAX_SHOWN} digits"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return f'"{printable(value)}"'
    return "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else type(value).__name__


def printable(text: str) -> str:
    """Return the text shortened, and with what is no plain character escaped: it may go to a terminal or be stored."""
    short = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    return short if short.isprintable() else short.encode("unicode_escape").decode()
