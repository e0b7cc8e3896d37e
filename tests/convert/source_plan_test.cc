#include "convert/source_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "base/error.h"
#include "base/json.h"
#include "convert/load_checkpoint.h"
#include "support/synthetic_source.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

namespace fs = std::filesystem;
using glmoe::testing::error_of;
using glmoe::testing::first_difference;
using glmoe::testing::TempFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kGrouped = GLMOE_TEST_DATA "/goldens/grouped";
const std::string kDemo = GLMOE_MODELS "/glm4-moe-demo";

struct OwnTensor {
  DType dtype;
  Shape shape;
  std::vector<std::byte> bytes;
};
using OwnTensors = std::map<std::string, OwnTensor>;

// The checkpoint at `from` with its tensors and config changed, as one file at `to`.
void rewrite(const std::string& from, const std::string& to,
             const std::function<void(OwnTensors&, Json&)>& change) {
  const HfFolder source(from);
  OwnTensors tensors;
  for (const std::string& name : source.names()) {
    const HostTensor& tensor = source.tensor(name);
    tensors[name] = {tensor.dtype, tensor.shape, {tensor.bytes.begin(), tensor.bytes.end()}};
  }
  Json config = read_json_file(from + "/config.json");
  change(tensors, config);
  fs::create_directories(to);
  std::vector<SafetensorsWriter::Spec> specs;
  for (const auto& [name, tensor] : tensors) specs.push_back({name, tensor.dtype, tensor.shape});
  SafetensorsWriter writer(to + "/model.safetensors", specs, {{"format", "pt"}});
  for (const auto& [name, tensor] : tensors) writer.write(name, 0, tensor.bytes);
  writer.finish();
  write_text_file_atomically(to + "/config.json", config.dump());
}

BlobSet load(const std::string& path, std::optional<DType> dtype = {}) {
  ThreadTeam team(2);
  return load_checkpoint_to_blobs(path, dtype, team);
}

std::string error_after(const std::string& from,
                        const std::function<void(OwnTensors&, Json&)>& change) {
  TempFolder folder;
  rewrite(from, folder.file("hf"), change);
  return error_of([&] { load(folder.file("hf")); });
}

// Puts one layer's experts into stacks, as other tools save them.
void fuse_experts(OwnTensors& tensors, const std::string& layer, int64_t num_experts,
                  const std::string& suffix) {
  OwnTensor gate_up, down;
  for (int64_t e = 0; e < num_experts; ++e) {
    const std::string expert = layer + "mlp.experts." + std::to_string(e) + ".";
    for (const char* part : {"gate_proj.weight", "up_proj.weight", "down_proj.weight"}) {
      OwnTensor& from = tensors.at(expert + part);
      OwnTensor& to = std::string(part) == "down_proj.weight" ? down : gate_up;
      to.dtype = from.dtype;
      const int64_t rows = &to == &gate_up ? 2 * from.shape[0] : from.shape[0];
      to.shape = Shape{num_experts, rows, from.shape[1]};
      to.bytes.insert(to.bytes.end(), from.bytes.begin(), from.bytes.end());
      tensors.erase(expert + part);
    }
  }
  tensors[layer + "mlp.experts.gate_up_proj" + suffix] = gate_up;
  tensors[layer + "mlp.experts.down_proj" + suffix] = down;
}

TEST(SourcePlan, FusedExpertsGiveTheSameWeightsAsOneByOne) {
  for (const std::string suffix : {"", ".weight"}) {
    TempFolder folder;
    rewrite(kGrouped, folder.file("hf"), [&](OwnTensors& tensors, Json&) {
      fuse_experts(tensors, "model.layers.1.", 16, suffix);
      fuse_experts(tensors, "model.layers.3.", 16, suffix);
    });
    EXPECT_EQ(first_difference(load(kGrouped).tensors, load(folder.file("hf")).tensors), "");
  }
}

