#include "core/ranks/rank_watch.h"

#include <unistd.h>

#include <algorithm>
#include <random>

#include "core/check.h"
#include "core/text.h"

namespace emer {

namespace {

// Frames to rank 0 and from it.
enum Message : std::uint8_t {
  kJoin = 1,       // rank, ranks, host, pid, where it listens (rank 1)
  kAlive = 2,      // exchanges
  kReport = 3,     // exit code, text
  kGoodbye = 4,    //
  kReady = 16,     // host and pid of every rank, where rank 1 listens
  kAliveToo = 17,  //
  kVerdict = 18,   // exit code
  kDone = 19,      //
  kRefused = 20,   // text
};

constexpr double kTick = 0.05;          // seconds between looks of rank 0
constexpr double kLastWords = 1.0;      // seconds that rank 0 stays for the others to end
constexpr double kDeputyAnswers = 2.0;  // seconds
constexpr std::size_t kLongestText = 4096;

// Often enough that the loss of one or two signs of life is not silence.
double interval_of(double timeout) {
  return std::clamp(timeout / 5, 0.02, 5.0);
}

std::int64_t random_token() {
  std::random_device source;
  return static_cast<std::int64_t>(std::uint64_t{source()} << 32 | source());
}

}  // namespace

std::string to_text(const WatchPlace& place) {
  BodyWriter body;
  body.number(place.port).number(place.token).number(static_cast<std::int64_t>(place.addresses.size()));
  for (const std::string& address : place.addresses) body.text(address);
  return body.take();
}

WatchPlace parse_watch_place(const std::string& text) {
  BodyReader body(text);
  WatchPlace place;
  const std::int64_t port = body.number();
  place.token = body.number();
  const std::int64_t count = body.number();
  if (port < 0 || port > 65535 || count < 0 || count > 1024) fail_input("this is no place of a rank");
  place.port = static_cast<int>(port);
  for (std::int64_t i = 0; i < count; ++i) place.addresses.push_back(body.text());
  body.end();
  return place;
}

// Rank 0 hears, and asks the judge.
class RankWatch::Server final : public FrameServer::Service {
 public:
  explicit Server(const RankWatchOptions& options)
      : options_(options),
        judge_(options.ranks, options.timeout, options.advice, std::chrono::steady_clock::now()),
        token_(random_token()),
        last_tick_(std::chrono::steady_clock::now()),
        next_alive_(last_tick_) {
    Socket listener = listen_on(0);
    port_ = port_of(listener);
    server_ = std::make_unique<FrameServer>(std::move(listener), token_, kTick, *this);
  }
  WatchPlace place() const { return {.addresses = own_addresses(), .port = port_, .token = token_}; }

  void on_frame(FrameServer& server, int connection, const Frame& frame) override {
    const auto now = std::chrono::steady_clock::now();
    BodyReader body(frame.body);
    if (frame.type == kJoin) return join(server, connection, body);
    const auto found = rank_of_.find(connection);
    if (found == rank_of_.end()) fail_input("a message before its sender has joined");
    const int rank = found->second;
    if (frame.type == kAlive) {
      judge_.heard(rank, body.number(), now);
    } else if (frame.type == kReport) {
      const std::int64_t code = body.number();
      judge_.reports(rank, static_cast<int>(std::clamp<std::int64_t>(code, 1, 125)), body.text(), now);
    } else if (frame.type == kGoodbye) {
      judge_.says_goodbye(rank);
    } else {
      fail_input("a rank sends no message {}", frame.type);
    }
    body.end();
  }

  void on_close(FrameServer&, int connection, bool cut) override {
    const auto found = rank_of_.find(connection);
    if (found == rank_of_.end()) return;
    judge_.connection_closed(found->second, std::chrono::steady_clock::now(), cut);
    rank_of_.erase(found);
  }

