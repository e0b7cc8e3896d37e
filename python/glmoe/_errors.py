"""The one exception of the engine."""

from __future__ import annotations

from typing import Literal

ErrorCode = Literal[
    "invalid_argument",
    "not_found",
    "io",
    "corrupt",
    "unsupported",
    "out_of_memory",
    "unavailable",
    "internal",
]


class Error(RuntimeError):
    """What the engine could not do. `str(error)` names the thing, what was wanted, what was found
    and what to do.

    `code` says of which kind it is, for programs:

    - ``invalid_argument``: an argument, field or request is wrong
    - ``not_found``: a file, folder, tensor or preset does not exist
    - ``io``: the operating system refused a read or a write
    - ``corrupt``: a file's content contradicts its format or its checksum
    - ``unsupported``: well-formed, but this build or device does not do it
    - ``out_of_memory``: it does not fit
    - ``unavailable``: the engine is shutting down or overloaded; trying again may help
    - ``internal``: the engine's own mistake
    """

    code: ErrorCode

    def __init__(self, message: str, code: ErrorCode = "internal") -> None:
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])
