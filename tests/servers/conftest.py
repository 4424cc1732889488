"""The servers, for the tests of themselves."""

from servers.fixtures import *  # noqa: F403
