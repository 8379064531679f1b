"""Which version this is."""

from importlib.metadata import version as installed_version

DISTRIBUTION = "tuesday-fleet"


def version() -> str:
    return installed_version(DISTRIBUTION)
