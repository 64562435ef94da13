#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>
#include <iostream>

#include "support/skip.hpp"

namespace {

using strata_test::skip_reason;

// Writes one line per test case, `passed|failed|skipped <tab> name <tab> reason`, to the file that
// STRATA_TEST_REPORT names, and a closing `end`, without which tests/run takes the program for crashed.
class Report : public Catch::TestEventListenerBase {
 public:
  using TestEventListenerBase::TestEventListenerBase;

  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    TestEventListenerBase::testCaseStarting(info);
    skip_reason().clear();
  }
  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    const Catch::Counts& assertions = stats.totals.assertions;
    const bool failed = !assertions.allOk() || (assertions.total() == 0 && skip_reason().empty());
    const std::string& name = stats.testInfo.name;
    if (failed && assertions.allOk()) std::cout << "failed: " << name << ": no assertion was made\n";
    if (!skip_reason().empty()) std::cout << "skipped: " << name << ": " << skip_reason() << std::endl;
    file_ << (failed                  ? "failed"
              : skip_reason().empty() ? "passed"
                                      : "skipped")
          << '\t' << name << '\t' << skip_reason() << std::endl;
  }
  void testRunEnded(const Catch::TestRunStats& stats) override {
    TestEventListenerBase::testRunEnded(stats);
    file_ << "end" << std::endl;
  }

 private:
  static const char* path() {
    const char* name = std::getenv("STRATA_TEST_REPORT");
    return name ? name : "/dev/null";
  }
  std::ofstream file_{path()};
};
CATCH_REGISTER_LISTENER(Report)

}  // namespace