  void on_tick(FrameServer& server) override {
    const auto now = std::chrono::steady_clock::now();
    // What was sent while this process stood still is read before anybody is judged by it.
    const auto gap = now - std::exchange(last_tick_, now);
    if (gap > std::chrono::duration<double>(std::max(options_.timeout / 4, 10 * kTick))) {
      judge_.stood_still(gap);
      return;
    }
    if (last_message_) return see_off(server, now);
    if (const auto verdict = judge_.verdict(now)) {
      if (options_.announce) options_.announce(verdict->line);
      begin_last_message({.type = kVerdict, .body = BodyWriter().number(verdict->exit_code).take()}, server,
                         now);
    } else if (judge_.all_done()) {
      begin_last_message({.type = kDone, .body = {}}, server, now);
    } else if (now >= next_alive_) {
      for (const auto& [connection, rank] : rank_of_)
        server.send(connection, {.type = kAliveToo, .body = {}});
      next_alive_ = seconds_from_now(interval_of(options_.timeout));
    }
  }

 private:
  void join(FrameServer& server, int connection, BodyReader& body) {
    const std::int64_t rank = body.number(), ranks = body.number();
    const RankPerson person{.host = body.text(), .pid = body.number()};
    const std::string listens = body.text();
    body.end();
    std::string why;
    if (rank < 0 || rank >= options_.ranks || ranks != options_.ranks)
      why = fmt::format("rank {} of {} came to a run of {} ranks", rank, ranks, options_.ranks);
    else if (!judge_.joins(static_cast<int>(rank), person, std::chrono::steady_clock::now()))
      why = fmt::format("there are two ranks {} of {}: {} of {} and {} of {}", rank, ranks, person.pid,
                        person.host, judge_.person(static_cast<int>(rank)).pid,
                        judge_.person(static_cast<int>(rank)).host);
    if (!why.empty())
      return server.send(connection, {.type = kRefused, .body = BodyWriter().text(why).take()});
    rank_of_[connection] = static_cast<int>(rank);
    if (rank == 1) deputy_ = listens;
    if (!judge_.all_joined()) return;
    BodyWriter ready;
    for (int r = 0; r < options_.ranks; ++r) ready.text(judge_.person(r).host).number(judge_.person(r).pid);
    const Frame frame{.type = kReady, .body = ready.text(deputy_).take()};
    for (const auto& [to, r] : rank_of_) server.send(to, frame);
  }

  // This process ends with its own copy, so that comes last: the others must have had theirs.
  void begin_last_message(const Frame& frame, FrameServer& server, RankJudge::Time now) {
    last_message_ = frame;
    give_up_ = now + std::chrono::duration_cast<RankJudge::Time::duration>(
                         std::chrono::duration<double>(kLastWords));
    for (const auto& [connection, rank] : rank_of_)
      if (rank != 0) server.send(connection, frame);
  }
  void see_off(FrameServer& server, RankJudge::Time now) {
    const bool alone =
        std::all_of(rank_of_.begin(), rank_of_.end(), [](const auto& r) { return r.second == 0; });
    if (!alone && now < give_up_) return;
    for (const auto& [connection, rank] : rank_of_)
      if (rank == 0 && !std::exchange(told_itself_, true)) server.send(connection, *last_message_);
  }

