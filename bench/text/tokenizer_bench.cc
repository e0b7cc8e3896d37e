// Tokenizer speed on one thread in MB/s, with the demo model's tokenizer: English text with a large
// vocabulary of words, source code, Chinese, and random words that no cache helps with; then the
// price of decoding and of reading a tokenizer.json.
#include "text/tokenizer.h"

#include <benchmark/benchmark.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/rng.h"
#include "text/unicode.h"

namespace glmoe {
namespace {

constexpr size_t kTextBytes = size_t{4} << 20;
const std::string kDemo =
    (std::filesystem::path(__FILE__).parent_path() / "../../models/glm4-moe-demo").string();

const Tokenizer& tokenizer() {
  static const Tokenizer instance = Tokenizer::from_folder(kDemo);
  return instance;
}

// Numbers in a row that don't change from run to run.
class Draw {
 public:
  explicit Draw(uint64_t seed) : seed_(seed) {}
  double operator()() { return random_uniform(seed_, 0, count_++); }
  size_t below(size_t limit) { return static_cast<size_t>((*this)() * static_cast<double>(limit)); }

 private:
  uint64_t seed_, count_ = 0;
};

// A word of one to five syllables.
std::string random_word(Draw& draw) {
  static const char* const kOnsets[] = {"b",  "c",  "d",  "f",  "g",  "h",  "l",  "m",
                                        "n",  "p",  "r",  "s",  "t",  "v",  "w",  "",
                                        "st", "tr", "ch", "sh", "th", "pl", "gr", "qu"};
  static const char* const kRhymes[] = {"a",   "e",    "i",   "o",  "u",   "en",
                                        "er",  "ing",  "al",  "on", "ate", "ight",
                                        "ess", "ment", "ion", "ar", "y",   "ous"};
  std::string word;
  for (size_t left = 1 + draw.below(3) + draw.below(3); left > 0; --left) {
    word += kOnsets[draw.below(std::size(kOnsets))];
    word += kRhymes[draw.below(std::size(kRhymes))];
  }
  return word;
}

// Words of a language drawn by Zipf's law, as in natural text: the tokenizer's own for the frequent
// ones, and 60000 made-up ones.
std::string english_text() {
  Draw draw(1);
  std::vector<std::string> words;
  for (int32_t id = 256; id < tokenizer().vocab_size(); ++id) {
    const auto bytes = tokenizer().token_bytes(id);
    if (bytes.size() > 2 && bytes[0] == ' ') words.emplace_back(bytes.substr(1));
  }
  while (words.size() < 60000) words.push_back(random_word(draw));
  std::string text;
  while (text.size() < kTextBytes) {
    // Rank r with a probability of about 1 / r.
    const auto rank = static_cast<size_t>(std::pow(static_cast<double>(words.size()), draw())) - 1;
    std::string word = words[std::min(rank, words.size() - 1)];
    const size_t kind = draw.below(100);
    if (kind < 6) word[0] = static_cast<char>(word[0] & ~0x20);
    if (kind == 7) word = std::to_string(draw.below(100000));
    if (kind == 8) word += "'s";
    if (kind == 9) word.append("\"").insert(size_t{0}, 1, '"');
    text += word;
    const size_t end = draw.below(100);
    text += end < 84 ? " " : end < 91 ? ", " : end < 97 ? ". " : end < 99 ? ".\n\n" : " - ";
  }
  return text;
}

std::string code_text() {
  Draw draw(2);
  std::string text;
  while (text.size() < kTextBytes) {
    text.append(4 * draw.below(4), ' ').append(random_word(draw)).append("_");
    text.append(random_word(draw)).append("(").append(random_word(draw)).append(", ");
    text.append(std::to_string(draw.below(1000))).append(")[i] += {\"");
    text.append(random_word(draw)).append("\": 0.5};\n");
    if (draw.below(8) == 0) text += "}\n\n";
  }
  return text;
}

std::string chinese_text() {
  Draw draw(3);
  std::string text;
  while (text.size() < kTextBytes) {
    const double common = draw();
    append_utf8(text, 0x4E00 + static_cast<uint32_t>(common * common * 0x5000));
    if (draw.below(12) == 0) append_utf8(text, draw.below(2) == 0 ? 0xFF0C : 0x3002);
  }
  return text;
}

// Hardly a piece appears twice.
std::string unseen_text() {
  Draw draw(4);
  std::string text;
  while (text.size() < kTextBytes) text += random_word(draw) + random_word(draw) + " ";
  return text;
}

void encode(benchmark::State& state, const std::string& text) {
  size_t tokens = 0;
  for (auto _ : state) {
    const auto ids = tokenizer().encode(text);
    tokens = ids.size();
    benchmark::DoNotOptimize(ids.data());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
  state.counters["bytes_per_token"] =
      static_cast<double>(text.size()) / static_cast<double>(tokens);
}

void BM_EncodeEnglish(benchmark::State& state) { encode(state, english_text()); }
void BM_EncodeCode(benchmark::State& state) { encode(state, code_text()); }
void BM_EncodeChinese(benchmark::State& state) { encode(state, chinese_text()); }
void BM_EncodeUnseen(benchmark::State& state) { encode(state, unseen_text()); }
// One piece without a space, which only the heap of merges can do.
void BM_EncodeOneLongWord(benchmark::State& state) {
  Draw draw(5);
  std::string text;
  while (text.size() < kTextBytes) text += random_word(draw);
  encode(state, text);
}

// A new tokenizer each time, so that its cache is cold: the price of a first short prompt.
void BM_EncodeColdPrompt(benchmark::State& state) {
  const std::string text = english_text().substr(0, 16384);
  const std::string json = read_text_file(kDemo + "/tokenizer.json");
  for (auto _ : state) {
    state.PauseTiming();
    const Tokenizer fresh = Tokenizer::from_json(json);
    state.ResumeTiming();
    benchmark::DoNotOptimize(fresh.encode(text).data());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}

void BM_Decode(benchmark::State& state) {
  const std::string text = english_text();
  const auto ids = tokenizer().encode(text);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer().decode(ids).data());
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}

void BM_ReadTokenizerJson(benchmark::State& state) {
  const std::string json = read_text_file(kDemo + "/tokenizer.json");
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::from_json(json).vocab_size());
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(json.size()));
}

BENCHMARK(BM_EncodeEnglish)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_EncodeCode)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_EncodeChinese)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_EncodeUnseen)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_EncodeOneLongWord)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_EncodeColdPrompt)->Unit(benchmark::kMicrosecond)->Iterations(20);
BENCHMARK(BM_Decode)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_ReadTokenizerJson)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace glmoe
