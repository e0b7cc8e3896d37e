// QK norm, rotary embedding and the write into the paged cache as model_spec 2.2 tells them, in
// double and without any table.
#pragma once

#include <span>

#include "ops/attention.h"

namespace glmoe::ref {

// NeoX rotation of the first `rotary_dim` values of one head at `position`, in place.
void rotate_head(float* head, int64_t rotary_dim, double theta, int64_t position);

// The contract of ops/attention.h's rope_and_write_kv with theta in the table's place.
void rope_and_write_kv(const TensorView& qkv, const AttentionShape& shape,
                       std::span<const AttentionSequence> sequences, int64_t rotary_dim,
                       double theta, std::span<const float> q_norm, std::span<const float> k_norm,
                       float eps, const KvLayerView& kv);

}  // namespace glmoe::ref
