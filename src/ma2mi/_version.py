"""The version of ma2mi, below every room, so that no lower room asks the front door."""

__version__ = "0.1.0"
