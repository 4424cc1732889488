"""The dashboard: a page of a process of its own, served on this machine. See docs/watching.md.

Nothing in here is imported by those who are watched; starlette and uvicorn are the extra `dash`.
"""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   server
#   routes
#   events
#   feed, actions, guard, schema
#   lookout
#   brokers, pipeline_rows
#   ring, rows, settings

__all__: list[str] = []
__dir__ = __all__.copy
