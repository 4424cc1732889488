"""Again: what a function inside a `loop` gives to have something go through the loop once more."""

from __future__ import annotations

from typing import Any

from ..._public import public

__all__ = ["Again"]


@public
class Again:
    """Goes back to the beginning of the `loop` that it comes out of, as the item that it holds.

        def visit(url):
            page = fetch(url)
            yield page
            for link in page.links:
                yield Again(link)

    Args:
        item: what is to go through the loop.
    """

    __slots__ = ("item",)

    def __init__(self, item: Any) -> None:
        self.item = item
        """What is to go through the loop."""

    def __repr__(self) -> str:
        return f"Again({self.item!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is Again and self.item == other.item

    def __hash__(self) -> int:
        return hash((Again, self.item))
