# Files as arrays of bytes in a C++ source, so that the program carries them: CMake alone, no tools.
#
#   include(embed_files) and glmoe_embed_web_files(TARGET FOLDER): the web page's files of FOLDER
#   cmake -DFOLDER=... -DOUTPUT=... -P embed_files.cmake: the build calls this for it

set(GLMOE_WEB_PATTERNS *.html *.css *.js *.svg)

function(glmoe_embed_web_files target folder)
  set(globs)
  foreach(pattern ${GLMOE_WEB_PATTERNS})
    list(APPEND globs ${folder}/${pattern})
  endforeach()
  file(GLOB files CONFIGURE_DEPENDS ${globs})
  set(output ${CMAKE_CURRENT_BINARY_DIR}/web_files.cc)
  set(script ${CMAKE_SOURCE_DIR}/cmake/embed_files.cmake)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DFOLDER=${folder} -DOUTPUT=${output} -P ${script}
    DEPENDS ${files} ${script} COMMENT "Embedding the web page" VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()

function(glmoe_content_type path result)
  if(path MATCHES "\\.html$")
    set(type "text/html; charset=utf-8")
  elseif(path MATCHES "\\.css$")
    set(type "text/css; charset=utf-8")
  elseif(path MATCHES "\\.js$")
    set(type "text/javascript; charset=utf-8")
  elseif(path MATCHES "\\.svg$")
    set(type "image/svg+xml")
  else()
    message(FATAL_ERROR "${path}: no content type is known for it")
  endif()
  set(${result} "${type}" PARENT_SCOPE)
endfunction()

function(glmoe_write_web_files folder output)
  set(globs)
  foreach(pattern ${GLMOE_WEB_PATTERNS})
    list(APPEND globs ${folder}/${pattern})
  endforeach()
  file(GLOB files ${globs})
  list(SORT files)
  set(arrays "")
  set(entries "")
  set(count 0)
  foreach(file ${files})
    get_filename_component(name ${file} NAME)
    file(READ ${file} hex HEX)
    file(SHA256 ${file} digest)
    string(SUBSTRING ${digest} 0 20 digest)
    string(LENGTH "${hex}" size)
    math(EXPR size "${size} / 2")
    if(size EQUAL 0)
      message(FATAL_ERROR "${file}: empty, which no file of the web page should be")
    endif()
    # 24 bytes a line: compilers and debuggers dislike lines of 100 KB.
    string(REGEX REPLACE "(................................................)" "\\1\n" hex "${hex}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    glmoe_content_type(${name} type)
    string(APPEND arrays "const unsigned char kFile${count}[] = {\n${bytes}\n};\n")
    string(APPEND entries "    {\"${name}\", \"${type}\", bytes(kFile${count}), R\"(\"${digest}\")\"},\n")
    math(EXPR count "${count} + 1")
  endforeach()
  file(WRITE ${output}.part "// Made by cmake/embed_files.cmake: change the files in src/serve/web instead.
#include \"serve/web/web_files.h\"

#include <cstddef>

namespace glmoe::serve {
namespace {
${arrays}
template <std::size_t N>
std::string_view bytes(const unsigned char (&data)[N]) {
  return {reinterpret_cast<const char*>(data), N};
}

const WebFile kFiles[] = {
${entries}};
}  // namespace

std::span<const WebFile> web_files() { return kFiles; }

}  // namespace glmoe::serve
")
  file(RENAME ${output}.part ${output})
endfunction()

if(CMAKE_SCRIPT_MODE_FILE)
  glmoe_write_web_files(${FOLDER} ${OUTPUT})
endif()
