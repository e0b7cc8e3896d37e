// The values that templates compute with: Python's, as far as templates can see them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "glmoe/error.h"

namespace glmoe::jinja {

// What a template does wrong while it runs; the interpreter adds template and line.
struct RenderError {
  std::string message;
  ErrorCode code = ErrorCode::kInvalidArgument;
};

class Value;
class Interpreter;
struct Arguments;

// What a list is in Python; templates can tell them apart by truth, length, index and printing.
enum class Flavor { kList, kTuple, kGenerator, kDictView, kRange };

// Lists never change once built: templates run as in Jinja's immutable sandbox.
struct List {
  std::vector<Value> items;
  Flavor flavor = Flavor::kList;
  int depth = 1;  // of nesting, counted when built; bounds every recursion over values
};

// A mapping in insertion order. Keys are any hashable values; nearly always strings.
class Dict {
 public:
  struct Entry;
  const std::vector<Entry>& entries() const { return entries_; }
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  void set(Value key, Value value);  // while it is being built
  int depth = 1;

 private:
  std::optional<size_t> index_of(const Value& key) const;
  std::vector<Entry> entries_;
  std::unordered_map<std::string, size_t> by_string_;  // string keys, once there are several
};

struct Namespace;

// Anything that can be called: macros, methods bound to their object, global functions.
struct Callable {
  virtual ~Callable() = default;
  virtual Value call(Interpreter& interpreter, Arguments& arguments) = 0;
  virtual std::string_view name() const = 0;
  virtual std::optional<Value> attribute(std::string_view name) const;
};

struct Undefined {
  std::shared_ptr<const std::string> hint;  // what was looked for, for the message
};
struct None {};

class Value {
 public:
  enum class Kind {
    kUndefined,
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,
    kList,
    kDict,
    kNamespace,
    kCallable
  };

  Value() : data_(Undefined{}) {}
  Value(None) : data_(None{}) {}                    // NOLINT(runtime/explicit)
  Value(bool v) : data_(v) {}                       // NOLINT(runtime/explicit)
  Value(int v) : data_(static_cast<int64_t>(v)) {}  // NOLINT(runtime/explicit)
  Value(int64_t v) : data_(v) {}                    // NOLINT(runtime/explicit)
  Value(double v) : data_(v) {}                     // NOLINT(runtime/explicit)
  Value(std::string v)                              // NOLINT(runtime/explicit)
      : data_(std::make_shared<const std::string>(std::move(v))) {}
  Value(std::string_view v) : Value(std::string(v)) {}           // NOLINT(runtime/explicit)
  Value(const char* v) : Value(std::string(v)) {}                // NOLINT(runtime/explicit)
  Value(std::shared_ptr<const List> v) : data_(std::move(v)) {}  // NOLINT(runtime/explicit)
  Value(std::shared_ptr<const Dict> v) : data_(std::move(v)) {}  // NOLINT(runtime/explicit)
  Value(std::shared_ptr<Namespace> v) : data_(std::move(v)) {}   // NOLINT(runtime/explicit)
  Value(std::shared_ptr<Callable> v) : data_(std::move(v)) {}    // NOLINT(runtime/explicit)

  static Value undefined(std::string hint);
  // Computes the depth; see nesting_depth.
  static Value list(std::vector<Value> items, Flavor flavor = Flavor::kList);
  static Value dict(Dict dict);

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is(Kind kind_wanted) const { return kind() == kind_wanted; }
  bool is_undefined() const { return is(Kind::kUndefined); }
  bool is_none() const { return is(Kind::kNone); }
  bool is_string() const { return is(Kind::kString); }
  bool is_list() const { return is(Kind::kList); }  // of any flavor
  bool is_list(Flavor flavor) const { return is_list() && as_list().flavor == flavor; }
  bool is_sequence_like() const {  // has length and indexes
    return is_list() && as_list().flavor != Flavor::kGenerator &&
           as_list().flavor != Flavor::kDictView;
  }
  bool is_dict() const { return is(Kind::kDict); }
  bool is_number() const {  // as in Python, True and False are numbers
    return is(Kind::kBool) || is(Kind::kInt) || is(Kind::kFloat);
  }
  bool is_integer() const { return is(Kind::kBool) || is(Kind::kInt); }

  // The accessors below are for values of that kind.
  bool as_bool() const { return std::get<bool>(data_); }
  int64_t as_int() const { return is(Kind::kBool) ? as_bool() : std::get<int64_t>(data_); }
  double as_double() const {
    return is(Kind::kFloat) ? std::get<double>(data_) : static_cast<double>(as_int());
  }
  const std::string& as_string() const {
    return *std::get<std::shared_ptr<const std::string>>(data_);
  }
  const List& as_list() const { return *std::get<std::shared_ptr<const List>>(data_); }
  const Dict& as_dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  Namespace& as_namespace() const { return *std::get<std::shared_ptr<Namespace>>(data_); }
  Callable& as_callable() const { return *std::get<std::shared_ptr<Callable>>(data_); }
  std::string_view undefined_hint() const;
  const void* identity() const;  // of the shared object; nullptr for plain values

  // Levels of lists and dicts, this one included; 0 for plain values.
  int nesting_depth() const;

 private:
  std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const List>, std::shared_ptr<const Dict>, std::shared_ptr<Namespace>,
               std::shared_ptr<Callable>>
      data_;
};

struct Dict::Entry {
  Value key;
  Value value;
};

// namespace(...): the one thing that a template can change in place.
struct Namespace {
  Dict attributes;
};

// Lists and dicts nested deeper than this are refused when built.
constexpr int kMaxNesting = 128;

bool truthy(const Value& value);
// Python's ==. Adds the number of values looked at to `work` and throws where it gets out of hand
// (small lists can refer to each other so that they stand for huge ones).
bool equals(const Value& a, const Value& b, size_t& work, int depth = 0);
constexpr size_t kMaxCompareWork = 1'000'000;
// No text made from one value may be longer.
constexpr size_t kMaxTextBytes = size_t{16} << 20;
// Python's str() and repr().
std::string to_str(const Value& value);
void append_str(std::string& out, const Value& value);
void append_repr(std::string& out, const Value& value, int depth = 0);
std::string float_repr(double value);
// "str", "int", "NoneType", ...: Python's name of the type, for messages.
std::string_view type_name(const Value& value);

}  // namespace glmoe::jinja
