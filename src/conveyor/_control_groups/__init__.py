"""The control groups (a container's, a service's) that this process is in, of both versions, and what they allow it."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   control_group
#   memory_limit

from .control_group import ControlGroup, control_groups
from .memory_limit import MemoryLimit

__all__ = ["ControlGroup", "MemoryLimit", "control_groups"]
