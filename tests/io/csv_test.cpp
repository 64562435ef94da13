#include <strata/io/csv.hpp>

#include <catch2/catch.hpp>
#include <cmath>

using namespace strata;
using Catch::Contains;

TEST_CASE("csv reads what it wrote", "[io][csv]") {
  CsvTable table({"epoch", "val loss, smoothed", "note \"x\""});
  table.append({0, 0.1, "plain"});
  table.append({1, 1.0 / 3, "a \"quote\", a comma\nand\r\na line"});
  table.append({2, 0.1f, ""});
  table.append({3, std::nan(""), " spaces stay "});
  CHECK(table.to_string() ==
        "epoch,\"val loss, smoothed\",\"note \"\"x\"\"\"\n0,0.1,plain\n1,0.3333333333333333,\"a "
        "\"\"quote\"\", a "
        "comma\nand\r\na line\"\n2,0.1,\n3,nan, spaces stay \n");
  const CsvTable back = CsvTable::parse(table.to_string());
  CHECK(back.columns() == table.columns());
  CHECK(back.rows() == 4);
  CHECK(back.to_string() == table.to_string());
  CHECK(back.field(1, "note \"x\"") == "a \"quote\", a comma\nand\r\na line");
  CHECK(back.numbers("val loss, smoothed")[1] == 1.0 / 3);
  CHECK(std::isnan(back.numbers("val loss, smoothed")[3]));
}

TEST_CASE("csv of other writers", "[io][csv]") {
  const CsvTable table = CsvTable::parse("a,\"b\"\r\n1,\"\"\r\n-2.5e3,\"\"\"\"");
  CHECK(table.columns() == std::vector<std::string>{"a", "b"});
  CHECK(table.numbers("a") == std::vector<double>{1, -2500});
  CHECK(table.field(1, "b") == "\"");
  CHECK(CsvTable::parse("a\n\n\"\"\n5\n").rows() == 3);
  CHECK(CsvTable::parse("a,b").rows() == 0);
}

TEST_CASE("csv that is none", "[io][csv]") {
  CHECK_THROWS_WITH(CsvTable::parse("", "h.csv"), Contains("h.csv:1: expected a line of column names"));
  CHECK_THROWS_WITH(CsvTable::parse("a,b\n\"x\ny\",2\n3\n", "h.csv"),
                    Contains("h.csv:4: expected 2 fields, found 1"));
  CHECK_THROWS_WITH(CsvTable::parse("a\n\"x\ny\n", "h.csv"),
                    Contains("h.csv:2: a quoted field does not end"));
  CHECK_THROWS_AS(CsvTable::parse("a\nx\"y\"\n"), DataError);
  CHECK_THROWS_AS(CsvTable::parse("a\n\"x\"y\n"), DataError);
  CHECK_THROWS_AS(CsvTable::parse("a\rb\n"), DataError);
  CHECK_THROWS_WITH(CsvTable::parse("a,b,a\n"), Contains("'a' is there twice"));
  const CsvTable table = CsvTable::parse("a,b\n1,x\n");
  CHECK_THROWS_WITH(table.numbers("b"), Contains("row 0, column 'b': expected a number, found 'x'"));
  CHECK_THROWS_WITH(table.numbers("c"), Contains("'c'") && Contains("'a', 'b'"));
  CHECK_THROWS_AS(table.field(1, "a"), DataError);
  CHECK_THROWS_AS(CsvTable({"a"}).append({1, 2}), DataError);
  // Cut short it is refused, or a shorter table.
  const std::string text = "a,\"b\"\n1,\"2\"\"3\"\n";
  int refused = 0;
  for (std::size_t length = 0; length < text.size(); ++length) {
    try {
      CsvTable::parse(std::string_view(text).substr(0, length));
    } catch (const DataError&) {
      ++refused;
    }
  }
  CHECK(refused == 8);
}
