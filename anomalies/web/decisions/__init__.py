"""Forms with which people decide, about one or about many."""
