"""Writes the trained module as a Hugging Face checkpoint folder, in shards with an index."""
import json

import torch
from safetensors.torch import save_file

from network import CONFIG as C, Moe
from tokens import SPECIAL

SHARD_BYTES = 13_000_000  # three shards, so that the demo exercises an index


def layer_tensors(prefix, layer):
    tensors = {prefix + name: value for name, value in layer.state_dict().items()
               if not (name.startswith("mlp.") and isinstance(layer.mlp, Moe))}
    if not isinstance(layer.mlp, Moe):
        return tensors
    moe, width = layer.mlp, C["moe_intermediate_size"]
    tensors[prefix + "mlp.gate.weight"] = moe.router
    tensors[prefix + "mlp.gate.e_score_correction_bias"] = moe.bias
    for name in ("gate_proj", "up_proj", "down_proj"):
        tensors[prefix + f"mlp.shared_experts.{name}.weight"] = getattr(moe.shared, name).weight
    for e in range(C["n_routed_experts"]):
        rows = slice(e * width, (e + 1) * width)
        expert = prefix + f"mlp.experts.{e}."
        tensors[expert + "gate_proj.weight"] = moe.gate[rows]
        tensors[expert + "up_proj.weight"] = moe.up[rows]
        tensors[expert + "down_proj.weight"] = moe.down[:, rows]
    return tensors


def checkpoint_tensors(model):
    """Everything under its Hugging Face name: bfloat16, the selection bias alone float32."""
    tensors = {"model.embed_tokens.weight": model.embed.weight,
               "model.norm.weight": model.norm.weight, "lm_head.weight": model.lm_head.weight}
    for i, layer in enumerate([*model.layers, model.mtp]):
        tensors |= layer_tensors(f"model.layers.{i}.", layer)
    mtp = f"model.layers.{C['num_hidden_layers']}."
    tensors |= {mtp + "enorm.weight": model.enorm.weight, mtp + "hnorm.weight": model.hnorm.weight,
                mtp + "eh_proj.weight": model.eh_proj.weight,
                mtp + "shared_head.norm.weight": model.mtp_norm.weight}
    dtype = lambda name: torch.float32 if name.endswith("correction_bias") else torch.bfloat16
    return {name: value.detach().cpu().to(dtype(name)).contiguous()
            for name, value in tensors.items()}


def write_shards(tensors, out):
    num_bytes = lambda value: value.numel() * value.element_size()
    shards, size = [{}], 0
    for name, value in tensors.items():
        if size + num_bytes(value) > SHARD_BYTES and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = value
        size += num_bytes(value)
    index = {"metadata": {"total_size": sum(map(num_bytes, tensors.values()))}, "weight_map": {}}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, out / file, metadata={"format": "pt"})
        index["weight_map"] |= dict.fromkeys(shard, file)
    write_json(out / "model.safetensors.index.json", index)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def export(model, tokenizer, template, out):
    """`template`: the text of chat_template.jinja."""
    out.mkdir(parents=True, exist_ok=True)
    write_shards(checkpoint_tensors(model), out)
    pad = tokenizer.token_to_id("<|endoftext|>")
    ends = [pad, tokenizer.token_to_id("<|user|>"), tokenizer.token_to_id("<|observation|>")]
    write_json(out / "config.json", dict(
        architectures=["Glm4MoeForCausalLM"], model_type="glm4_moe", dtype="bfloat16",
        attention_dropout=0.0, initializer_range=0.02, use_cache=True, rope_scaling=None,
        eos_token_id=ends, pad_token_id=pad, **C))
    write_json(out / "generation_config.json", dict(
        eos_token_id=ends, pad_token_id=pad, do_sample=True, temperature=0.6, top_p=0.95))
    write_json(out / "tokenizer_config.json", dict(
        tokenizer_class="PreTrainedTokenizerFast", model_max_length=C["max_position_embeddings"],
        padding_side="left", eos_token="<|endoftext|>", pad_token="<|endoftext|>",
        additional_special_tokens=SPECIAL, clean_up_tokenization_spaces=False))
    tokenizer.save(str(out / "tokenizer.json"))
    (out / "chat_template.jinja").write_text(template, encoding="utf-8")
