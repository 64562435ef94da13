// Mutates the seeds of a target, for systems without libFuzzer: `NAME [SECONDS]`, or `NAME 0 ROUND` for one
// round again.
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "fuzz/fuzz.hpp"

namespace {

volatile std::sig_atomic_t round_now = 0;

void report(int signal) {
  char text[64];
  const int length = std::snprintf(text, sizeof text, "round %d ended with signal %d\n",
                                   static_cast<int>(round_now), signal);
  if (::write(2, text, static_cast<std::size_t>(length)) < 0) ::_exit(2);
  ::_exit(1);
}

/// A pure function of seeds and round.
std::string mutated(const std::vector<std::string>& seeds, int round) {
  std::mt19937 random(static_cast<unsigned>(round));
  const auto below = [&](std::size_t bound) { return bound ? random() % bound : 0; };
  std::string out = seeds[below(seeds.size())];
  for (auto left = static_cast<int>(below(6)); left >= 0; --left) {
    const std::size_t at = below(out.size()), count = 1 + below(below(4) ? 8 : out.size());
    switch (below(8)) {
      case 0:
        if (!out.empty()) out[at] = static_cast<char>(out[at] ^ (1 << below(8)));
        break;
      case 1:
        if (!out.empty()) out[at] = static_cast<char>(random());
        break;
      case 2:
        out.erase(at, count);
        break;
      case 3:
        out.insert(at, out.substr(at, count));
        break;
      case 4:
        out.resize(at);
        break;
      case 5: {  // a length or an offset, in either byte order
        constexpr std::uint64_t extremes[] = {0,
                                              1,
                                              0x7F,
                                              0x80,
                                              0xFF,
                                              0xFFFF,
                                              0x7FFFFFFF,
                                              0x80000000,
                                              0xFFFFFFFF,
                                              0x7FFFFFFFFFFFFFFF,
                                              0x8000000000000000,
                                              ~std::uint64_t{0}};
        std::uint64_t value = extremes[below(std::size(extremes))];
        if (below(2)) value = __builtin_bswap64(value);
        const std::size_t bytes = std::min<std::size_t>(std::size_t{1} << below(4), out.size() - at);
        std::memcpy(out.data() + at, &value, bytes);
        break;
      }
      case 6: {  // a number in text
        constexpr const char* numbers[] = {"0", "-1", "1e999", "4294967296", "9223372036854775807", "1e-400"};
        const std::size_t digit = out.find_first_of("0123456789", at);
        if (digit == out.npos) break;
        const std::size_t end = out.find_first_not_of("0123456789.", digit);
        out.replace(digit, (end == out.npos ? out.size() : end) - digit, numbers[below(std::size(numbers))]);
        break;
      }
      default: {
        const std::string& other = seeds[below(seeds.size())];
        const std::size_t from = below(other.size());
        out.replace(at, count, other.substr(from, 1 + below(other.size() - from)));
      }
    }
  }
  return out;
}

}  // namespace

int main(int count, char** arguments) {
  const double seconds = count > 1 ? std::atof(arguments[1]) : 10;
  const rlimit memory{std::size_t{3} << 29, std::size_t{3} << 29};  // what asks for more is refused and shows
  ::setrlimit(RLIMIT_AS, &memory);
  for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGBUS, SIGILL}) std::signal(signal, report);
  const std::vector<std::string> seeds = strata_fuzz::seeds();
  const auto run = [](const std::string& input) {
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  };
  if (count > 2) {
    round_now = std::atoi(arguments[2]);
    run(mutated(seeds, round_now));
    return 0;
  }
  for (const std::string& seed : seeds) run(seed);
  const auto begin = std::chrono::steady_clock::now();
  while (std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() < seconds) {
    round_now = round_now + 1;
    run(mutated(seeds, round_now));
  }
  std::printf("%d rounds\n", static_cast<int>(round_now));
}
