// core/ranks/rank_watch.h - a lost or failing rank ends the whole run, within a bound and with one message.
//
// Beside the channel that carries arrays, each rank has a TCP connection to rank 0 with a thread on it, so that ranks
// notice each other's end even while they are blocked inside a library. Rank 0 judges (core/ranks/rank_judge.h), prints
// the one line, and all end with its exit code. Where rank 0 itself is lost the others notice by themselves, and the
// lowest of them prints.
//
//   a rank dies (its connection ends without a word)              noticed at once
//   a rank is stopped, or its host cut off                        after `timeout` seconds of silence
//   a rank lives but does not come to what the others wait for    after `timeout` seconds
//   a rank fails with an error (report())                         at once; told once if all ranks say the same
//
// Only the steady clock is used: setting the date changes nothing.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/communicator.h"
#include "core/ranks/frame_server.h"
#include "core/ranks/rank_judge.h"

namespace emer {

// Where rank 0 (or, if that is lost, rank 1) listens. As text it travels through MPI or a store.
struct WatchPlace {
  std::vector<std::string> addresses;  // tried in this order
  int port = 0;
  std::int64_t token = 0;  // of this run
};
std::string to_text(const WatchPlace& place);
WatchPlace parse_watch_place(const std::string& text);  // throws Error(kInput)

struct RankWatchOptions {
  int rank = 0;
  int ranks = 1;
  double timeout = 300.0;  // seconds
  std::string advice{};    // ends the line where a rank was lost, as "; go on with --resume auto"
  // The one line of the run, on the one rank that says it; then the end of this process, from the watch's own thread.
  std::function<void(const std::string& line)> announce{};
  std::function<void(int exit_code)> end{};
};

class RankWatch {
 public:
  // Rank 0: listens. Its place() goes to the others, then everybody calls join().
  explicit RankWatch(const RankWatchOptions& options);
  // The others: come to rank 0. Throws Error(kDevice) where it does not answer within the timeout.
  RankWatch(const RankWatchOptions& options, const WatchPlace& rank_0);
  // A rank that goes without finish() or report() counts as dead.
  ~RankWatch();

  WatchPlace place() const;  // rank 0
  // Returns when all ranks have come; true. False where end() was called instead and came back (in tests).
  bool join();
  // Begins another exchange: what ranks are compared by.
  void begin_exchange() { ++exchanges_; }
  // This rank cannot go on. Rank 0 decides what is told of it; waits for end(), which in a program does not come back.
  void report(int exit_code, const std::string& text);
  // This rank is done. Returns when all are, true; false as in join().
  bool finish();

 private:
  enum class State { kJoining, kRunning, kDone, kEnded };
  class Server;
  void start(const std::vector<std::string>& addresses, int port, std::int64_t token);
  void listen_to_rank_0();
  void handle(const Frame& frame);
  void send(const Frame& frame);
  // Other ranks notice the same within so many seconds.
  void rank_0_is_lost(const std::string& how, double notice_within);
  bool deputy_lives() const;
  bool lowest_of_its_host() const;
  void end_with(int exit_code);
  bool wait_for(State state);

  RankWatchOptions options_;
  double interval_;                 // seconds between signs of life
  std::unique_ptr<Server> server_;  // rank 0
  Socket deputy_;                   // rank 1: who can connect to it knows that it lives
  Socket socket_;
  FrameReader reader_;
  std::mutex sending_;
  bool broken_ = false;  // guarded by sending_
  std::atomic<std::int64_t> exchanges_{0};

  std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = State::kJoining;   // guarded by mutex_
  bool leaving_ = false;            // guarded by mutex_
  std::vector<RankPerson> people_;  // the watch's thread only, like the next
  WatchPlace deputy_place_;
  std::thread thread_;
};

// `inner`, with every call of it counted by the watch.
std::shared_ptr<Communicator> watched(std::shared_ptr<Communicator> inner, std::shared_ptr<RankWatch> watch);
// `inner` of a communicator that watched() made; any other one itself.
Communicator& unwatched(Communicator& communicator);

}  // namespace emer
