#include <strata/io/json.hpp>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include <strata/core/shape.hpp>

using namespace strata;
using Catch::Contains;

TEST_CASE("json reads what it wrote, exactly", "[io][json]") {
  const Json config = Json::object({{"name", "conv \"1\"\n\x01 \xC3\xA9 \xF0\x9F\x90\xB1"},
                                    {"filters", 64},
                                    {"rate", 0.1},
                                    {"whole", 1.0},
                                    {"minus_zero", -0.0},
                                    {"big", std::numeric_limits<std::int64_t>::max()},
                                    {"small", std::numeric_limits<std::int64_t>::min()},
                                    {"tiny", 5e-324},
                                    {"huge", std::numeric_limits<double>::max()},
                                    {"use_bias", true},
                                    {"nothing", nullptr},
                                    {"shape", Json::array(Shape{150, 150, 3})},
                                    {"nested", Json::object({{"list", Json::array({1, "two", Json()})}})},
                                    {"empty", Json::object()},
                                    {"none", Json::array()}});
  for (const int indent : {0, 2}) {
    const Json back = Json::parse(config.dump(indent));
    CHECK(back == config);
    CHECK(back.dump(indent) == config.dump(indent));
  }
  CHECK(std::signbit(Json::parse(config.dump()).get<double>("minus_zero")));
  CHECK(Json::object({{"b", 1}, {"a", Json::array({1.5, "x"})}}).dump(2) ==
        "{\n  \"b\": 1,\n  \"a\": [1.5, \"x\"]\n}");
}

TEST_CASE("json getters convert, fall back, and name the key in errors", "[io][json]") {
  const Json j =
      Json::parse(R"({"filters": 64, "rate": 0.5, "size": [3, 4], "whole": 2.0, "s": "\u00e9\ud83d\ude00"})");
  CHECK(j.at("filters").as_int() == 64);
  CHECK(j.get<int>("whole") == 2);
  CHECK(j.get<double>("filters") == 64.0);
  CHECK(j.get("rate", 0.1) == 0.5);
  CHECK(j.get("momentum", 0.9) == 0.9);
  CHECK(j.get("padding", "valid") == "valid");
  CHECK(j.get<Shape>("size") == Shape{3, 4});
  CHECK(j.get<std::vector<float>>("size") == std::vector<float>{3, 4});
  CHECK(j.get<std::string>("s") == "\xC3\xA9\xF0\x9F\x98\x80");
  CHECK(j.find("absent") == nullptr);
  CHECK_THROWS_WITH(j.get<int>("rate"), Contains("\"rate\": expected an integer, found 0.5"));
  CHECK_THROWS_WITH(j.get<std::uint8_t>("absent"), Contains("\"absent\"") && Contains("\"filters\""));
  CHECK_THROWS_WITH(Json(300).as<std::uint8_t>(), Contains("[0,255]") && Contains("300"));
  CHECK_THROWS_WITH(j.at("filters").as_string(), Contains("expected a string, found 64"));
  CHECK_THROWS_AS(j.at(0), DataError);
  CHECK_THROWS_AS(Json::array({1}).at(1), DataError);
  CHECK_THROWS_AS(Json(1e19).as_int(), DataError);
}

TEST_CASE("json is built member by member", "[io][json]") {
  Json j;
  j["a"]["b"] = 1;
  j["list"].push_back(1);
  j["list"].push_back("x");
  j["a"]["b"] = 2;
  CHECK(j.dump() == R"({"a":{"b":2},"list":[1,"x"]})");
  CHECK_THROWS_AS(j["list"]["key"], DataError);
  CHECK_THROWS_AS(j["a"].push_back(1), DataError);
  CHECK_THROWS_AS(Json::object({{"a", 1}, {"a", 2}}), DataError);
}

TEST_CASE("json refuses to write what JSON cannot hold", "[io][json]") {
  CHECK_THROWS_AS(Json(std::numeric_limits<double>::quiet_NaN()).dump(), DataError);
  CHECK_THROWS_AS(Json(-std::numeric_limits<double>::infinity()).dump(), DataError);
  CHECK_THROWS_AS(Json("\xFF").dump(), DataError);
  CHECK_THROWS_AS(Json(std::numeric_limits<std::uint64_t>::max()), DataError);
}

TEST_CASE("json errors give source, line and column", "[io][json]") {
  CHECK_THROWS_WITH(Json::parse("{\n  \"a\": 1,\n  \"b\" 2\n}", "config.json"),
                    Contains("config.json:3:7: expected ':', found '2'"));
  CHECK_THROWS_WITH(Json::parse("{\"a\": 1, \"b\": {}, \"a\": 2}"), Contains("\"a\" twice"));
}

TEST_CASE("json is strict", "[io][json]") {
  const std::string deep = std::string(100000, '[');
  for (const std::string_view text : {"",
                                      " ",
                                      "{",
                                      "[1,]",
                                      "{\"a\":1,}",
                                      "01",
                                      "+1",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "-",
                                      "1e400",
                                      "NaN",
                                      "Infinity",
                                      "nul",
                                      "truee",
                                      "'a'",
                                      "\"a",
                                      "\"\\x\"",
                                      "\"\\u12\"",
                                      "\"\\ud800\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\\udc00\"",
                                      "\"\n\"",
                                      "\"\xFF\"",
                                      "\"\xC0\xAF\"",
                                      "\"\xE0\x80\x80\"",
                                      "\"\xED\xA0\x80\"",
                                      "\"\xF4\x90\x80\x80\"",
                                      "\"\xE2\x82\"",
                                      "{1:2}",
                                      "{\"a\"}",
                                      "[1 2]",
                                      "1 2",
                                      "// x\n1",
                                      "\xEF\xBB\xBF{}",
                                      "{\"a\":1,\"a\":1}"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(Json::parse(text), DataError);
  }
  CHECK_THROWS_AS(Json::parse(std::string_view("[\0]", 3)), DataError);
  CHECK_THROWS_AS(Json::parse(deep), DataError);
  const std::string allowed = std::string(128, '[') + std::string(128, ']');
  CHECK(Json::parse(allowed).dump() == allowed);
  CHECK_THROWS_WITH(Json::parse("[" + allowed + "]"), Contains("levels"));
}

TEST_CASE("json truncated anywhere is an error, not a crash", "[io][json]") {
  const std::string text = R"({"a": [1, -2.5e3, "\u00e9x"], "b": {"c": true, "d": null}})";
  REQUIRE_NOTHROW(Json::parse(text));
  for (std::size_t length = 0; length < text.size(); ++length)
    CHECK_THROWS_AS(Json::parse(std::string_view(text).substr(0, length)), DataError);
}
