#include "core/ranks/tcp_store.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <thread>

#include "tests/support/refusal.h"

namespace emer {
namespace {

TEST(Frames, ComeBackHoweverTheBytesAreCut) {
  std::string bytes;
  for (int i = 0; i < 5; ++i)
    bytes += encode(Frame{.type = static_cast<std::uint8_t>(i), .body = std::string(i * 7, 'x')});
  for (std::size_t cut = 1; cut <= bytes.size(); ++cut) {
    FrameReader reader;
    int seen = 0;
    for (std::size_t at = 0; at < bytes.size(); at += cut) {
      reader.add(std::string_view(bytes).substr(at, cut));
      while (const auto frame = reader.next()) {
        EXPECT_EQ(frame->type, seen);
        EXPECT_EQ(frame->body, std::string(static_cast<std::size_t>(seen) * 7, 'x'));
        ++seen;
      }
    }
    EXPECT_EQ(seen, 5) << "cut every " << cut;
  }
}

TEST(Frames, HoldTheHostsOfThousandsOfRanks) {
  BodyWriter ready;
  for (int rank = 0; rank < 8192; ++rank) ready.text(std::string(64, 'h')).number(rank);
  const Frame frame{.type = 1, .body = ready.take()};
  FrameReader reader;
  reader.add(encode(frame));
  EXPECT_EQ(reader.next()->body, frame.body);
}

TEST(Frames, BodiesHoldWhatWasWritten) {
  const std::string body = BodyWriter().number(-5).text(std::string("a\0b", 3)).number(INT64_MAX).take();
  BodyReader reader(body);
  EXPECT_EQ(reader.number(), -5);
  EXPECT_EQ(reader.text(), std::string("a\0b", 3));
  EXPECT_EQ(reader.number(), INT64_MAX);
  reader.end();
  EXPECT_TRUE(test::refuses_input({"too short"}, [&] { reader.number(); }));
  EXPECT_TRUE(test::refuses_input({"too long"}, [&] { BodyReader(body).end(); }));
  EXPECT_TRUE(
      test::refuses_input({"too short"}, [] { BodyReader(BodyWriter().number(1 << 30).take()).text(); }));
  EXPECT_TRUE(test::refuses_input({"-1"}, [] { BodyReader(BodyWriter().number(-1).take()).text(); }));
}

TEST(TcpStore, CarriesValuesAndSums) {
  TcpStoreServer server(listen_on(0));
  TcpStore zero("127.0.0.1", server.port(), seconds_from_now(20)),
      one("localhost", server.port(), seconds_from_now(20));
  const std::string value("binary \0 \xff", 10);
  zero.set("id", value);
  EXPECT_EQ(one.get("id", 20), value);
  EXPECT_EQ(zero.add("n", 5), 5);
  EXPECT_EQ(one.add("n", -7), -2);
  EXPECT_EQ(one.get("n", 20), "-2");
  zero.set("id", "");
  EXPECT_EQ(one.get("id", 20), "");
}

TEST(TcpStore, AsksBeforeTheAnswerIsThere) {
  TcpStoreServer server(listen_on(0));
  std::string got;
  std::thread early(
      [&] { got = TcpStore("127.0.0.1", server.port(), seconds_from_now(20)).get("late", 20); });
  TcpStore store("127.0.0.1", server.port(), seconds_from_now(20));
  store.set("other", "x");
  store.set("late", "here");
  early.join();
  EXPECT_EQ(got, "here");
}

TEST(TcpStore, RankZeroMayComeLast) {
  const int port = port_of(listen_on(0));
  std::string got;
  std::thread early([&] { got = TcpStore("127.0.0.1", port, seconds_from_now(20)).get("k", 20); });
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  TcpStoreServer server(listen_on(port));
  TcpStore("127.0.0.1", port, seconds_from_now(20)).set("k", "v");
  early.join();
  EXPECT_EQ(got, "v");
}

// With as many descriptors as systems allow by themselves, rank 0 of 512 would run out of them.
TEST(TcpStore, TakesMoreRanksThanThereAreDescriptorsAtFirst) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 64;
  if (before.rlim_max < 512) GTEST_SKIP() << "only " << before.rlim_max << " descriptors on this machine";
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  {
    TcpStoreServer server(listen_on(0));
    std::vector<TcpStore> ranks;
    for (int rank = 0; rank < 100; ++rank)
      ranks.emplace_back("127.0.0.1", server.port(), seconds_from_now(20));
    for (TcpStore& rank : ranks) rank.add("here", 1);
    EXPECT_EQ(ranks[0].get("here", 20), "100");
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

// bind() and connect() with one port: what connect() alone does when it happens to choose the port it is to reach.
TEST(TcpStore, KnowsAConnectionToItself) {
  const Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(socket.descriptor(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  address.sin_port = htons(static_cast<std::uint16_t>(port_of(socket)));
  ASSERT_EQ(::connect(socket.descriptor(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_TRUE(is_its_own_peer(socket));

  const Socket listener = listen_on(0);
  std::string why;
  const Socket other = connect_to("127.0.0.1", port_of(listener), seconds_from_now(20), why);
  EXPECT_FALSE(is_its_own_peer(other));
  EXPECT_FALSE(is_its_own_peer(listener));
}

TEST(TcpStore, NobodyIsFoundWhereNobodyListens) {
  const int closed = port_of(listen_on(0)) & ~1;  // connect() prefers even ports
  std::string why;
  for (int attempt = 0; attempt < 40000; ++attempt)
    ASSERT_FALSE(connect_to("127.0.0.1", closed, seconds_from_now(20), why)) << "attempt " << attempt;
}

TEST(TcpStore, OverIpv6) {
  TcpStoreServer server(listen_on(0));
  std::string why;
  if (!connect_to("::1", server.port(), seconds_from_now(5), why))
    GTEST_SKIP() << "no IPv6 on this machine: " << why;
  TcpStore store("::1", server.port(), seconds_from_now(20));
  store.set("k", "v");
  EXPECT_EQ(store.get("k", 20), "v");
}

TEST(TcpStore, SaysWhatIsMissing) {
  const int closed = port_of(listen_on(0));
  EXPECT_TRUE(test::refuses(ErrorKind::kDevice, {"rank 0", "127.0.0.1", std::to_string(closed)},
                            [&] { TcpStore("127.0.0.1", closed, seconds_from_now(0.3)); }));
  EXPECT_TRUE(test::refuses(ErrorKind::kDevice, {"no-such-host.invalid"},
                            [&] { TcpStore("no-such-host.invalid", closed, seconds_from_now(0.3)); }));
  TcpStoreServer server(listen_on(0));
  TcpStore store("127.0.0.1", server.port(), seconds_from_now(20));
  EXPECT_TRUE(test::refuses(ErrorKind::kDevice, {"'nccl'", "0.2 s"}, [&] { store.get("nccl", 0.2); }));
  EXPECT_TRUE(test::refuses(ErrorKind::kDevice, {"MASTER_PORT"}, [&] { listen_on(server.port()); }));
}

TEST(TcpStore, StrangersAndGarbageOnlyLoseTheirOwnConnection) {
  TcpStoreServer server(listen_on(0));
  TcpStore store("127.0.0.1", server.port(), seconds_from_now(20));
  store.set("k", "v");
  const auto closed_after = [&](const std::string& bytes) {
    std::string why;
    const Socket stranger = connect_to("127.0.0.1", server.port(), seconds_from_now(20), why);
    ::send(stranger.descriptor(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    FrameReader reader;
    while (wait_readable(stranger, seconds_from_now(20)))
      if (receive_into(stranger, reader) == Received::kClosed) return true;
    return false;
  };
  const std::string hello = encode(FrameServer::hello(TcpStoreServer::kToken));
  EXPECT_TRUE(closed_after("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_TRUE(closed_after(std::string(4, '\0')));
  EXPECT_TRUE(closed_after(encode(FrameServer::hello(1))));
  EXPECT_TRUE(closed_after(hello + encode(Frame{.type = 99, .body = "x"})));
  EXPECT_TRUE(closed_after(hello + encode(to_frame({.kind = StoreRequest::Kind::kSet,
                                                    .key = std::string(kLongestStoreKey + 1, 'k'),
                                                    .value = "v"}))));
  EXPECT_TRUE(closed_after(
      hello + encode(to_frame({.kind = StoreRequest::Kind::kAdd, .key = "k", .value = {}, .delta = 1}))));
  EXPECT_EQ(store.get("k", 20), "v");
}

}  // namespace
}  // namespace emer
