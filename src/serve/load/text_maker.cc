#include "serve/load/text_maker.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/json.h"
#include "base/rng.h"

namespace glmoe::serve {
namespace {

namespace asio = boost::asio;

// Common short words.
constexpr const char* kWords[] = {
    "time",    "year",    "people",   "way",     "day",     "man",     "thing",    "woman",
    "life",    "child",   "world",    "school",  "state",   "family",  "student",  "group",
    "country", "problem", "hand",     "part",    "place",   "case",    "week",     "company",
    "system",  "program", "question", "work",    "number",  "night",   "point",    "home",
    "water",   "room",    "mother",   "area",    "money",   "story",   "fact",     "month",
    "lot",     "right",   "study",    "book",    "eye",     "job",     "word",     "business",
    "issue",   "side",    "kind",     "head",    "house",   "service", "friend",   "father",
    "power",   "hour",    "game",     "line",    "end",     "member",  "law",      "car",
    "city",    "name",    "team",     "minute",  "idea",    "body",    "back",     "parent",
    "face",    "level",   "office",   "door",    "health",  "person",  "art",      "war",
    "history", "party",   "result",   "change",  "morning", "reason",  "research", "girl",
    "boy",     "moment",  "air",      "teacher", "force",   "food",    "light",    "river",
    "road",    "tree"};

// Ids of an answer {"tokens": [...]}; llama.cpp may give objects {"id", "piece"}.
std::vector<int64_t> ids_of(const Json& json) {
  std::vector<int64_t> ids;
  if (!json.is_object() || !json.contains("tokens") || !json["tokens"].is_array()) return ids;
  for (const Json& token : json["tokens"]) {
    if (token.is_number_integer()) ids.push_back(token.get<int64_t>());
  }
  return ids;
}

}  // namespace

TextMaker::TextMaker(HttpClient& client, std::string model, uint64_t seed)
    : client_(client), model_(std::move(model)), seed_(seed) {}

asio::awaitable<void> TextMaker::start() {
  for (const Form form : {Form::kPrompt, Form::kContent}) {
    form_ = form;
    try {
      const std::vector<int64_t> ids = co_await tokenize("The river and the road");
      if (ids.size() > 1 && !(co_await detokenize(ids)).empty()) co_return;
    } catch (const RequestFailed& error) {
      if (error.failure().kind != FailureKind::kStatus) throw;
    }
  }
  form_ = Form::kNone;
}

std::string TextMaker::words(int64_t count, uint64_t stream, uint64_t counter) const {
  std::string text;
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t bits = random_bits(mix64(seed_ + counter), stream, static_cast<uint64_t>(i));
    if (i > 0) text += ' ';
    text += kWords[bits % std::size(kWords)];
  }
  return text;
}

asio::awaitable<std::string> TextMaker::make(int64_t num_tokens, uint64_t stream,
                                             uint64_t counter) {
  std::string text = words(num_tokens, stream, counter);
  if (!exact()) co_return text;
  // A word has at least one token: the text is long enough and is cut. Where the cut changes how
  // its end is split, the next round cuts again.
  constexpr int kRounds = 4;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<int64_t> ids = co_await tokenize(text);
    if (static_cast<int64_t>(ids.size()) <= num_tokens) break;
    ids.resize(static_cast<size_t>(num_tokens));
    text = co_await detokenize(ids);
  }
  co_return text;
}

asio::awaitable<std::vector<int64_t>> TextMaker::tokenize(const std::string& text) {
  Json body = {{field(), text}, {"add_special_tokens", false}};
  if (form_ == Form::kPrompt) body["model"] = model_;
  const ClientRequest request{.method = "POST", .target = "/tokenize", .body = body.dump()};
  const std::string answer = co_await client_.fetch(request);
  co_return ids_of(Json::parse(answer, nullptr, false));
}

asio::awaitable<std::string> TextMaker::detokenize(const std::vector<int64_t>& ids) {
  Json body = {{"tokens", ids}};
  if (form_ == Form::kPrompt) body["model"] = model_;
  const ClientRequest request{.method = "POST", .target = "/detokenize", .body = body.dump()};
  const std::string answer = co_await client_.fetch(request);
  const Json json = Json::parse(answer, nullptr, false);
  if (!json.is_object() || !json.contains(field()) || !json[field()].is_string()) co_return "";
  co_return json[field()].get<std::string>();
}

}  // namespace glmoe::serve
