#include "apps/chat_input.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include "base/json.h"

namespace glmoe::apps {
namespace {

constexpr const char* kBlock = "\"\"\"";

enum class Line { kWhole, kEnd, kInterrupted };

// Holds ctrl-C back but for the wait itself: one that came between two waits would otherwise be
// taken by its handler, and the read after it would go on as if nothing had happened.
class HeldInterrupt {
 public:
  HeldInterrupt() {
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &held, &before_);
  }
  ~HeldInterrupt() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  HeldInterrupt(const HeldInterrupt&) = delete;

  // Until there is something to read; false where ctrl-C came first.
  bool wait_readable() const {
    pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    return ::ppoll(&input, 1, nullptr, &before_) >= 0 || errno != EINTR;
  }

 private:
  sigset_t before_;
};

// From the descriptor itself, which alone can be waited for.
Line read_line(std::string& line, const HeldInterrupt& held) {
  static std::string buffer;
  for (;;) {
    if (const size_t end = buffer.find('\n'); end != std::string::npos) {
      line = buffer.substr(0, end);
      buffer.erase(0, end + 1);
      if (line.ends_with('\r')) line.pop_back();
      return Line::kWhole;
    }
    if (!held.wait_readable()) {
      buffer.clear();
      return Line::kInterrupted;
    }
    char chunk[4096];
    const ssize_t got = ::read(STDIN_FILENO, chunk, sizeof(chunk));
    if (got > 0) {
      buffer.append(chunk, static_cast<size_t>(got));
      continue;
    }
    if (buffer.empty()) return Line::kEnd;
    line.swap(buffer);  // the last line has no end
    buffer.clear();
    return Line::kWhole;
  }
}

void show(const char* prompt) {
  if (::isatty(STDIN_FILENO) == 0) return;
  std::fputs(prompt, stderr);
  std::fflush(stderr);
}

bool interrupted(std::string& message) {
  std::fputs("\n", stderr);
  message.clear();
  return true;
}

}  // namespace

std::string valid_utf8(const std::string& text) {
  const std::string json = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  return Json::parse(json).get<std::string>();
}

bool read_message(const char* prompt, std::string& message) {
  message.clear();
  const HeldInterrupt held;
  show(prompt);
  std::string line;
  bool in_block = false, more = false;
  for (;;) {
    const Line kind = read_line(line, held);
    if (kind == Line::kInterrupted) return interrupted(message);
    if (kind == Line::kEnd) return in_block || more;
    if (!more && !in_block && line == kBlock) {
      in_block = true;
    } else if (in_block) {
      if (line == kBlock) return true;
      message += message.empty() ? line : "\n" + line;
    } else {
      const bool continued = line.ends_with('\\');
      if (continued) line.pop_back();
      message += more ? "\n" + line : line;
      more = continued;
      if (!more) return true;
    }
    show("... ");
  }
}

}  // namespace glmoe::apps
