#include <strata/io/file.hpp>

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <set>
#include <thread>
#include <vector>

#include <strata/io/safetensors.hpp>

#include "support/temporary_directory.hpp"

using namespace strata;
using Catch::Contains;

namespace {

/// While one lives, the calls that make a file durable are written down.
struct Calls {
  inline static Calls* now = nullptr;
  std::string text;
  Calls() { now = this; }
  ~Calls() { now = nullptr; }
  static void add(const char* name) {
    if (now) now->text += name;
  }
};
template <class Function>
Function* original(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" int fsync(int descriptor) {
  struct stat status {};
  ::fstat(descriptor, &status);
  Calls::add(S_ISDIR(status.st_mode) ? " fsync(directory)" : " fsync");
  return original<int(int)>("fsync")(descriptor);
}
extern "C" int rename(const char* from, const char* to) noexcept {
  Calls::add(" rename");
  return original<int(const char*, const char*)>("rename")(from, to);
}

namespace {

std::set<std::string> files_in(const std::string& directory) {
  std::set<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    out.insert(entry.path().filename().string());
  return out;
}

/// Runs `body` in a child process; true where it returned true.
template <class Body>
bool in_child(Body body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(body() ? 0 : 1);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TEST_CASE("files are read whole or refused with the cause", "[io][file]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.bin";
  const std::string bytes("with\0zero", 9);
  write_file_atomically(path, bytes);
  CHECK(read_file(path) == bytes);
  CHECK_THROWS_WITH(read_file(path, 8), Contains(path) && Contains("9 bytes, at most 8"));
  CHECK_THROWS_WITH(read_file(directory / "absent"), Contains("absent': No such file"));
  CHECK_THROWS_WITH(read_file(directory.path()), Contains("is a directory"));
  CHECK_THROWS_WITH(read_file("/dev/zero"), Contains("not a regular file"));
  const std::string fifo = directory / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK_THROWS_WITH(read_file(fifo), Contains("not a regular file"));  // and does not hang

  const InputFile file(path);
  char two[2];
  CHECK_THROWS_WITH(file.read(8, two, 2), Contains("has 9 bytes, wanted 2 from 8 on"));
  CHECK_THROWS_AS(file.read(~std::uint64_t{0}, two, 2), DataError);
  REQUIRE(::truncate(path.c_str(), 4) == 0);
  CHECK_THROWS_WITH(file.read(6, two, 2), Contains("became shorter"));
}

TEST_CASE("unreadable files and directories that may not be written", "[io][file]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.bin";
  write_file_atomically(path, "old");
  // A child without privileges: permissions mean nothing to root.
  CHECK(in_child([&] {
    if (::chmod(path.c_str(), 0) != 0 || ::chmod(directory.path().c_str(), 0555) != 0) return false;
    if (::geteuid() == 0 && (::chown(path.c_str(), 65534, 65534) != 0 || ::setuid(65534) != 0)) return false;
    try {
      read_file(path);
      return false;
    } catch (const DataError& error) {
      if (!std::string_view(error.what()).ends_with("Permission denied")) return false;
    }
    try {
      write_file_atomically(path, "new");
      return false;
    } catch (const DataError& error) {
      return std::string_view(error.what()).ends_with("Permission denied");
    }
  }));
  REQUIRE(::chmod(directory.path().c_str(), 0755) == 0);
  REQUIRE(::chmod(path.c_str(), 0644) == 0);
  CHECK(read_file(path) == "old");
}

TEST_CASE("Bytes are on the disk before they get their name, and the name before commit returns",
          "[io][file]") {
  const TemporaryDirectory directory;
  for (const char* content : {"first", "second"}) {
    const Calls calls;
    write_file_atomically(directory / "a.bin", content);
    CHECK(calls.text == " fsync rename fsync(directory)");
  }
}

TEST_CASE("an atomic file appears at commit and not before", "[io][file]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.bin";
  {
    AtomicFile file(path);
    file.write("0123456789");
    file.write_at(2, "xy", 2);
    file.write("!");
    CHECK_FALSE(std::filesystem::exists(path));
    file.commit();
    CHECK_THROWS_AS(file.write("late"), DataError);
    CHECK_THROWS_AS(file.commit(), DataError);
  }
  CHECK(read_file(path) == "01xy456789!");
  { AtomicFile(path).write("dropped"); }
  CHECK(read_file(path) == "01xy456789!");
  CHECK(files_in(directory.path()) == std::set<std::string>{"a.bin"});

  // The mode of the file that is replaced stays, and a link goes on pointing to it.
  REQUIRE(::chmod(path.c_str(), 0640) == 0);
  std::filesystem::create_symlink("a.bin", directory / "link");
  write_file_atomically(directory / "link", "new");
  CHECK(std::filesystem::is_symlink(directory / "link"));
  CHECK(read_file(path) == "new");
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0640);

  CHECK_THROWS_WITH(write_file_atomically("/dev/full", "x"), Contains("not a regular file"));
  CHECK_THROWS_WITH(write_file_atomically(directory.path(), "x"), Contains("is a directory"));
  CHECK_THROWS_WITH(write_file_atomically(directory / "none/a", "x"), Contains("No such file or directory"));
  CHECK_THROWS_AS(write_file_atomically("", "x"), DataError);
}

TEST_CASE("two writers of one file do not mix", "[io][file]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.bin";
  AtomicFile first(path), second(path);
  first.write("first");
  second.write("second");
  second.commit();
  CHECK(read_file(path) == "second");
  first.commit();
  CHECK(read_file(path) == "first");

  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i)
    writers.emplace_back([&, i] {
      for (int k = 0; k < 25; ++k) write_file_atomically(path, std::string(5000, static_cast<char>('a' + i)));
    });
  for (std::thread& writer : writers) writer.join();
  const std::string text = read_file(path);
  CHECK(text == std::string(5000, text.at(0)));
  CHECK(files_in(directory.path()) == std::set<std::string>{"a.bin"});
}

TEST_CASE("a write that fails leaves the old file and no other", "[io][file]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.safetensors";
  write_safetensors(path, {{"x", Tensor<float>({2}, {1, 2})}});
  const std::string old = read_file(path);
  CHECK(in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
    try {
      write_safetensors(path, {{"x", Tensor<float>({100000})}});
      return false;
    } catch (const DataError& error) {
      return std::string_view(error.what()).ends_with("a.safetensors': File too large");
    }
  }));
  CHECK(read_file(path) == old);
  CHECK(files_in(directory.path()) == std::set<std::string>{"a.safetensors"});
}

