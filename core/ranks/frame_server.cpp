#include "core/ranks/frame_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "core/check.h"

namespace emer {

namespace {

constexpr std::size_t kMostConnections = 8192;
constexpr std::size_t kMostUnsent = std::size_t{1} << 22;
constexpr double kIntroduction = 10.0;  // seconds

// A rank is a connection or two, and 1024 descriptors, which is what many systems begin with, are soon gone.
void allow_all_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

std::thread start_thread_without_signals(std::function<void()> body) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(std::move(body));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

Frame FrameServer::hello(std::int64_t token) {
  return {.type = kHello, .body = BodyWriter().number(token).take()};
}

FrameServer::FrameServer(Socket listener, std::int64_t token, double tick_seconds, Service& service)
    : listener_(std::move(listener)), token_(token), tick_seconds_(tick_seconds), service_(service) {
  allow_all_descriptors();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
    fail(ErrorKind::kDevice, "no pipe could be made: too many open files");
  wake_out_ = Socket(ends[0]);
  wake_in_ = Socket(ends[1]);
  thread_ = start_thread_without_signals([this] { serve(); });
}

FrameServer::~FrameServer() {
  stop_ = true;
  const char byte = 0;
  static_cast<void>(!::write(wake_in_.descriptor(), &byte, 1));
  thread_.join();
}

void FrameServer::serve() {
  SteadyTime next_tick = seconds_from_now(tick_seconds_);
  std::vector<pollfd> waiting;
  while (!stop_) {
    waiting.clear();
    waiting.push_back({.fd = wake_out_.descriptor(), .events = POLLIN, .revents = 0});
    waiting.push_back(
        {.fd = listener_.descriptor(), .events = static_cast<short>(full_ ? 0 : POLLIN), .revents = 0});
    for (const auto& [id, connection] : connections_)
      waiting.push_back({.fd = connection.socket.descriptor(),
                         .events = static_cast<short>(connection.unsent.empty() ? POLLIN : POLLIN | POLLOUT),
                         .revents = 0});
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(next_tick - std::chrono::steady_clock::now());
    ::poll(waiting.data(), waiting.size(), static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (stop_) return;
    std::size_t at = 2;
    for (auto& [id, connection] : connections_) {
      const short events = waiting[at++].revents;
      if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) read_from(id, connection);
      if ((events & POLLOUT) != 0) flush(connection);
    }
    if (waiting[1].revents != 0) accept_all();
    close_marked();
    if (std::chrono::steady_clock::now() >= next_tick) {
      service_.on_tick(*this);
      close_marked();
      next_tick = seconds_from_now(tick_seconds_);
      full_ = false;
    }
  }
}

void FrameServer::accept_all() {
  while (true) {
    Socket socket(::accept4(listener_.descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket) {
      full_ = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
      return;
    }
    if (connections_.size() >= kMostConnections) continue;
    const int yes = 1;
    ::setsockopt(socket.descriptor(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    Connection& connection = connections_[next_id_++];
    connection.socket = std::move(socket);
    connection.accepted = std::chrono::steady_clock::now();
  }
}

void FrameServer::read_from(int id, Connection& connection) {
  if (connection.closing) return;
  try {
    while (true) {
      const Received received = receive_into(connection.socket, connection.reader);
      while (const std::optional<Frame> frame = connection.reader.next()) {
        if (connection.introduced) {
          service_.on_frame(*this, id, *frame);
          continue;
        }
        BodyReader body(frame->body);
        if (frame->type != kHello || body.number() != token_) fail_input("a stranger");
        body.end();
        connection.introduced = true;
      }
      if (received == Received::kClosed || received == Received::kCut) connection.closing = true;
      connection.cut = received == Received::kCut;
      if (received != Received::kSome) return;
    }
  } catch (const Error&) {
    connection.closing = true;
  }
}

void FrameServer::send(int id, const Frame& frame) {
  const auto found = connections_.find(id);
  if (found == connections_.end() || found->second.closing) return;
  Connection& connection = found->second;
  connection.unsent += encode(frame);
  if (connection.unsent.size() > kMostUnsent) connection.closing = true;
  flush(connection);
}

void FrameServer::flush(Connection& connection) {
  while (!connection.unsent.empty() && !connection.closing) {
    const ssize_t count = ::send(connection.socket.descriptor(), connection.unsent.data(),
                                 connection.unsent.size(), MSG_NOSIGNAL);
    if (count > 0)
      connection.unsent.erase(0, static_cast<std::size_t>(count));
    else if (errno == EAGAIN || errno == EWOULDBLOCK)
      return;
    else if (errno != EINTR) {
      connection.cut = errno != EPIPE && errno != ECONNRESET;
      connection.closing = true;
    }
  }
}

void FrameServer::close_marked() {
  const SteadyTime oldest = seconds_from_now(-kIntroduction);
  for (auto& [id, connection] : connections_)
    if (!connection.introduced && connection.accepted < oldest) connection.closing = true;
  for (auto i = connections_.begin(); i != connections_.end();) {
    if (!i->second.closing) {
      ++i;
      continue;
    }
    const int id = i->first;
    const bool known = i->second.introduced, cut = i->second.cut;
    i = connections_.erase(i);
    if (known) service_.on_close(*this, id, cut);
  }
}

}  // namespace emer
