"""Tests of the notebooks run in the quick profile, also when this folder is tested alone."""

import os

os.environ.setdefault("AELIB_PROFILE", "quick")
os.environ.setdefault("AELIB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")  # a bar is no output to compare
