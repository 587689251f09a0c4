"""Measurements that are run by hand: against what people use, and of the library by itself."""
