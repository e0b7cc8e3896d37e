#include "artifact/model_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "glmoe/error.h"

namespace glmoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Json valid() {
  return mapping_to_json(Mapping{.tp_size = 4, .pp_size = 2, .ep_size = 2}.resolved());
}

// "" where the mapping is accepted; else the message, whose code must be kCorrupt: the numbers come
// from a file.
std::string refusal(const std::function<void(Json&)>& change) {
  Json json = valid();
  change(json);
  try {
    mapping_from_json({json, "config.json: mapping"});
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("config.json: mapping"));
    return error.what();
  }
  return {};
}

TEST(MappingJson, IsReadBackAsItWas) {
  for (const Mapping& mapping :
       {Mapping{}, Mapping{.tp_size = 8, .ep_size = 8}, Mapping{.pp_size = 3},
        Mapping{.world_size = 8, .tp_size = 2, .ep_size = 4}, Mapping{.tp_size = 2, .cp_size = 2},
        Mapping{.gpus_per_node = 4, .tp_size = 4, .pp_size = 2, .ep_size = 2}}) {
    const Mapping resolved = mapping.resolved();
    const Json json = mapping_to_json(resolved);
    EXPECT_EQ(mapping_from_json({json, "mapping"}), resolved) << json.dump();
  }
}

TEST(MappingJson, OlderFilesMayLeaveFieldsOut) {
  const Json json = {{"world_size", 4}, {"tp_size", 4}, {"pp_size", 1}};
  const Mapping mapping = mapping_from_json({json, "mapping"});
  EXPECT_EQ(mapping.ep_size, 1);
  EXPECT_EQ(mapping.moe_tp_size, 4);
  for (const char* field : {"world_size", "tp_size", "pp_size"}) {
    EXPECT_THAT(refusal([&](Json& changed) { changed.erase(field); }), HasSubstr(field));
  }
}

TEST(MappingJson, WhatContradictsItselfIsRefused) {
  EXPECT_EQ(refusal([](Json&) {}), "");
  EXPECT_THAT(refusal([](Json& json) { json["world_size"] = 7; }), HasSubstr("world_size 7"));
  EXPECT_THAT(refusal([](Json& json) { json["moe_ep_size"] = 3; }), HasSubstr("ep_size 3"));
  EXPECT_THAT(refusal([](Json& json) { json["moe_tp_size"] = 4; }), HasSubstr("moe_tp_size 4"));
  for (const int64_t size : {int64_t{0}, int64_t{-1}, INT64_MAX, INT64_MIN}) {
    EXPECT_THAT(refusal([&](Json& json) { json["pp_size"] = size; }), HasSubstr("pp_size"));
  }
  EXPECT_THAT(refusal([](Json& json) { json["tp_size"] = "4"; }), HasSubstr("tp_size"));
}

// A reader makes something for each rank: the number must be bounded however it is given.
TEST(MappingJson, MoreRanksThanAnyoneHasAreRefused) {
  EXPECT_THAT(refusal([](Json& json) {
                json = {{"world_size", 4097}, {"tp_size", 4097}, {"pp_size", 1}};
              }),
              AllOf(HasSubstr("world_size 4097"), HasSubstr("4096")));
  const std::string unsaid = refusal([](Json& json) {
    json = {{"world_size", 0}, {"tp_size", 65536}, {"pp_size", 65536}};
  });
  EXPECT_THAT(unsaid, AllOf(HasSubstr("world_size"), HasSubstr("4096")));
}

}  // namespace
}  // namespace glmoe
