#include "checkpoint/header_json.h"

#include <utility>
#include <vector>

#include "base/error.h"

namespace glmoe {
namespace {

// Builds the document while nlohmann's lexer and grammar walk the text.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(const std::string& what, int max_depth) : what_(what), max_depth_(max_depth) {}
  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& value) override { return add(std::move(value)); }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& value) override {
    if (stack_.back()->contains(value)) {
      fail(ErrorCode::kCorrupt, "{}: JSON key '{}' appears twice in one object", what_, value);
    }
    key_ = std::move(value);
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& error) override {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", what_, error.what());
  }

 private:
  Json* put(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *stack_.back();
    if (parent.is_object()) return &*parent.emplace(std::move(key_), std::move(value)).first;
    parent.push_back(std::move(value));
    return &parent.back();
  }
  template <class T>
  bool add(T value) {
    put(Json(std::move(value)));
    return true;
  }
  bool open(Json container) {
    if (static_cast<int>(stack_.size()) >= max_depth_) {
      fail(ErrorCode::kCorrupt, "{}: JSON nested deeper than {} levels", what_, max_depth_);
    }
    // A parent's list does not grow while a child is open, so the pointer stays good.
    stack_.push_back(put(std::move(container)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  const std::string& what_;
  int max_depth_;
  Json root_;
  std::vector<Json*> stack_;
  std::string key_;
};

}  // namespace

Json parse_header_json(std::string_view text, const std::string& what, int max_depth) {
  Builder builder(what, max_depth);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

}  // namespace glmoe
