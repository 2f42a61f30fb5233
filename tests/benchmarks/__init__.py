"""What the design promises, measured: `uv run python -m tests.benchmarks [--only NAME...] [--quick]`.

Ratios to the bare reference, and absolute times where there is none, on two cores that others used as well (load 4 to
7), 2026-11-21, with `--quick` but for the first:

    scan of 100,000 events, 5,000 agents, 60 days   18.9   bound 5, missed: nine tenths of it is judging all of them
    counting 1,000,000 events from scratch           2.5   bound 2, missed
    HTTP ingest                                      0.33  bound 0.5, missed
    file ingest                                      0.54  bound 0.5
    list of 100,000 anomalies                        3.4 to 5.5, search 14.6   bound 2, missed: 0.13 to 0.25 s, 0.53 s
    scan with nothing new, 1,000 agents              17 ms bound 50 ms
"""
