#include "text/markup_guard.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"

namespace glmoe {
namespace {

using jinja::Dict;
using jinja::Value;

bool starts_with(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

}  // namespace

void MarkupGuard::Tokens::add(std::string text) {
  if (text.empty()) return;
  if (first_bytes.find(text[0]) == std::string::npos) first_bytes += text[0];
  max_bytes = std::max(max_bytes, text.size());
  texts.push_back(std::move(text));
}

bool MarkupGuard::Tokens::begins(std::string_view text) const {
  return std::any_of(texts.begin(), texts.end(),
                     [&](const std::string& token) { return starts_with(text, token); });
}

bool MarkupGuard::Tokens::may_follow(std::string_view text) const {
  return text.size() < max_bytes &&
         std::any_of(texts.begin(), texts.end(),
                     [&](const std::string& token) { return starts_with(token, text); });
}

MarkupGuard::MarkupGuard(const Tokenizer& tokenizer, std::span<const std::string_view> inputs) {
  static constexpr std::string_view kTurns[] = {"<|system|>", "<|user|>", "<|assistant|>",
                                                "<|observation|>"};
  for (std::string& text : tokenizer.added_tokens()) {
    if (text == "/nothink") continue;
    if (std::find(std::begin(kTurns), std::end(kTurns), text) != std::end(kTurns)) turns_.add(text);
    all_.add(std::move(text));
  }
  choose_fillers(inputs);
}

void MarkupGuard::choose_fillers(std::span<const std::string_view> inputs) {
  const auto occurs = [&](std::string_view part) {
    return std::any_of(inputs.begin(), inputs.end(), [&](std::string_view input) {
      return input.find(part) != std::string_view::npos;
    });
  };
  for (uint32_t c = 0xFDD0; c <= 0xFFFF; c = c == 0xFDEF ? 0xFFFE : c + 1) {
    std::string character;
    append_utf8(character, c);
    // JSON's and Python's escape, with which the inputs may spell it too, in either case.
    const std::string escape = fmt::format("\\u{:04x}", c);
    if (occurs(character) || occurs(escape)) continue;
    if (occurs(fmt::format("\\u{:04X}", c))) continue;
    fillers_ = {character, escape};
    return;
  }
  fail_argument(
      "messages: they use all of Unicode's noncharacters U+FDD0 to U+FDEF, U+FFFE and U+FFFF; none "
      "is left to keep markup apart from text: leave one out, or allow special tokens");
}

std::string MarkupGuard::guarded(std::string_view text, const Tokens& tokens) {
  const size_t stripped_end = text.find_last_not_of(" \t\r\n\f\v") + 1;
  std::string out;
  size_t done = 0;
  for (size_t i = text.find_first_of(tokens.first_bytes); i != std::string_view::npos;
       i = text.find_first_of(tokens.first_bytes, i + 1)) {
    const std::string_view rest = text.substr(i);
    if (!tokens.begins(rest) && !tokens.may_follow(rest) &&
        !(i < stripped_end && tokens.may_follow(text.substr(i, stripped_end - i)))) {
      continue;
    }
    size_t after = i;
    next_code_point(text, after);
    out.append(text.substr(done, after - done)).append(fillers_[0]);
    done = after;
  }
  return out.append(text.substr(done));
}

Value MarkupGuard::guard(const Value& value, const Tokens& tokens) {
  if (value.is_string()) {
    std::string text = guarded(value.as_string(), tokens);
    if (text.size() == value.as_string().size()) return value;
    used_ = true;
    return Value(std::move(text));
  }
  if (value.is_list()) {
    std::vector<Value> items;
    for (const Value& item : value.as_list().items) items.push_back(guard(item, tokens));
    return Value::list(std::move(items), value.as_list().flavor);
  }
  if (value.is_dict()) {
    Dict dict;
    for (const Dict::Entry& entry : value.as_dict().entries()) {
      dict.set(guard(entry.key, tokens), guard(entry.value, tokens));
    }
    return Value::dict(std::move(dict));
  }
  return value;
}

}  // namespace glmoe
