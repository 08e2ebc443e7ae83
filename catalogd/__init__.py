"""catalogd: a catalog of container image repositories whose database is a git working tree."""

__version__ = "0.1.0"