  RankWatchOptions options_;
  RankJudge judge_;
  std::int64_t token_;
  int port_ = 0;
  std::map<int, int> rank_of_;  // by connection
  std::string deputy_;
  RankJudge::Time last_tick_, next_alive_, give_up_{};
  std::optional<Frame> last_message_;
  bool told_itself_ = false;
  std::unique_ptr<FrameServer> server_;
};

RankWatch::RankWatch(const RankWatchOptions& options)
    : options_(options), interval_(interval_of(options.timeout)), server_(std::make_unique<Server>(options)) {
  const WatchPlace place = server_->place();
  start({"127.0.0.1", "::1"}, place.port, place.token);
}

RankWatch::RankWatch(const RankWatchOptions& options, const WatchPlace& rank_0)
    : options_(options), interval_(interval_of(options.timeout)) {
  start(rank_0.addresses, rank_0.port, rank_0.token);
}

void RankWatch::start(const std::vector<std::string>& addresses, int port, std::int64_t token) {
  const SteadyTime deadline = seconds_from_now(options_.timeout);
  std::string why = "it has no address";
  while (!socket_ && std::chrono::steady_clock::now() < deadline) {
    for (const std::string& address : addresses)
      if (!socket_) socket_ = connect_to(address, port, deadline, why);
    if (!socket_) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  if (!socket_)
    fail(ErrorKind::kDevice, "rank {} of {} ({}) cannot reach rank 0 at {} port {}: {}", options_.rank,
         options_.ranks, host_name(), addresses.empty() ? "no address" : in_quotes(addresses[0]), port, why);
  std::string listens;
  if (options_.rank == 1) {
    deputy_ = listen_on(0);
    listens = to_text({.addresses = own_addresses(), .port = port_of(deputy_), .token = 0});
  }
  send(FrameServer::hello(token));
  send({.type = kJoin,
        .body = BodyWriter()
                    .number(options_.rank)
                    .number(options_.ranks)
                    .text(host_name())
                    .number(::getpid())
                    .text(listens)
                    .take()});
  thread_ = start_thread_without_signals([this] { listen_to_rank_0(); });
}

RankWatch::~RankWatch() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

WatchPlace RankWatch::place() const {
  EMER_CHECK(server_ != nullptr, "the place of the watch is rank 0's to tell");
  return server_->place();
}

void RankWatch::send(const Frame& frame) {
  const std::lock_guard lock(sending_);
  // Half a message would make garbage of the next: then the silence speaks.
  if (!broken_ && !send_frame(socket_, frame, seconds_from_now(interval_))) broken_ = true;
}

void RankWatch::listen_to_rank_0() {
  SteadyTime heard = std::chrono::steady_clock::now(), next_alive = heard;
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (leaving_ || state_ == State::kDone || state_ == State::kEnded) return;
    }
    if (std::chrono::steady_clock::now() >= next_alive) {
      send({.type = kAlive, .body = BodyWriter().number(exchanges_).take()});
      next_alive = seconds_from_now(interval_);
    }
    const bool some = wait_readable(socket_, std::min(next_alive, seconds_from_now(kTick)));
    const Received received = some ? receive_into(socket_, reader_) : Received::kNothing;
    if (received == Received::kSome) heard = std::chrono::steady_clock::now();
    try {
      while (const std::optional<Frame> frame = reader_.next()) handle(*frame);
    } catch (const Error&) {
      return rank_0_is_lost("sends what no rank sends", kLastWords);
    }
    const bool over = received == Received::kClosed || received == Received::kCut;
    if (over) {
      const std::lock_guard lock(mutex_);
      if (state_ == State::kDone || state_ == State::kEnded) return;
    }
    if (over)
      return rank_0_is_lost(received == Received::kCut ? "is cut off: the network lets nothing through"
                                                       : "died: killed, out of memory or crashed",
                            kLastWords);
    if (std::chrono::steady_clock::now() - heard > std::chrono::duration<double>(options_.timeout))
      return rank_0_is_lost(
          fmt::format("has not been heard of for {:g} s (distributed.timeout): stopped, or cut off",
                      options_.timeout),
          2 * interval_ + kLastWords);
  }
}

void RankWatch::handle(const Frame& frame) {
  BodyReader body(frame.body);
  const auto become = [&](State state) {
    const std::lock_guard lock(mutex_);
    state_ = state;
    changed_.notify_all();
  };
  if (frame.type == kReady) {
    for (int r = 0; r < options_.ranks; ++r) {
      const std::string host = body.text();
      people_.push_back({.host = host, .pid = body.number()});
    }
    deputy_place_ = parse_watch_place(body.text());
    become(State::kRunning);
  } else if (frame.type == kVerdict) {
    end_with(static_cast<int>(body.number()));
  } else if (frame.type == kDone) {
    become(State::kDone);
  } else if (frame.type == kRefused) {
    if (options_.announce) options_.announce(body.text());
    end_with(static_cast<int>(ErrorKind::kUsage));
  } else if (frame.type != kAliveToo) {
    fail_input("rank 0 sends no message {}", frame.type);
  }
}

