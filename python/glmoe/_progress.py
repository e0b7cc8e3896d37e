"""Waiting for a batch, with a progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _glmoe

if TYPE_CHECKING:
    from ._glmoe import RequestOutput, Stream


def gather(streams: list[Stream], show: bool) -> list[RequestOutput]:
    """The outputs of all streams, in their order. Whatever is raised meanwhile cancels them."""
    if not show:
        return _glmoe.gather(streams, None)
    from tqdm.auto import tqdm  # only here: it takes longer to import than the engine

    tokens = 0
    with tqdm(total=len(streams), desc="Processed prompts", dynamic_ncols=True) as bar:

        def progress(num_outputs: int, num_tokens: int) -> None:
            nonlocal tokens
            tokens += num_tokens
            seconds = bar.format_dict["elapsed"]
            if seconds > 0:
                bar.set_postfix_str(f"{tokens / seconds:.1f} tokens/s", refresh=False)
            bar.update(num_outputs)

        return _glmoe.gather(streams, progress)