TEST(SourcePlan, FusedRowsAreQThenKThenVAndGateThenUp) {
  const HfFolder hf(kGrouped);
  const BlobSet blobs = load(kGrouped);
  const auto bytes_of = [](const TensorView& view) {
    return std::string(view.as<char>(), view.num_bytes());
  };
  const auto source = [&](const std::string& name) {
    const auto& bytes = hf.tensor("model.layers.1." + name).bytes;
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  EXPECT_EQ(bytes_of(blobs.tensors.at("transformer.layers.1.attention.qkv.weight")),
            source("self_attn.q_proj.weight") + source("self_attn.k_proj.weight") +
                source("self_attn.v_proj.weight"));
  std::string experts;
  for (int e = 0; e < 16; ++e) {
    const std::string expert = "mlp.experts." + std::to_string(e) + ".";
    experts += source(expert + "gate_proj.weight") + source(expert + "up_proj.weight");
  }
  EXPECT_EQ(bytes_of(blobs.tensors.at("transformer.layers.1.mlp.experts.gate_up.weight")), experts);
}

TEST(SourcePlan, AllMissingWrongAndLeftOverTensorsAreNamedAtOnce) {
  const auto message = error_after(kGrouped, [](OwnTensors& tensors, Json&) {
    tensors.erase("model.norm.weight");
    tensors.erase("model.layers.2.mlp.experts.7.up_proj.weight");
    tensors["model.layers.0.surprise"] = tensors.at("model.layers.0.input_layernorm.weight");
    tensors.at("model.layers.0.input_layernorm.weight").shape = Shape{32, 2};
  });
  EXPECT_THAT(message, AllOf(HasSubstr("missing tensors (2): "), HasSubstr("model.norm.weight"),
                             HasSubstr("experts.7.up_proj.weight"), HasSubstr("surprise"),
                             HasSubstr("[64] was wanted"), HasSubstr("[32, 2]")));
}

TEST(SourcePlan, LongListsAreCutWithACount) {
  const auto message = error_after(kGrouped, [](OwnTensors& tensors, Json&) {
    std::erase_if(tensors, [](const auto& t) {
      return t.first.find(".experts.") != std::string::npos &&
             t.first.find("layers.2.") != std::string::npos;
    });
  });
  EXPECT_THAT(message, AllOf(HasSubstr("missing tensors (48): "), HasSubstr(", and 40 more")));
}

TEST(SourcePlan, QuantisedCheckpointsAreNotSupportedYet) {
  const auto message = error_after(kGrouped, [](OwnTensors& tensors, Json&) {
    tensors["model.layers.0.mlp.down_proj.weight_scale"] =
        tensors.at("model.layers.0.input_layernorm.weight");
  });
  EXPECT_THAT(message, AllOf(HasSubstr("quantised"), HasSubstr("down_proj.weight_scale")));
}

TEST(SourcePlan, AnMtpLayerInPartIsNamedAndOneThatIsAbsentIsNot) {
  const auto message = error_after(
      kDemo, [](OwnTensors& tensors, Json&) { tensors.erase("model.layers.6.eh_proj.weight"); });
  EXPECT_THAT(message, AllOf(HasSubstr("model.layers.6.eh_proj.weight"), HasSubstr("MTP")));

  TempFolder folder;
  rewrite(kDemo, folder.file("hf"), [](OwnTensors& tensors, Json&) {
    std::erase_if(tensors, [](const auto& t) { return t.first.starts_with("model.layers.6."); });
  });
  EXPECT_EQ(load(folder.file("hf")).config.num_nextn_predict_layers, 0);
}

TEST(SourcePlan, MtpCopiesAreCarriedWhereTheyAreThere) {
  TempFolder folder;
  rewrite(kDemo, folder.file("hf"), [](OwnTensors& tensors, Json&) {
    tensors["model.layers.6.embed_tokens.weight"] = tensors.at("model.embed_tokens.weight");
    tensors["model.layers.6.shared_head.head.weight"] = tensors.at("lm_head.weight");
  });
  const BlobSet blobs = load(folder.file("hf"));
  EXPECT_EQ(blobs.tensors.count("transformer.mtp.0.vocab_embedding.weight"), 1u);
  EXPECT_EQ(blobs.tensors.count("transformer.mtp.0.lm_head.weight"), 1u);
}

TEST(SourcePlan, RotaryFrequenciesAndATiedHeadArePassedOver) {
  TempFolder folder;
  rewrite(GLMOE_TEST_DATA "/goldens/tied", folder.file("hf"), [](OwnTensors& tensors, Json&) {
    tensors["lm_head.weight"] = tensors.at("model.embed_tokens.weight");
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {
        DType::kF32, {4}, std::vector<std::byte>(16)};
  });
  EXPECT_EQ(load(folder.file("hf")).tensors.count("lm_head.weight"), 0u);
}

TEST(SourcePlan, IntegersAreNoWeights) {
  const auto message = error_after(kGrouped, [](OwnTensors& tensors, Json&) {
    tensors.at("model.norm.weight").dtype = DType::kI16;
  });
  EXPECT_THAT(message, AllOf(HasSubstr("model.norm.weight"), HasSubstr("I16")));
}

TEST(SourcePlan, AValueBeyondFloat16IsNamed) {
  TempFolder folder;
  rewrite(kGrouped, folder.file("hf"), [](OwnTensors& tensors, Json&) {
    const uint16_t big = f32_to_bf16(70000.0f);
    std::memcpy(tensors.at("model.layers.0.mlp.up_proj.weight").bytes.data() + 100, &big, 2);
  });
  EXPECT_THAT(error_of([&] { load(folder.file("hf"), DType::kF16); }),
              AllOf(HasSubstr("transformer.layers.0.mlp.gate_up.weight"), HasSubstr("70144"),
                    HasSubstr("float16")));
  EXPECT_EQ(error_of([&] { load(folder.file("hf"), DType::kF32); }), "");
}

// A state_dict: the tensors of `from` as they lie in memory.
std::vector<HostTensor> lent(const OwnTensors& tensors) {
  std::vector<HostTensor> result;
  for (const auto& [name, tensor] : tensors) {
    result.push_back({name, tensor.dtype, tensor.shape, tensor.bytes});
  }
  return result;
}

class LentTensors : public ::testing::Test {
 protected:
  void SetUp() override {
    const HfFolder source(kGrouped);
    config_ = source.config();
    for (const std::string& name : source.names()) {
      const HostTensor& tensor = source.tensor(name);
      tensors_[name] = {tensor.dtype, tensor.shape, {tensor.bytes.begin(), tensor.bytes.end()}};
    }
  }
  BlobSet load(bool borrow, std::shared_ptr<const void> owner = nullptr) {
    ThreadTeam team(2);
    const TensorSource source = resolve_source(
        std::make_shared<const HfFolder>("state_dict", config_, lent(tensors_), std::move(owner)));
    return load_to_memory(source, source.dtype, team, {.borrow = borrow});
  }
  bool is_borrowed(const BlobSet& set, const std::string& name) const {
    const std::byte* at = set.tensors.at(name).as<const std::byte>();
    return std::ranges::any_of(tensors_, [&](const auto& entry) {
      const std::vector<std::byte>& bytes = entry.second.bytes;
      return at >= bytes.data() && at < bytes.data() + bytes.size();
    });
  }
  Glm4MoeConfig config_;
  OwnTensors tensors_;
};

TEST_F(LentTensors, GiveTheWeightsOfTheFolderWhetherReadInPlaceOrCopied) {
  const BlobSet folder = ::glmoe::load(kGrouped);
  for (const bool borrow : {false, true}) {
    EXPECT_EQ(first_difference(folder.tensors, load(borrow).tensors), "") << borrow;
  }
  EXPECT_EQ(load(false).num_borrowed_bytes, 0u);
}

TEST_F(LentTensors, FusedExpertsAreReadWhereTheyLieAndSingleOnesAreCopied) {
  const int64_t layer = config_.first_k_dense_replace;
  const std::string name =
      "transformer.layers." + std::to_string(layer) + ".mlp.experts.gate_up.weight";
  EXPECT_FALSE(is_borrowed(load(true), name));
  const BlobSet copied = load(true);
  for (int64_t l = layer; l < config_.num_hidden_layers; ++l) {
    fuse_experts(tensors_, "model.layers." + std::to_string(l) + ".", config_.moe.num_experts, "");
  }
  const BlobSet fused = load(true);
  EXPECT_TRUE(is_borrowed(fused, name));
  EXPECT_TRUE(is_borrowed(fused, "transformer.vocab_embedding.weight"));
  EXPECT_FALSE(is_borrowed(fused, "transformer.layers.0.attention.qkv.weight"));  // q, k and v
  EXPECT_GT(fused.num_borrowed_bytes, copied.num_borrowed_bytes);
  EXPECT_EQ(first_difference(copied.tensors, fused.tensors), "");
}

TEST_F(LentTensors, LiveAsLongAsTheWeightsThatReadThem) {
  auto owner = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = owner;
  {
    const BlobSet set = load(true, std::move(owner));
    EXPECT_FALSE(watched.expired());
  }
  EXPECT_TRUE(watched.expired());
}

TEST_F(LentTensors, AreRefusedByNameWhereOneIsMissingOrTwiceThere) {
  tensors_.erase("model.norm.weight");
  EXPECT_THAT(error_of([&] { load(true); }),
              AllOf(HasSubstr("state_dict"), HasSubstr("model.norm.weight")));
  std::vector<HostTensor> twice = lent(tensors_);
  twice.push_back(twice.front());
  EXPECT_THAT(error_of([&] { HfFolder("state_dict", config_, twice, nullptr); }),
              AllOf(HasSubstr(twice.front().name), HasSubstr("twice")));
}

}  // namespace
}  // namespace glmoe
