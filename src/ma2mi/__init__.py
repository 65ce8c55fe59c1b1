"""ma2mi: facial micro-expressions, from a folder of videos to an honest table."""

__version__ = "0.1.0"
