"""What an artifact costs: `measure` on this machine, `estimate` for a device that is not at hand."""

from edgekit.profile.estimate import Estimate, estimate
from edgekit.profile.measure import Latency, measure

__all__ = ["Estimate", "Latency", "estimate", "measure"]
