#include <catch2/catch.hpp>

#include <sys/resource.h>

#include <csignal>

#include <strata/io/event_file.hpp>

#include "support/events.hpp"
#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Matchers::Contains;

TEST_CASE("Messages have the wire format of protocol buffers") {
  // The examples of protobuf.dev/programming-guides/encoding.
  CHECK(ProtobufMessage().number(1, 150).text() == "\x08\x96\x01");
  CHECK(ProtobufMessage().bytes(2, "testing").text() == "\x12\x07testing");
  CHECK(ProtobufMessage().message(3, ProtobufMessage().number(1, 150)).text() == "\x1a\x03\x08\x96\x01");
  CHECK(ProtobufMessage().number(1, -2).text() == "\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01");
  CHECK(ProtobufMessage().number(16, 127).number(1, 0).text() == std::string("\x80\x01\x7f\x08\x00", 5));
  CHECK(ProtobufMessage().real(1, -2).text() == std::string("\x09\0\0\0\0\0\0\0\xc0", 9));
  CHECK(ProtobufMessage().bytes(1, std::string(300, 'x')).text() == "\x0a\xac\x02" + std::string(300, 'x'));
}

TEST_CASE("A file of events begins as TensorFlow's do, and grows with every event") {
  const TemporaryDirectory folder;
  EventFile file(folder / "events.out.tfevents.1");
  // Length 24 and its checksum, as every file that TensorFlow 1 wrote begins.
  CHECK(read_file(file.path()).substr(0, 12) == std::string("\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22", 12));
  CHECK(file.size() == 40);
  file.add(7, scalar_summary("loss", 0.5));
  CHECK(read_file(file.path()).size() == static_cast<std::size_t>(file.size()));
  const auto events = strata_test::events_of(file.path());
  REQUIRE(events.size() == 2);
  // step 7; summary{value{tag "loss", metadata{plugin_data{"scalars"}}, tensor{DT_FLOAT, [], 0.5F}}}
  CHECK(
      events[1] ==
      std::string("\x10\x07\x2a\x21\x0a\x1f\x0a\x04loss\x4a\x0b\x0a\x09\x0a\x07scalars\x42\x0a\x08\x01\x12\0"
                  "\x22\x04\0\0\0\x3f",
                  37));
}

TEST_CASE("A file of events is cut to what it was") {
  const TemporaryDirectory folder;
  const std::string path = folder / "events.out.tfevents.1";
  {
    EventFile file(path);
    const std::int64_t size = file.size();
    file.add(1, scalar_summary("loss", 1));
    cut_event_file(path, size);
  }
  CHECK(strata_test::events_of(path).size() == 1);
  cut_event_file(path, 0);
  CHECK_FALSE(file_exists(path));
  CHECK_NOTHROW(cut_event_file(path, 40));
  CHECK_THROWS_WITH(cut_event_file(folder.path(), 40), Contains("[event_file] cannot cut '" + folder.path()));
}

TEST_CASE("Files of events that cannot be written are named") {
  const TemporaryDirectory folder;
  CHECK_THROWS_WITH(EventFile(folder / "none/events"), Contains("none/events': No such file"));
  CHECK_THROWS_WITH(EventFile("/dev/full"), Contains("[event_file] cannot write '/dev/full': No space left"));
}

TEST_CASE("A full disk leaves no half event, and the next one follows the last whole one") {
  const TemporaryDirectory folder;
  EventFile file(folder / "events.out.tfevents.1");
  {
    // A file that may grow by four bytes stands for the disk.
    struct rlimit before {};
    getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit little { static_cast<rlim_t>(file.size()) + 4, before.rlim_max };
    setrlimit(RLIMIT_FSIZE, &little);
    CHECK_THROWS_WITH(file.add(1, scalar_summary("loss", 1)),
                      Contains("cannot write '" + file.path() + "': "));
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
  }
  CHECK(strata_test::events_of(file.path()).size() == 1);
  file.add(2, scalar_summary("loss", 2));
  CHECK(strata_test::events_of(file.path()).size() == 2);
}
