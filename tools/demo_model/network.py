"""The demo model as a PyTorch module: GLM-4 MoE with one MTP layer, written for training.

Its parts are those of the published GLM-4.5: grouped-query attention with bias, QK norm and half
rotary, a dense first layer, sigmoid routing with a selection-only bias, a shared expert.
"""
import torch
import torch.nn.functional as F
from torch import nn

CONFIG = dict(
    vocab_size=8192, hidden_size=256, intermediate_size=768, num_hidden_layers=6,
    num_attention_heads=4, num_key_value_heads=2, head_dim=128, partial_rotary_factor=0.5,
    rope_theta=1000000.0, max_position_embeddings=4096, rms_norm_eps=1e-5, attention_bias=True,
    use_qk_norm=True, first_k_dense_replace=1, n_routed_experts=16, n_shared_experts=1,
    num_experts_per_tok=4, moe_intermediate_size=128, n_group=1, topk_group=1, norm_topk_prob=True,
    routed_scaling_factor=1.5, num_nextn_predict_layers=1, tie_word_embeddings=False,
    hidden_act="silu")
C = CONFIG
INIT_STD = 0.02


class Norm(nn.Module):
    """RMS norm, computed in F32."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        y = x.float()
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + C["rms_norm_eps"])
        return self.weight * y.to(x.dtype)


def rotate(x, cos, sin):
    """Rotates the first dimensions of each head, as many as `cos` has; pairs lie half apart."""
    size = cos.shape[-1]
    turned, rest = x[..., :size], x[..., size:]
    half = torch.cat((-turned[..., size // 2:], turned[..., :size // 2]), -1)
    return torch.cat((turned * cos + half * sin, rest), -1)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        hidden, size = C["hidden_size"], C["head_dim"]
        self.q_proj = nn.Linear(hidden, C["num_attention_heads"] * size, bias=True)
        self.k_proj = nn.Linear(hidden, C["num_key_value_heads"] * size, bias=True)
        self.v_proj = nn.Linear(hidden, C["num_key_value_heads"] * size, bias=True)
        self.o_proj = nn.Linear(C["num_attention_heads"] * size, hidden, bias=False)
        self.q_norm, self.k_norm = Norm(size), Norm(size)

    def forward(self, x, rope, mask):
        rows, length, _ = x.shape
        heads = lambda y: y.view(rows, length, -1, C["head_dim"])
        q = self.q_norm(heads(self.q_proj(x))).transpose(1, 2)
        k = self.k_norm(heads(self.k_proj(x))).transpose(1, 2)
        v = heads(self.v_proj(x)).transpose(1, 2)
        q, k = rotate(q, *rope).to(v.dtype), rotate(k, *rope).to(v.dtype)
        groups = C["num_attention_heads"] // C["num_key_value_heads"]
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.o_proj(y.transpose(1, 2).reshape(rows, length, -1))


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        hidden = C["hidden_size"]
        self.gate_proj = nn.Linear(hidden, width, bias=False)
        self.up_proj = nn.Linear(hidden, width, bias=False)
        self.down_proj = nn.Linear(width, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Moe(nn.Module):
    """Every expert runs on every token, weighted by the gate: simple, and quick at this size."""

    def __init__(self):
        super().__init__()
        experts, width, hidden = C["n_routed_experts"], C["moe_intermediate_size"], C["hidden_size"]
        weight = lambda *shape: nn.Parameter(torch.randn(*shape) * INIT_STD)
        self.router = weight(experts, hidden)
        self.gate = weight(experts * width, hidden)
        self.up = weight(experts * width, hidden)
        self.down = weight(hidden, experts * width)
        self.shared = Mlp(width)
        self.register_buffer("bias", torch.zeros(experts))
        self.register_buffer("load", torch.zeros(experts))

    def forward(self, x):
        with torch.autocast(x.device.type, enabled=False):
            scores = (x.float() @ self.router.float().t()).sigmoid()
        chosen = (scores + self.bias).topk(C["num_experts_per_tok"], -1).indices
        weight = scores.gather(-1, chosen)
        weight = weight / (weight.sum(-1, keepdim=True) + 1e-20) * C["routed_scaling_factor"]
        gates = torch.zeros_like(scores).scatter(-1, chosen, weight)
        if self.training:
            self.load += (gates.detach() > 0).float().sum((0, 1))
        y = F.silu(x @ self.gate.t().to(x.dtype)) * (x @ self.up.t().to(x.dtype))
        y = y.view(*x.shape[:-1], C["n_routed_experts"], -1) * gates.to(x.dtype)[..., None]
        return y.flatten(-2) @ self.down.t().to(x.dtype) + self.shared(x)

    @torch.no_grad()
    def balance(self, rate):
        """Moves the selection bias towards an even load, in place of an auxiliary loss."""
        self.bias += rate * torch.sign(self.load.mean() - self.load)
        self.load.zero_()


class Layer(nn.Module):
    def __init__(self, dense):
        super().__init__()
        self.input_layernorm = Norm(C["hidden_size"])
        self.self_attn = Attention()
        self.post_attention_layernorm = Norm(C["hidden_size"])
        self.mlp = Mlp(C["intermediate_size"]) if dense else Moe()

    def forward(self, x, rope, mask):
        x = x + self.self_attn(self.input_layernorm(x), rope, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        hidden, vocab = C["hidden_size"], C["vocab_size"]
        self.embed = nn.Embedding(vocab, hidden)
        self.layers = nn.ModuleList(Layer(i < C["first_k_dense_replace"])
                                    for i in range(C["num_hidden_layers"]))
        self.norm = Norm(hidden)
        self.lm_head = nn.Linear(hidden, vocab, bias=False)
        self.enorm, self.hnorm, self.mtp_norm = Norm(hidden), Norm(hidden), Norm(hidden)
        self.eh_proj = nn.Linear(2 * hidden, hidden, bias=False)
        self.mtp = Layer(False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=INIT_STD)
                if getattr(module, "bias", None) is not None:
                    nn.init.zeros_(module.bias)

    def rope(self, length, device):
        size = int(C["head_dim"] * C["partial_rotary_factor"])
        frequency = 1.0 / C["rope_theta"] ** (
            torch.arange(0, size, 2, device=device).float() / size)
        angle = torch.arange(length, device=device).float()[:, None] * frequency[None]
        angle = torch.cat((angle, angle), -1)
        return angle.cos(), angle.sin()

    def forward(self, ids, mask):
        """Logits of the next token, and the MTP layer's of the one after it, both [B, T, V]."""
        x, rope = self.embed(ids), self.rope(ids.shape[1], ids.device)
        for layer in self.layers:
            x = layer(x, rope, mask)
        x = self.norm(x)
        following = torch.roll(ids, -1, 1)
        m = self.eh_proj(torch.cat((self.enorm(self.embed(following)), self.hnorm(x)), -1))
        m = self.mtp_norm(self.mtp(m, rope, mask))
        return self.lm_head(x), self.lm_head(m)
