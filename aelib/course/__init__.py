"""What belongs to the course alone: how a page begins, checks of its exercises, the zoo."""

from .page import PROFILES, data, device, graph, machine, pick, profile, results

__all__ = ["PROFILES", "data", "device", "graph", "machine", "pick", "profile", "results"]
