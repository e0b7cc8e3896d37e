"""GLMoE: inference of GLM-4 mixture-of-experts models.

    from glmoe import LLM

    llm = LLM(model="models/glm4-moe-demo")
    print(llm.generate("What is a violin?", max_tokens=64, temperature=0))
"""

from __future__ import annotations

from ._errors import Error
from ._glmoe import (
    ChatDelta,
    ChatGLMConfig,
    CompletionOutput,
    EngineStats,
    ExpertCounts,
    ExpertScaleNormalizationMode,
    Glm4MoeConfig,
    KvCacheConfig,
    Logprob,
    Mapping,
    MoeConfig,
    QuantAlgo,
    QuantConfig,
    QuantMode,
    RequestMetrics,
    RequestOutput,
    SamplingParams,
    StartupPhase,
    ToolCallDelta,
    __version__,
)
from .chat import ChatMessage, ChatOutput, ToolCall
from .llm import LLM
from .results import RequestResult, StreamedAnswer, StreamPiece

__all__ = [
    "LLM",
    "ChatDelta",
    "ChatGLMConfig",
    "ChatMessage",
    "ChatOutput",
    "CompletionOutput",
    "EngineStats",
    "Error",
    "ExpertCounts",
    "ExpertScaleNormalizationMode",
    "Glm4MoeConfig",
    "KvCacheConfig",
    "Logprob",
    "Mapping",
    "MoeConfig",
    "QuantAlgo",
    "QuantConfig",
    "QuantMode",
    "RequestMetrics",
    "RequestOutput",
    "RequestResult",
    "SamplingParams",
    "StartupPhase",
    "StreamPiece",
    "StreamedAnswer",
    "ToolCall",
    "ToolCallDelta",
    "__version__",
]
