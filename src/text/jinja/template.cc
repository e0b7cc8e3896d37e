#include "text/jinja/template.h"

#include "base/error.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"

namespace glmoe::jinja {
namespace {

constexpr size_t kMaxSourceBytes = size_t{1} << 20;

}  // namespace

struct Template::Impl {
  std::string what;
  Symbols symbols;
  Body body;
};

Template::Template(std::string_view source, std::string what) : impl_(std::make_unique<Impl>()) {
  impl_->what = std::move(what);
  if (source.size() > kMaxSourceBytes) {
    fail(ErrorCode::kCorrupt, "{}: a template of {} bytes, at most {} are accepted", impl_->what,
         source.size(), kMaxSourceBytes);
  }
  impl_->body = parse(tokenize(source, impl_->what), impl_->symbols, impl_->what);
}

Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

std::string Template::render(const std::vector<std::pair<std::string, Value>>& variables,
                             const Limits& limits) const {
  Interpreter interpreter(impl_->symbols, limits);
  std::string out;
  try {
    for (const auto& [name, value] : variables) interpreter.set_global(name, value);
    interpreter.run(impl_->body, out);
  } catch (const RenderError& error) {
    fail(error.code, "{}, line {}: {}", impl_->what, interpreter.line(), error.message);
  }
  return out;
}

}  // namespace glmoe::jinja
