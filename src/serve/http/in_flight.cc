#include "serve/http/in_flight.h"

#include <utility>
#include <vector>

namespace glmoe::serve {

uint64_t InFlight::add(std::string request_id, Cancel cancel) {
  const std::lock_guard lock(mutex_);
  entries_.emplace(next_, Entry{std::move(request_id), std::move(cancel)});
  return next_++;
}

void InFlight::remove(uint64_t number) {
  const std::lock_guard lock(mutex_);
  entries_.erase(number);
}

size_t InFlight::cancel(const std::string& request_id, CancelReason reason) {
  const std::lock_guard lock(mutex_);
  size_t count = 0;
  for (const auto& [number, entry] : entries_) {
    if (entry.request_id != request_id) continue;
    entry.cancel(reason);
    ++count;
  }
  return count;
}

void InFlight::cancel_all(CancelReason reason) {
  const std::lock_guard lock(mutex_);
  for (const auto& [number, entry] : entries_) entry.cancel(reason);
}

size_t InFlight::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace glmoe::serve
