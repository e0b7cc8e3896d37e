// How late a token is: many open event streams over loopback that all get a token at every step of
// an engine without a model (the real loop, scheduler and tokenizer). The token says in which step
// it was made; the client (one thread, epoll) compares the time at which it reads it with the time
// at which that step ended. Server, engine and client share the machine's cores. Processor time is
// that of the kernel, too: sending to loopback is receiving as well, which the sender pays.
//
//   streams_bench MODEL_FOLDER [streams] [tokens] [step_ms]       1000 100 50 by default
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "llm/fake_llm.h"
#include "serve/server.h"

namespace {

using namespace glmoe;
using namespace glmoe::serve;
using std::chrono::steady_clock;

int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             steady_clock::now().time_since_epoch())
      .count();
}

double cpu_us(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

// Which step made a token: the text of step i is texts[i % texts.size()].
struct StepMarks {
  std::vector<int32_t> ids;
  std::unordered_map<std::string, size_t> index_of;
  std::array<std::atomic<int64_t>, 256> ended_us{};

  // Tokens of letters alone, so that JSON shows them as they are.
  explicit StepMarks(const LLM& llm) {
    for (int32_t id = 0; id < llm.config().vocab_size && ids.size() < ended_us.size(); ++id) {
      const std::string text = llm.token_bytes(id);
      const bool letters = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return std::isalpha(static_cast<unsigned char>(c)) != 0;
      });
      if (letters && index_of.emplace(text, ids.size()).second) ids.push_back(id);
    }
  }
  void mark(StepResult& result) {
    const size_t index = result.step_id % ids.size();
    for (SequenceResult& sequence : result.sequences) sequence.token_id = ids[index];
    ended_us[index] = now_us();
  }
};

int connect_to(uint16_t port, const std::string& request) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    std::perror("connect");
    std::exit(1);
  }
  if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) std::exit(1);
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

struct Delays {
  std::vector<int64_t> us;  // of every token
  size_t num_unknown = 0;   // events that were no single token
};

// Takes the tokens of what was read at `now`. True at the stream's end.
bool take_tokens(std::string_view text, int64_t now, const StepMarks& marks, Delays& delays) {
  constexpr std::string_view kKey = "\"text\":\"", kEnd = "[DONE]";
  for (size_t at = text.find(kKey); at != std::string_view::npos; at = text.find(kKey, at + 1)) {
    const size_t begin = at + kKey.size();
    const std::string token(text.substr(begin, text.find('"', begin) - begin));
    const auto mark = marks.index_of.find(token);
    if (mark != marks.index_of.end()) {
      delays.us.push_back(now - marks.ended_us[mark->second].load());
    } else if (!token.empty()) {
      ++delays.num_unknown;
    }
  }
  return text.find(kEnd) != std::string_view::npos;
}

// Takes what has come. True at the stream's end.
bool read_socket(int fd, std::vector<char>& buffer, const StepMarks& marks, Delays& delays) {
  for (;;) {
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    const int64_t now = now_us();
    if (got <= 0) return got == 0 || errno != EAGAIN;
    if (take_tokens({buffer.data(), static_cast<size_t>(got)}, now, marks, delays)) return true;
    if (static_cast<size_t>(got) < buffer.size()) return false;  // there was no more
  }
}

// Reads all streams to their ends.
Delays read_streams(const std::vector<int>& sockets, const StepMarks& marks) {
  const int poll = ::epoll_create1(0);
  for (const int fd : sockets) {
    // Told once of what has come: each socket is read until nothing is left.
    epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.fd = fd}};
    ::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
  }
  Delays delays;
  std::vector<char> buffer(1 << 16);
  for (size_t open = sockets.size(); open > 0;) {
    epoll_event ready[256];
    const int count = ::epoll_wait(poll, ready, 256, 20'000);
    if (count <= 0) break;
    for (int i = 0; i < count; ++i) {
      if (!read_socket(ready[i].data.fd, buffer, marks, delays)) continue;
      ::epoll_ctl(poll, EPOLL_CTL_DEL, ready[i].data.fd, nullptr);
      --open;
    }
  }
  ::close(poll);
  return delays;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: streams_bench MODEL_FOLDER [streams] [tokens] [step_ms]\n");
    return 2;
  }
  const auto argument = [&](int index, int fallback) {
    return argc > index ? std::max(1, std::atoi(argv[index])) : fallback;
  };
  const int num_streams = argument(2, 1000), num_tokens = argument(3, 100);
  const int step_ms = argument(4, 50);
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);

  std::unique_ptr<StepMarks> marks;
  std::atomic<bool> marking{false};
  glmoe::FakeLlmOptions fake{.folder = argv[1], .step_ms = static_cast<double>(step_ms)};
  fake.llm.max_batch_size = num_streams;
  fake.llm.max_queued_requests = num_streams;
  fake.llm.max_num_tokens = 8 * num_streams;
  fake.llm.max_seq_len = 512;
  fake.llm.kv_cache.max_tokens = int64_t{1} * num_streams * (num_tokens + 64);
  fake.after_step = [&](const StepPlan&, StepResult& result) {
    if (marking.load()) marks->mark(result);
  };
  LLM llm = glmoe::make_fake_llm(std::move(fake));
  const LlmText text(llm);
  marks = std::make_unique<StepMarks>(llm);
  ServerOptions options;
  options.port = options.admin_port = 0;
  options.limits.max_connections = num_streams + 16;
  options.log_requests = false;
  Server server(options);
  server.start();
  server.set_engine(llm, {.text = &text, .model_names = {"m"}, .max_model_len = llm.max_seq_len()});
  marking = true;

  const std::string body = R"({"prompt":"Once","stream":true,"ignore_eos":true,"max_tokens":)" +
                           std::to_string(num_tokens) + "}";
  const std::string request =
      "POST /v1/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
      "Content-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  std::vector<int> sockets;
  for (int i = 0; i < num_streams; ++i) sockets.push_back(connect_to(server.port(), request));
  const int64_t begin = now_us();
  const double cpu_begin = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
  const double client_begin = cpu_us(CLOCK_THREAD_CPUTIME_ID);
  Delays delays = read_streams(sockets, *marks);
  const double seconds = static_cast<double>(now_us() - begin) / 1e6;
  const double client_us = cpu_us(CLOCK_THREAD_CPUTIME_ID) - client_begin;
  const double server_us = cpu_us(CLOCK_PROCESS_CPUTIME_ID) - cpu_begin - client_us;
  for (const int fd : sockets) ::close(fd);

  const size_t wanted = static_cast<size_t>(num_streams) * static_cast<size_t>(num_tokens);
  if (delays.us.empty()) {
    std::fprintf(stderr, "no token came\n");
    return 1;
  }
  std::sort(delays.us.begin(), delays.us.end());
  const auto at = [&](double share) {
    const auto index = static_cast<size_t>(share * static_cast<double>(delays.us.size() - 1));
    return static_cast<double>(delays.us[index]) / 1000.0;
  };
  std::printf(
      "%d streams of %d tokens, steps of %d ms: from the step's end to the client p50 %.2f "
      "ms, p90 %.2f ms, p99 %.2f ms, max %.2f ms (%zu of %zu tokens known); %.0f tokens/s; "
      "processor time a token: server and engine %.1f us, client %.1f us\n",
      num_streams, num_tokens, step_ms, at(0.5), at(0.9), at(0.99), at(1.0), delays.us.size(),
      wanted, static_cast<double>(wanted) / seconds, server_us / static_cast<double>(wanted),
      client_us / static_cast<double>(wanted));
  return 0;
}
