// core/ranks/sockets.h - TCP between ranks, IPv4 and IPv6. All waits have an end, measured by the steady clock.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/ranks/frames.h"

namespace emer {

using SteadyTime = std::chrono::steady_clock::time_point;
SteadyTime seconds_from_now(double seconds);

// A file descriptor that is closed with its owner; -1 = none. Sockets do not block and are not inherited by programs
// that this one starts.
class Socket {
 public:
  explicit Socket(int descriptor = -1) : descriptor_(descriptor) {}
  ~Socket() { close(); }
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept;
  int descriptor() const { return descriptor_; }
  explicit operator bool() const { return descriptor_ >= 0; }
  void close() noexcept;

 private:
  int descriptor_;
};

// On every address of this host; port 0 = one that is free. Throws Error(kDevice) where it is taken.
Socket listen_on(int port);
int port_of(const Socket& listener);

// Whether both ends are this one. TCP makes such a connection when a port of this host is tried that nobody listens on and
// that is chosen as the sender's own; it would hold the port that rank 0 is about to listen on.
bool is_its_own_peer(const Socket& socket);

// One attempt at every address of the host. Nothing, and why, where none answers before the deadline.
Socket connect_to(const std::string& host, int port, SteadyTime deadline, std::string& why);
// Again and again until the deadline. Throws Error(kDevice): `what` says who should have been there.
Socket connect_until(const std::string& host, int port, SteadyTime deadline, const std::string& what);

// Addresses of this host as text: those that other hosts may reach, or the loopback where there is no other.
std::vector<std::string> own_addresses();
std::string host_name();

// False where the other side is gone or takes nothing until the deadline.
bool send_frame(const Socket& socket, const Frame& frame, SteadyTime deadline);

// kClosed: by the other side, or by its end. kCut: nothing gets through any more.
enum class Received { kSome, kNothing, kClosed, kCut };
// What has arrived, without waiting.
Received receive_into(const Socket& socket, FrameReader& reader);
// Waits for bytes.
bool wait_readable(const Socket& socket, SteadyTime deadline);

}  // namespace emer
