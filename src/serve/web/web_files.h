// The files of the web page, compiled into the program: what lies beside this header as .html,
// .css, .js and .svg. CMake makes web_files() from them (cmake/embed_files.cmake); web_routes.h
// serves them.
#pragma once

#include <span>
#include <string_view>

namespace glmoe::serve {

struct WebFile {
  std::string_view path;          // "index.html"
  std::string_view content_type;  // "text/html; charset=utf-8"
  std::string_view data;
  std::string_view etag;  // of the content, with its quotes
};

// All files, in the order of their paths. The views live as long as the program.
std::span<const WebFile> web_files();

}  // namespace glmoe::serve
