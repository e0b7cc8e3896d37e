#include "text/jinja/json_value.h"

#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace glmoe::jinja {
namespace {

constexpr size_t kMaxDepth = 64;

class ValueSax final : public nlohmann::json_sax<Json> {
 public:
  explicit ValueSax(const std::string& what) : what_(what) {}
  Value take() { return std::move(result_); }

  bool null() override { return add(None{}); }
  bool boolean(bool v) override { return add(v); }
  bool number_integer(int64_t v) override { return add(v); }
  bool number_unsigned(uint64_t v) override {
    if (v > static_cast<uint64_t>(INT64_MAX)) too_big(fmt::format("{}", v));
    return add(static_cast<int64_t>(v));
  }
  bool number_float(double v, const std::string& text) override {
    if (text.find_first_of(".eE") == std::string::npos) too_big(text);
    return add(v);
  }
  bool string(std::string& v) override { return add(Value(std::move(v))); }
  bool binary(Json::binary_t&) override { return false; }

  bool start_object(size_t) override { return open(false); }
  bool start_array(size_t) override { return open(true); }
  bool key(std::string& v) override {
    Frame& frame = stack_.back();
    if (frame.dict.find(std::string_view(v)) != nullptr) {
      fail_argument("{}: JSON key '{}' appears twice in one object", what_, v);
    }
    frame.key = std::move(v);
    return true;
  }
  bool end_object() override {
    Dict dict = std::move(stack_.back().dict);
    stack_.pop_back();
    return add(Value::dict(std::move(dict)));
  }
  bool end_array() override {
    std::vector<Value> items = std::move(stack_.back().items);
    stack_.pop_back();
    return add(Value::list(std::move(items)));
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& error) override {
    fail_argument("{}: not valid JSON: {}", what_, json_problem(error));
  }

 private:
  struct Frame {
    bool is_list;
    std::vector<Value> items;
    Dict dict;
    std::string key;
  };

  bool open(bool is_list) {
    if (stack_.size() >= kMaxDepth) {
      fail_argument("{}: JSON nested deeper than {} levels", what_, kMaxDepth);
    }
    stack_.push_back({is_list, {}, {}, {}});
    return true;
  }

  bool add(Value value) {
    if (stack_.empty()) {
      result_ = std::move(value);
    } else if (stack_.back().is_list) {
      stack_.back().items.push_back(std::move(value));
    } else {
      stack_.back().dict.set(Value(std::move(stack_.back().key)), std::move(value));
    }
    return true;
  }

  [[noreturn]] void too_big(const std::string& text) {
    fail_argument("{}: the number {} does not fit in 64 bits; send it as a string", what_,
                  text.substr(0, 60));
  }

  const std::string& what_;
  std::vector<Frame> stack_;
  Value result_;
};

}  // namespace

Value value_from_json(std::string_view text, const std::string& what) {
  ValueSax sax(what);
  Json::sax_parse(text.begin(), text.end(), &sax);
  return sax.take();
}

}  // namespace glmoe::jinja
