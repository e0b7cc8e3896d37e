// Jinja's filters on lists and dicts. The others: filters_text.cc, filters_number.cc.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include "text/jinja/library.h"
#include "text/jinja/operators.h"

namespace glmoe::jinja {
namespace {

const Value& subject(const Arguments& arguments) { return arguments.positional.at(0); }

Value default_filter(Interpreter&, Arguments& arguments) {
  const Bound bound("default", arguments, {"value", "default_value", "boolean"}, 1);
  const Value& value = bound.at(0);
  if (value.is_undefined() || (bound.flag(2, false) && !truthy(value))) {
    return bound.find(1) ? bound.at(1) : Value("");
  }
  return value;
}

Value length_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("length", arguments, {"value"}, 1);
  if (bound.at(0).is_string()) interpreter.step(bound.at(0).as_string().size() / 256);
  return length(bound.at(0));
}

Value list_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("list", arguments, {"value"}, 1);
  return interpreter.make_list(iterate(interpreter, bound.at(0)));
}

Value items_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("items", arguments, {"value"}, 1);
  std::vector<Value> items;
  if (!bound.at(0).is_undefined()) {
    if (!bound.at(0).is_dict()) throw RenderError{"items: a mapping was wanted"};
    for (const auto& entry : bound.at(0).as_dict().entries()) {
      items.push_back(interpreter.make_list({entry.key, entry.value}, Flavor::kTuple));
    }
  }
  return interpreter.make_list(std::move(items), Flavor::kGenerator);
}

Value first_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("first", arguments, {"value"}, 1);
  const auto items = iterate(interpreter, bound.at(0));
  return items.empty() ? Value::undefined("no first item, the sequence was empty") : items.front();
}

void require_reversible(const Value& value) {
  if (value.is_list(Flavor::kGenerator)) {
    throw RenderError{"'generator' object is not reversible"};
  }
}

Value last_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("last", arguments, {"value"}, 1);
  require_reversible(bound.at(0));
  const auto items = iterate(interpreter, bound.at(0));
  return items.empty() ? Value::undefined("no last item, the sequence was empty") : items.back();
}

Value reverse_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("reverse", arguments, {"value"}, 1);
  auto items = iterate(interpreter, bound.at(0));
  std::reverse(items.begin(), items.end());
  if (!bound.at(0).is_string()) return interpreter.make_list(std::move(items), Flavor::kGenerator);
  std::string text;
  for (const Value& item : items) text += item.as_string();
  return interpreter.make_string(std::move(text));
}

// "a.b.0" from an item; an integer attribute indexes.
Value attribute_path(Interpreter& interpreter, Value item, const Value& path) {
  if (path.is_integer()) return interpreter.subscript(item, path);
  const std::string text = to_str(path);
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    int64_t index = 0;
    const auto [last, error] = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool numeric = error == std::errc() && last == part.data() + part.size() && index >= 0;
    item = interpreter.subscript(item, numeric ? Value(index) : Value(part));
    begin = end + 1;
  }
  return item;
}

// The filter's key: the item or its attribute, strings in lower case unless case_sensitive.
Value sort_key(Interpreter& interpreter, const Value& item, const Value* path,
               bool case_sensitive) {
  if (path != nullptr && path->is_string() && path->as_string().find(',') != std::string::npos) {
    std::vector<Value> keys;  // "a,b": by a, then by b
    const Value parts =
        call_string_method(interpreter, path->as_string(), "split", Arguments{{Value(",")}, {}});
    for (const Value& part : parts.as_list().items) {
      keys.push_back(sort_key(interpreter, item, &part, case_sensitive));
    }
    return interpreter.make_list(std::move(keys));
  }
  Value key = path ? attribute_path(interpreter, item, *path) : item;
  if (!case_sensitive && key.is_string()) key = interpreter.make_string(lower(key.as_string()));
  return key;
}

