// core/ranks/tcp_store.h - a few short texts that ranks leave for each other at rank 0, over TCP: NCCL's id, where the
// watch listens. Neither secret nor proof against a liar: for networks that only the cluster's own hosts share.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/ranks/frame_server.h"

namespace emer {

inline constexpr std::size_t kLongestStoreKey = 256;
inline constexpr std::size_t kLongestStoreValue = std::size_t{1} << 16;
inline constexpr std::size_t kMostStoreKeys = 4096;

struct StoreRequest {
  enum class Kind { kSet = 1, kGet = 2, kAdd = 3 } kind = Kind::kSet;
  std::string key;
  std::string value;       // kSet
  std::int64_t delta = 0;  // kAdd
};
Frame to_frame(const StoreRequest& request);
// Throws Error(kInput) for everything that to_frame() does not write.
StoreRequest parse_store_request(const Frame& frame);

// Lives on rank 0 as long as somebody may ask.
class TcpStoreServer {
 public:
  explicit TcpStoreServer(Socket listener, std::int64_t token = kToken);
  int port() const { return port_; }

  // What tells ranks of this program from other visitors of the port, where nothing better was agreed on.
  static constexpr std::int64_t kToken = 0x656d65722d763031;

 private:
  struct Service final : FrameServer::Service {
    void on_frame(FrameServer& server, int connection, const Frame& frame) override;
    void on_close(FrameServer& server, int connection, bool cut) override;
    std::map<std::string, std::string> values;
    std::multimap<std::string, int> waiting;  // connections that asked for a key that is not there yet
  };
  int port_;
  Service service_;
  FrameServer server_;
};

// One rank's end; rank 0 has one too.
class TcpStore {
 public:
  // Tries until the deadline: rank 0 may come last. Throws Error(kDevice) naming address and port.
  TcpStore(const std::string& host, int port, SteadyTime deadline,
           std::int64_t token = TcpStoreServer::kToken);

  void set(const std::string& key, const std::string& value);
  // Waits for somebody to set it; Error(kDevice) when nobody has within so many seconds. The store is of no use then.
  std::string get(const std::string& key, double seconds);
  // Adds to a number that starts at 0; the sum so far.
  std::int64_t add(const std::string& key, std::int64_t delta, double seconds = 60.0);

 private:
  std::string ask(const StoreRequest& request, double seconds);
  std::string place_;
  Socket socket_;
  FrameReader reader_;
};

}  // namespace emer