TEST_CASE("a process killed while it saves leaves a whole file", "[io][file]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.safetensors";
  const auto save = [&](float value) {
    Tensor<float> x({50000});
    for (float& element : x.values()) element = value;
    write_safetensors(path, {{"x", x}});
  };
  save(0);
  for (int round = 0; round < 60; ++round) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0)
      for (float value = 1;; ++value) save(value);
    ::usleep(static_cast<useconds_t>(200 + 331 * round % 7000));
    REQUIRE(::kill(child, SIGKILL) == 0);
    REQUIRE(::waitpid(child, nullptr, 0) == child);
    const auto x = SafetensorsFile(path).read<float>("x");
    REQUIRE(std::set<float>(x.data(), x.data() + x.size()).size() == 1);
    REQUIRE(files_in(directory.path()).size() <= 2);  // leftovers are taken over, they do not pile up
  }
  save(-1);
  CHECK(files_in(directory.path()) == std::set<std::string>{"a.safetensors"});
}

TEST_CASE("directories are made with their parents", "[io][file]") {
  const TemporaryDirectory directory;
  make_directories(directory / "a//b/c/");
  make_directories(directory / "a/b/c");
  CHECK(std::filesystem::is_directory(directory / "a/b/c"));
  write_file_atomically(directory / "file", "x");
  CHECK_THROWS_WITH(make_directories(directory / "file/a"), Contains("not a directory"));
}