std::vector<Value> sorted(Interpreter& interpreter, std::vector<Value> items, const Value* path,
                          bool case_sensitive, bool reverse) {
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& item : items) {
    Value key = sort_key(interpreter, item, path, case_sensitive);
    keyed.emplace_back(std::move(key), std::move(item));
  }
  // Python keeps equal items in order also when reversed.
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? order(interpreter, b.first, a.first, "<") == -1
                   : order(interpreter, a.first, b.first, "<") == -1;
  });
  items.clear();
  for (auto& [key, item] : keyed) items.push_back(std::move(item));
  return items;
}

Value sort_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("sort", arguments, {"value", "reverse", "case_sensitive", "attribute"}, 1);
  const Value* path = bound.given(3) ? bound.find(3) : nullptr;
  return interpreter.make_list(sorted(interpreter, iterate(interpreter, bound.at(0)), path,
                                      bound.flag(2, false), bound.flag(1, false)));
}

Value dictsort_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("dictsort", arguments, {"value", "case_sensitive", "by", "reverse"}, 1);
  if (!bound.at(0).is_dict()) throw RenderError{"dictsort: a mapping was wanted"};
  const std::string by = bound.string(2, "key");
  if (by != "key" && by != "value") {
    throw RenderError{"dictsort: by can be either \"key\" or \"value\""};
  }
  std::vector<Value> items;
  for (const auto& entry : bound.at(0).as_dict().entries()) {
    items.push_back(interpreter.make_list({entry.key, entry.value}, Flavor::kTuple));
  }
  const Value index(by == "key" ? 0 : 1);
  return interpreter.make_list(
      sorted(interpreter, std::move(items), &index, bound.flag(1, false), bound.flag(3, false)));
}

Value unique_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("unique", arguments, {"value", "case_sensitive", "attribute"}, 1);
  const Value* path = bound.given(2) ? bound.find(2) : nullptr;
  std::vector<Value> seen, kept;
  for (const Value& item : iterate(interpreter, bound.at(0))) {
    Value key = sort_key(interpreter, item, path, bound.flag(1, false));
    const bool known = std::any_of(seen.begin(), seen.end(), [&](const Value& other) {
      return same(interpreter, other, key);
    });
    if (known) continue;
    seen.push_back(std::move(key));
    kept.push_back(item);
  }
  return interpreter.make_list(std::move(kept), Flavor::kGenerator);
}

Value extreme(Interpreter& interpreter, Arguments& arguments, std::string_view name, int sign) {
  const Bound bound(name, arguments, {"value", "case_sensitive", "attribute"}, 1);
  const Value* path = bound.given(2) ? bound.find(2) : nullptr;
  const auto items = iterate(interpreter, bound.at(0));
  if (items.empty()) return Value::undefined("no aggregated item, the sequence was empty");
  Value best = items[0];
  Value best_key = sort_key(interpreter, best, path, bound.flag(1, false));
  for (size_t i = 1; i < items.size(); ++i) {
    Value key = sort_key(interpreter, items[i], path, bound.flag(1, false));
    if (order(interpreter, key, best_key, "<") != sign) continue;
    best = items[i];
    best_key = std::move(key);
  }
  return best;
}

Value min_filter(Interpreter& interpreter, Arguments& arguments) {
  return extreme(interpreter, arguments, "min", -1);
}
Value max_filter(Interpreter& interpreter, Arguments& arguments) {
  return extreme(interpreter, arguments, "max", 1);
}

Value sum_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("sum", arguments, {"value", "attribute", "start"}, 1);
  const Value* path = bound.given(1) ? bound.find(1) : nullptr;
  Value total = bound.find(2) ? bound.at(2) : Value(0);
  for (const Value& item : iterate(interpreter, bound.at(0))) {
    total = binary(interpreter, "+", total, path ? attribute_path(interpreter, item, *path) : item);
  }
  return total;
}

// --- filters that apply a filter or test to each item ---

