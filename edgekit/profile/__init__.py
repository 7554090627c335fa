"""What an artifact costs: `measure` on this machine."""

from edgekit.profile.measure import Latency, measure

__all__ = ["Latency", "measure"]
