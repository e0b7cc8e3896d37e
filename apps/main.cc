// glmoe: convert, build, run, serve, chat, verify, inspect, plan, bench and explain GLM-4 MoE
// models.
//
// Exit status: 0 success, 2 wrong usage (a flag or argument), 1 anything else.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "apps/command.h"
#include "base/error.h"
#include "base/log.h"

namespace glmoe::apps {
namespace {

// Flags may be spelled with '-' or '_': "--model-dir" becomes "--model_dir".
std::vector<std::string> normalised_arguments(int argc, char** argv) {
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    if (argument == "--") {  // everything after it is taken as it is
      for (; i < argc; ++i) arguments.emplace_back(argv[i]);
      break;
    }
    if (argument.size() > 2 && argument.starts_with("--")) {
      const size_t end = std::min(argument.find('='), argument.size());
      std::replace(argument.begin() + 2, argument.begin() + static_cast<long>(end), '-', '_');
    }
    arguments.push_back(std::move(argument));
  }
  std::reverse(arguments.begin(), arguments.end());  // the order that CLI11 takes
  return arguments;
}

int fail_with(const std::string& message, int status) {
  print_error(message);
  return status;
}

int run(int argc, char** argv) {
  CLI::App app("GLMoE: an engine for GLM-4 MoE models", "glmoe");
  app.require_subcommand(1);
  app.set_version_flag("--version", "glmoe " GLMOE_VERSION);
  std::string log_level;
  app.add_option("--log_level", log_level, "trace, debug, info, warn, error or off");
  app.fallthrough();
  app.parse_complete_callback([&] {
    if (!log_level.empty()) log::set_level(log_level);
  });
  add_convert(app);
  add_build(app);
  add_run(app);
  add_verify(app);
  add_inspect(app);
  add_plan(app);
  add_bench(app);
  add_explain(app);
  add_serve(app);
  add_chat(app);
  check_whole_numbers(app);
  try {
    app.parse(normalised_arguments(argc, argv));
    return 0;
  } catch (const CLI::RuntimeError& result) {  // a command's own exit status
    return result.get_exit_code();
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::RequiredError& error) {  // a misspelt sub-command is one that is missing
    const std::vector<std::string> rest = app.remaining(/*recurse=*/true);
    const std::string found = rest.empty() ? "" : ", found '" + rest.front() + "'";
    return fail_with(error.what() + found + " (see glmoe --help)", 2);
  } catch (const CLI::ParseError& error) {
    return fail_with(std::string(error.what()) + " (see glmoe --help)", 2);
  }
}

}  // namespace
}  // namespace glmoe::apps

int main(int argc, char** argv) {
  using glmoe::apps::fail_with;
  // A closed pipe and a limit on file sizes become errors of the write, which name the file.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    glmoe::log::init();
    const int status = glmoe::apps::run(argc, argv);
    // An answer that nobody got is no success.
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      return fail_with("standard output: writing failed (a full disk or a closed pipe?)", 1);
    }
    return status;
  } catch (const glmoe::Error& error) {
    const bool usage = error.code() == glmoe::ErrorCode::kInvalidArgument;
    return fail_with(error.what(), usage ? 2 : 1);
  } catch (const std::bad_alloc&) {
    return fail_with("out of memory", 1);
  } catch (const std::exception& error) {
    return fail_with(std::string("internal error: ") + error.what(), 1);
  }
}
