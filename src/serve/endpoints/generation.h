// Runs one API call: requests into the engine, its deltas through the call's writer to the client.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string_view>

#include "serve/api/api_call.h"
#include "serve/endpoints/endpoints.h"
#include "serve/http/handler.h"

namespace glmoe::serve {

using ReadCall = ApiCall (*)(std::string_view body, const ApiContext& context);

// Throws ApiError or Error where nothing was sent yet; a failure after that ends the events with
// one that says so. Returns early, cancelling, when the client has gone.
boost::asio::awaitable<void> run_generation(EndpointContext& context, ReadCall read,
                                            const HttpRequest& request, ResponseWriter& response);

// Throws ApiError 415 unless the body says that it is JSON: browsers send other types to foreign
// servers without asking.
void require_json(const HttpRequest& request);

}  // namespace glmoe::serve
