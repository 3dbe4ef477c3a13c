#include "core/ranks/sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>

#include "core/check.h"
#include "core/text.h"

namespace emer {

namespace {

constexpr int kBacklog = 1024;
constexpr std::chrono::milliseconds kRetry{100};
constexpr std::chrono::seconds kOneAddress{
    5};  // for an address that does not answer, before the next is tried

int milliseconds_until(SteadyTime deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1 << 30));
}

bool wait_for(int descriptor, short events, SteadyTime deadline) {
  while (true) {
    pollfd waiting{.fd = descriptor, .events = events, .revents = 0};
    const int ready = ::poll(&waiting, 1, milliseconds_until(deadline));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

void send_at_once(int descriptor) {
  const int yes = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

Socket connect_to_address(const addrinfo& address, SteadyTime deadline, std::string& why) {
  Socket socket(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) {
    why = std::strerror(errno);
    return socket;
  }
  int error = 0;
  if (::connect(socket.descriptor(), address.ai_addr, address.ai_addrlen) != 0) {
    error = errno;
    if (error == EINPROGRESS) {
      socklen_t size = sizeof error;
      if (!wait_for(socket.descriptor(), POLLOUT, deadline))
        error = ETIMEDOUT;
      else
        ::getsockopt(socket.descriptor(), SOL_SOCKET, SO_ERROR, &error, &size);
    }
  }
  if (error == 0 && is_its_own_peer(socket)) error = ECONNREFUSED;
  if (error != 0) {
    why = std::strerror(error);
    socket.close();
    return socket;
  }
  send_at_once(socket.descriptor());
  return socket;
}

Socket try_listen(int family, int port) {
  Socket socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return socket;
  const int yes = 1, no = 0;
  ::setsockopt(socket.descriptor(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  int bound = -1;
  if (family == AF_INET6) {
    ::setsockopt(socket.descriptor(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_addr = in6addr_any;
    any.sin6_port = htons(static_cast<std::uint16_t>(port));
    bound = ::bind(socket.descriptor(), reinterpret_cast<const sockaddr*>(&any), sizeof any);
  } else {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_ANY);
    any.sin_port = htons(static_cast<std::uint16_t>(port));
    bound = ::bind(socket.descriptor(), reinterpret_cast<const sockaddr*>(&any), sizeof any);
  }
  if (bound != 0 || ::listen(socket.descriptor(), kBacklog) != 0) {
    const int error = errno;
    socket.close();
    errno = error;
  }
  return socket;
}

}  // namespace

SteadyTime seconds_from_now(double seconds) {
  return std::chrono::steady_clock::now() + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                                                std::chrono::duration<double>(seconds));
}

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    close();
    descriptor_ = std::exchange(other.descriptor_, -1);
  }
  return *this;
}

void Socket::close() noexcept {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

Socket listen_on(int port) {
  Socket socket = try_listen(AF_INET6, port);
  if (!socket && errno != EADDRINUSE) socket = try_listen(AF_INET, port);  // a host without IPv6
  if (!socket)
    fail(ErrorKind::kDevice, "{} cannot listen on TCP port {}: {}; choose another MASTER_PORT", host_name(),
         port, std::strerror(errno));
  return socket;
}

bool is_its_own_peer(const Socket& socket) {
  sockaddr_storage own{}, peer{};
  socklen_t own_size = sizeof own, peer_size = sizeof peer;
  return ::getsockname(socket.descriptor(), reinterpret_cast<sockaddr*>(&own), &own_size) == 0 &&
         ::getpeername(socket.descriptor(), reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0 &&
         own_size == peer_size && std::memcmp(&own, &peer, own_size) == 0;
}

int port_of(const Socket& listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  EMER_CHECK(::getsockname(listener.descriptor(), reinterpret_cast<sockaddr*>(&address), &size) == 0,
             "port_of: no listener");
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

Socket connect_to(const std::string& host, int port, SteadyTime deadline, std::string& why) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* first = nullptr;
  if (const int status = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &first);
      status != 0) {
    why = ::gai_strerror(status);
    return Socket();
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(first, &::freeaddrinfo);
  for (const addrinfo* address = first; address != nullptr; address = address->ai_next) {
    Socket socket =
        connect_to_address(*address, std::min(deadline, std::chrono::steady_clock::now() + kOneAddress), why);
    if (socket) return socket;
  }
  return Socket();
}

Socket connect_until(const std::string& host, int port, SteadyTime deadline, const std::string& what) {
  std::string why = "no time was left";
  while (std::chrono::steady_clock::now() < deadline) {
    Socket socket = connect_to(host, port, deadline, why);
    if (socket) return socket;
    std::this_thread::sleep_for(kRetry);
  }
  fail(ErrorKind::kDevice, "no answer from {} at {} port {}: {}", what, in_quotes(host), port, why);
}

std::vector<std::string> own_addresses() {
  std::vector<std::string> reachable, local;
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return {"127.0.0.1"};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> all(first, &::freeifaddrs);
  for (const ifaddrs* i = first; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || (i->ifa_flags & IFF_UP) == 0) continue;
    const int family = i->ifa_addr->sa_family;
    char text[INET6_ADDRSTRLEN] = {};
    if (family == AF_INET) {
      ::inet_ntop(family, &reinterpret_cast<const sockaddr_in*>(i->ifa_addr)->sin_addr, text, sizeof text);
    } else if (family == AF_INET6) {
      const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(i->ifa_addr)->sin6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(&address)) continue;  // means nothing without the name of an interface
      ::inet_ntop(family, &address, text, sizeof text);
    } else {
      continue;
    }
    ((i->ifa_flags & IFF_LOOPBACK) != 0 ? local : reachable).emplace_back(text);
  }
  return reachable.empty() ? local : reachable;
}

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "unknown host";
  return name;
}

bool send_frame(const Socket& socket, const Frame& frame, SteadyTime deadline) {
  const std::string bytes = encode(frame);
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t count = ::send(socket.descriptor(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count > 0) {
      sent += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!wait_for(socket.descriptor(), POLLOUT, deadline)) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

Received receive_into(const Socket& socket, FrameReader& reader) {
  char bytes[16384];
  while (true) {
    const ssize_t count = ::recv(socket.descriptor(), bytes, sizeof bytes, 0);
    if (count > 0) {
      reader.add({bytes, static_cast<std::size_t>(count)});
      return Received::kSome;
    }
    if (count == 0) return Received::kClosed;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Received::kNothing;
    if (errno == ECONNRESET || errno == EPIPE) return Received::kClosed;
    if (errno != EINTR) return Received::kCut;
  }
}

bool wait_readable(const Socket& socket, SteadyTime deadline) {
  return wait_for(socket.descriptor(), POLLIN, deadline);
}

}  // namespace emer
