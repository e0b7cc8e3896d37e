// Work that takes long (parsing a large body, tokenising a long prompt) runs on threads of its own,
// so that the strands that send other clients' tokens never wait for it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <utility>

namespace glmoe::serve {

// Runs `task` on `workers` and comes back to the caller's strand; rethrows what it throws. What it
// refers to has to live until then.
inline boost::asio::awaitable<void> offload(boost::asio::thread_pool& workers,
                                            std::function<void()> task) {
  co_await boost::asio::co_spawn(
      workers.get_executor(),
      [](std::function<void()> body) -> boost::asio::awaitable<void> {
        body();
        co_return;
      }(std::move(task)),
      boost::asio::use_awaitable);
}

}  // namespace glmoe::serve
