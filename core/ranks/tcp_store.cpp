#include "core/ranks/tcp_store.h"

#include <charconv>

#include "core/check.h"
#include "core/text.h"

namespace emer {

namespace {

constexpr std::uint8_t kAnswer = 16;
constexpr double kTick = 1.0;  // seconds; nothing is due, but strangers that say nothing are sent away
constexpr double kSend = 60.0;

std::int64_t to_number(const std::string& text) {
  std::int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end)
    fail_input("the store holds {} where a number was asked for", in_quotes(text));
  return value;
}

}  // namespace

Frame to_frame(const StoreRequest& request) {
  BodyWriter body;
  body.text(request.key);
  if (request.kind == StoreRequest::Kind::kSet) body.text(request.value);
  if (request.kind == StoreRequest::Kind::kAdd) body.number(request.delta);
  return {.type = static_cast<std::uint8_t>(request.kind), .body = body.take()};
}

StoreRequest parse_store_request(const Frame& frame) {
  if (frame.type < static_cast<int>(StoreRequest::Kind::kSet) ||
      frame.type > static_cast<int>(StoreRequest::Kind::kAdd))
    fail_input("the store knows no request {}", frame.type);
  StoreRequest request{.kind = static_cast<StoreRequest::Kind>(frame.type), .key = {}, .value = {}};
  BodyReader body(frame.body);
  request.key = body.text();
  if (request.kind == StoreRequest::Kind::kSet) request.value = body.text();
  if (request.kind == StoreRequest::Kind::kAdd) request.delta = body.number();
  body.end();
  if (request.key.empty() || request.key.size() > kLongestStoreKey ||
      request.value.size() > kLongestStoreValue)
    fail_input("a key of {} bytes with a value of {}: beyond what the store takes", request.key.size(),
               request.value.size());
  return request;
}

TcpStoreServer::TcpStoreServer(Socket listener, std::int64_t token)
    : port_(port_of(listener)), server_(std::move(listener), token, kTick, service_) {}

void TcpStoreServer::Service::on_frame(FrameServer& server, int connection, const Frame& frame) {
  const auto answer = [&](int to, const std::string& text) {
    server.send(to, {.type = kAnswer, .body = BodyWriter().text(text).take()});
  };
  const StoreRequest request = parse_store_request(frame);
  const auto found = values.find(request.key);
  if (request.kind == StoreRequest::Kind::kGet) {
    if (found != values.end())
      answer(connection, found->second);
    else
      waiting.emplace(request.key, connection);
    return;
  }
  if (found == values.end() && values.size() >= kMostStoreKeys) fail_input("the store is full");
  std::string value = request.value;
  if (request.kind == StoreRequest::Kind::kAdd) {
    const std::int64_t before = found == values.end() ? 0 : to_number(found->second);
    std::int64_t sum = 0;
    if (__builtin_add_overflow(before, request.delta, &sum)) fail_input("the sum does not fit");
    value = std::to_string(sum);
  }
  values[request.key] = value;
  answer(connection, value);
  const auto [first, last] = waiting.equal_range(request.key);
  for (auto i = first; i != last; ++i) answer(i->second, value);
  waiting.erase(first, last);
}

void TcpStoreServer::Service::on_close(FrameServer&, int connection, bool) {
  std::erase_if(waiting, [&](const auto& entry) { return entry.second == connection; });
}

TcpStore::TcpStore(const std::string& host, int port, SteadyTime deadline, std::int64_t token)
    : place_(fmt::format("rank 0 at {} port {}", in_quotes(host), port)),
      socket_(connect_until(host, port, deadline, "rank 0")) {
  if (!send_frame(socket_, FrameServer::hello(token), deadline))
    fail(ErrorKind::kDevice, "{} takes no messages", place_);
}

std::string TcpStore::ask(const StoreRequest& request, double seconds) {
  if (!send_frame(socket_, to_frame(request), seconds_from_now(kSend)))
    fail(ErrorKind::kDevice, "{} takes no messages", place_);
  const SteadyTime deadline = seconds_from_now(seconds);
  while (true) {
    if (const std::optional<Frame> frame = reader_.next()) {
      BodyReader body(frame->body);
      if (frame->type != kAnswer) fail_input("{} gives an answer of type {}", place_, frame->type);
      std::string value = body.text();
      body.end();
      return value;
    }
    if (!wait_readable(socket_, deadline))
      fail(ErrorKind::kDevice, "{} has not got {} within {:g} s: a rank is missing", place_,
           in_quotes(request.key), seconds);
    if (const Received received = receive_into(socket_, reader_);
        received == Received::kClosed || received == Received::kCut)
      fail(ErrorKind::kDevice, "{} closed the connection; is it a rank of this run?", place_);
  }
}

void TcpStore::set(const std::string& key, const std::string& value) {
  ask({.kind = StoreRequest::Kind::kSet, .key = key, .value = value}, kSend);
}

std::string TcpStore::get(const std::string& key, double seconds) {
  return ask({.kind = StoreRequest::Kind::kGet, .key = key, .value = {}}, seconds);
}

std::int64_t TcpStore::add(const std::string& key, std::int64_t delta, double seconds) {
  return to_number(ask({.kind = StoreRequest::Kind::kAdd, .key = key, .value = {}, .delta = delta}, seconds));
}

}  // namespace emer
