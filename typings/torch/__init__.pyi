# Torch is some GB, and pyright checks src/ where it is not installed, too: what its types are called is enough.
from typing import Any

class dtype: ...  # noqa: N801

class Tensor:
    def __getattr__(self, name: str) -> Any: ...
