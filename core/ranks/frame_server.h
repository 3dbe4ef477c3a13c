// core/ranks/frame_server.h - many connections, one thread: what rank 0 answers the others with.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <thread>
#include <vector>

#include "core/ranks/sockets.h"

namespace emer {

// Signals are for the threads that wait for them, not for these.
std::thread start_thread_without_signals(std::function<void()> body);

// A connection must show the token in its first frame (type 0, the token as a number) within kIntroduction, or it is
// closed: ports are visible to strangers. Frames it sends after that reach the service.
class FrameServer {
 public:
  struct Service {
    virtual ~Service() = default;
    // All from the server's thread. Error(kInput) from on_frame closes that connection.
    virtual void on_frame(FrameServer& server, int connection, const Frame& frame) = 0;
    // By the other side or for garbage; cut: because nothing gets through any more.
    virtual void on_close(FrameServer& server, int connection, bool cut) = 0;
    virtual void on_tick(FrameServer&) {}  // every `tick_seconds`, when what has arrived was handed over
  };

  static constexpr std::uint8_t kHello = 0;
  static Frame hello(std::int64_t token);

  FrameServer(Socket listener, std::int64_t token, double tick_seconds, Service& service);
  ~FrameServer();  // no call of the service after this

  // From the service's own calls only. What a connection does not take is kept, to a limit; beyond it is closed.
  void send(int connection, const Frame& frame);
  std::size_t connections() const { return connections_.size(); }

 private:
  struct Connection {
    Socket socket;
    FrameReader reader;
    std::string unsent;
    SteadyTime accepted;
    bool introduced = false;
    bool closing = false, cut = false;
  };
  void serve();
  void accept_all();
  void read_from(int id, Connection& connection);
  void flush(Connection& connection);
  void close_marked();

  Socket listener_, wake_out_, wake_in_;
  std::int64_t token_;
  double tick_seconds_;
  Service& service_;
  std::map<int, Connection> connections_;
  int next_id_ = 0;
  bool full_ = false;  // no descriptor for another connection: not asked again before the next tick
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace emer