void RankWatch::rank_0_is_lost(const std::string& how, double notice_within) {
  const bool deputy = options_.rank == 1;
  if (deputy || (!deputy_lives() && lowest_of_its_host())) {
    const std::string who = people_.empty() ? fmt::format("rank 0 of {}", options_.ranks)
                                            : describe_rank(0, options_.ranks, people_[0]);
    if (options_.announce) options_.announce(fmt::format("{} {}{}", who, how, options_.advice));
  }
  // Until the others have noticed too, and looked whether rank 1 lives.
  if (deputy) std::this_thread::sleep_for(std::chrono::duration<double>(notice_within));
  end_with(static_cast<int>(ErrorKind::kDevice));
}

bool RankWatch::deputy_lives() const {
  std::string why;
  const SteadyTime deadline = seconds_from_now(kDeputyAnswers);
  return std::any_of(deputy_place_.addresses.begin(), deputy_place_.addresses.end(),
                     [&](const std::string& address) {
                       return static_cast<bool>(connect_to(address, deputy_place_.port, deadline, why));
                     });
}

bool RankWatch::lowest_of_its_host() const {
  for (int r = 1; r < std::min(options_.rank, static_cast<int>(people_.size())); ++r)
    if (people_[static_cast<std::size_t>(r)].host == people_[static_cast<std::size_t>(options_.rank)].host)
      return false;
  return true;
}

void RankWatch::end_with(int exit_code) {
  if (options_.end) options_.end(exit_code);
  const std::lock_guard lock(mutex_);
  state_ = State::kEnded;
  changed_.notify_all();
}

bool RankWatch::wait_for(State state) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return state_ == state || state_ == State::kEnded; });
  return state_ == state;
}

bool RankWatch::join() {
  return wait_for(State::kRunning);
}

void RankWatch::report(int exit_code, const std::string& text) {
  send({.type = kReport, .body = BodyWriter().number(exit_code).text(text.substr(0, kLongestText)).take()});
  wait_for(State::kEnded);
}

bool RankWatch::finish() {
  send({.type = kGoodbye, .body = {}});
  return wait_for(State::kDone);
}

namespace {

class WatchedCommunicator final : public Communicator {
 public:
  WatchedCommunicator(std::shared_ptr<Communicator> inner, std::shared_ptr<RankWatch> watch)
      : inner_(std::move(inner)), watch_(std::move(watch)) {}

  std::string name() const override { return inner_->name(); }
  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  bool on_device() const override { return inner_->on_device(); }
  void run(const Collective& what, void* stream) override {
    watch_->begin_exchange();
    inner_->run(what, stream);
  }
  void start(const Collective& what, void* stream) override {
    watch_->begin_exchange();
    inner_->start(what, stream);
  }
  void wait(void* stream) override { inner_->wait(stream); }
  void barrier() override {
    watch_->begin_exchange();
    inner_->barrier();
  }
  // Nothing: who cannot go on throws, and that comes to report(), which ends the others whatever they wait for.
  void abort(const std::string&) noexcept override {}
  Communicator& inner() { return *inner_; }

 private:
  std::shared_ptr<Communicator> inner_;
  std::shared_ptr<RankWatch> watch_;
};

}  // namespace

std::shared_ptr<Communicator> watched(std::shared_ptr<Communicator> inner, std::shared_ptr<RankWatch> watch) {
  return std::make_shared<WatchedCommunicator>(std::move(inner), std::move(watch));
}

Communicator& unwatched(Communicator& communicator) {
  auto* const wrapper = dynamic_cast<WatchedCommunicator*>(&communicator);
  return wrapper == nullptr ? communicator : wrapper->inner();
}

}  // namespace emer
