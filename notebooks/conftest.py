"""Tests of the notebooks run in the quick profile, also when this folder is tested alone."""

import os

os.environ.setdefault("AELIB_PROFILE", "quick")
os.environ.setdefault("AELIB_OFFLINE", "1")
