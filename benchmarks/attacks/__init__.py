"""Attacks on the program, with counts: what was killed, crowded out, cut short or lied to.

From the repository's root, each a row or more of a table, status 1 where anything was lost:

    python -m benchmarks.attacks.kills --times 30
    python -m benchmarks.attacks.two_at_once --times 10
    python -m benchmarks.attacks.full_disk
    python -m benchmarks.attacks.dask_kills --times 3
    python -m benchmarks.attacks.cancels --times 100
    xvfb-run -a python -m benchmarks.attacks.strokes --times 200
    python -m benchmarks.attacks.downloads
    python -m benchmarks.attacks.images --times 500 --classify-times 150
    python -m benchmarks.attacks.models --times 500
    python -m benchmarks.attacks.records --times 350

They need Linux or macOS, and the packages of the tests. All files lie in a temporary folder, caches
and settings too; the network is a tiny one (``tests/tiny_backbone.py``). The same ``--seed`` gives
the same inputs, mutations and moments; how far a run is at a moment depends on the computer.
"""
