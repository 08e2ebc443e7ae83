"""Benchmarks: `python -m tests.benchmarks`. What they say goes into docs/performance.md; none of them is a test."""
