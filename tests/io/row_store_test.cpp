#include <catch2/catch.hpp>

#include <cstdlib>
#include <numeric>
#include <vector>

#include <strata/io/file.hpp>
#include <strata/io/row_store.hpp>

#include "support/temporary_directory.hpp"

using namespace strata;

TEST_CASE("A row store gives back what it was given, from memory and from a file without a name") {
  const TemporaryDirectory directory;
  setenv("TMPDIR", directory.path().c_str(), 1);
  const std::size_t rows_in_memory = GENERATE(0U, 3U, 100U);
  {
    RowStore store(7 * sizeof(int), rows_in_memory * 7 * sizeof(int) + 5, true);
    std::vector<int> row(7), back(7);
    const auto fill = [&](int number) { std::iota(row.begin(), row.end(), 1000 * number); };
    for (const int number : {5, 90, -4, 17, 2, 8}) {
      fill(number);
      CHECK_FALSE(store.contains(number));
      CHECK(store.store(number, row.data()).empty());
    }
    fill(1);
    CHECK(store.store(90, row.data()).empty());  // there already: stays
    for (const int number : {8, 5, 17, 90, 2, -4}) {
      fill(number);
      CHECK(store.load(number, back.data()));
      CHECK(back == row);
    }
    CHECK_FALSE(store.load(3, back.data()));
    CHECK(list_directory(directory.path()).empty());
  }
  unsetenv("TMPDIR");
}

TEST_CASE("A row store says why a row has no room") {
  RowStore store(8, 16, false);
  const double row = 1;
  CHECK(store.store(0, &row).empty());
  CHECK(store.store(1, &row).empty());
  CHECK(store.store(2, &row) == "more than 2 rows");
  CHECK_FALSE(store.contains(2));
  setenv("TMPDIR", "/absent", 1);
  RowStore nowhere(8, 0, true);
  CHECK(nowhere.store(0, &row) == "No such file or directory");
  unsetenv("TMPDIR");
}
