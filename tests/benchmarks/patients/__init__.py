"""Random trainings, healthy and ill, for `benchmarks/diagnosis.py`."""