Value map_filter(Interpreter& interpreter, Arguments& arguments) {
  std::vector<Value> out;
  const auto items = iterate(interpreter, subject(arguments));
  if (arguments.positional.size() == 1) {
    const Value *path = nullptr, *fallback = nullptr;
    for (const auto& [name, value] : arguments.named) {
      if (name == "attribute") {
        path = &value;
      } else if (name == "default") {
        fallback = &value;
      } else {
        throw RenderError{fmt::format("map() has no argument '{}'", name)};
      }
    }
    if (path == nullptr) throw RenderError{"map needs a filter's name or an attribute"};
    for (const Value& item : items) {
      Value value = attribute_path(interpreter, item, *path);
      if (value.is_undefined() && fallback != nullptr) value = *fallback;
      out.push_back(std::move(value));
    }
  } else {
    const std::string name = to_str(arguments.positional[1]);
    for (const Value& item : items) {
      Arguments inner;
      inner.positional.push_back(item);
      inner.positional.insert(inner.positional.end(), arguments.positional.begin() + 2,
                              arguments.positional.end());
      inner.named = arguments.named;
      out.push_back(interpreter.apply_filter(name, inner));
    }
  }
  return interpreter.make_list(std::move(out), Flavor::kGenerator);
}

// select, reject (by the item) and selectattr, rejectattr (by its attribute).
Value choose(Interpreter& interpreter, Arguments& arguments, bool by_attribute, bool wanted) {
  std::vector<Value> out;
  size_t next = 1;
  const Value* path = nullptr;
  if (by_attribute) {
    if (arguments.positional.size() < 2) throw RenderError{"an attribute's name is missing"};
    path = &arguments.positional[next++];
  }
  const bool has_test = arguments.positional.size() > next;
  const std::string test = has_test ? to_str(arguments.positional[next++]) : std::string();
  for (const Value& item : iterate(interpreter, subject(arguments))) {
    const Value value = path ? attribute_path(interpreter, item, *path) : item;
    bool holds = false;
    if (has_test) {
      Arguments inner;
      inner.positional.push_back(value);
      inner.positional.insert(inner.positional.end(),
                              arguments.positional.begin() + static_cast<ptrdiff_t>(next),
                              arguments.positional.end());
      inner.named = arguments.named;
      holds = interpreter.apply_test(test, inner);
    } else {
      holds = truthy(value);
    }
    if (holds == wanted) out.push_back(item);
  }
  return interpreter.make_list(std::move(out), Flavor::kGenerator);
}

Value select_filter(Interpreter& interpreter, Arguments& arguments) {
  return choose(interpreter, arguments, false, true);
}
Value reject_filter(Interpreter& interpreter, Arguments& arguments) {
  return choose(interpreter, arguments, false, false);
}
Value selectattr_filter(Interpreter& interpreter, Arguments& arguments) {
  return choose(interpreter, arguments, true, true);
}
Value rejectattr_filter(Interpreter& interpreter, Arguments& arguments) {
  return choose(interpreter, arguments, true, false);
}

struct Entry {
  std::string_view name;
  Filter filter;
};
constexpr Entry kFilters[] = {
    {"count", length_filter},
    {"d", default_filter},
    {"default", default_filter},
    {"dictsort", dictsort_filter},
    {"first", first_filter},
    {"items", items_filter},
    {"last", last_filter},
    {"length", length_filter},
    {"list", list_filter},
    {"map", map_filter},
    {"max", max_filter},
    {"min", min_filter},
    {"reject", reject_filter},
    {"rejectattr", rejectattr_filter},
    {"reverse", reverse_filter},
    {"select", select_filter},
    {"selectattr", selectattr_filter},
    {"sort", sort_filter},
    {"sum", sum_filter},
    {"unique", unique_filter},
};

}  // namespace

Filter find_filter(std::string_view name) {
  for (const Entry& entry : kFilters) {
    if (entry.name == name) return entry.filter;
  }
  if (const Filter filter = find_number_filter(name)) return filter;
  return find_string_filter(name);
}

}  // namespace glmoe::jinja
