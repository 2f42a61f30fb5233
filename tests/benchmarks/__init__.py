"""What the design promises, measured: `uv run python -m tests.benchmarks [--only NAME...] [--quick]`."""
