// The requests that are being answered, by their ids. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "serve/http/handler.h"

namespace glmoe::serve {

class InFlight {
 public:
  using Cancel = std::function<void(CancelReason)>;  // called from any thread; must not block

  // One entry for as long as the ticket lives.
  class Ticket {
   public:
    Ticket(InFlight& owner, uint64_t number) : owner_(owner), number_(number) {}
    ~Ticket() { owner_.remove(number_); }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

   private:
    InFlight& owner_;
    uint64_t number_;
  };

  uint64_t add(std::string request_id, Cancel cancel);
  // How many requests had this id.
  size_t cancel(const std::string& request_id, CancelReason reason);
  void cancel_all(CancelReason reason);
  size_t size() const;

 private:
  struct Entry {
    std::string request_id;
    Cancel cancel;
  };
  void remove(uint64_t number);

  mutable std::mutex mutex_;
  std::map<uint64_t, Entry> entries_;
  uint64_t next_ = 1;
};

}  // namespace glmoe::serve
