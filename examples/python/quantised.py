"""Quantisation: how it is asked for, and what this version of the engine answers."""

from __future__ import annotations

from demo import MODEL

from glmoe import LLM, Error, QuantAlgo, QuantConfig, QuantMode

for config in (
    QuantConfig(quant_mode=QuantMode.FP8),
    QuantConfig(quant_mode=QuantMode.use_weight_only()),
    QuantConfig(quant_algo=QuantAlgo.NVFP4, kv_cache_quant_algo=QuantAlgo.FP8),
    QuantConfig(),
):
    mode = config.quant_mode
    print(f"{config}\n  is {mode}, NVFP4: {mode.has_nvfp4()}, weights only: {mode.is_weight_only()}")
    try:
        with LLM(model=MODEL, quantization=config) as llm:
            print(f"  runs, weights in {llm.weight_dtype}")
    except Error as error:
        print(f"  {error.code}: {error}")
