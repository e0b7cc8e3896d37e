"""`overload` for type checkers. At run time that of typing keeps every function, and with it its
module and all that is in it, in a registry which PyTorch, where it is imported, lets nobody free."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import overload as overload
else:

    def overload(function):
        return function
