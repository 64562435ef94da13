#include <strata/io/svg.hpp>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

using namespace strata;
using Catch::Contains;

namespace {

int count(const std::string& text, const std::string& part) {
  int out = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != text.npos; ++at) ++out;
  return out;
}
std::string draw(const Chart& chart) {
  return svg(std::vector<Chart>{chart});
}
constexpr double missing = std::numeric_limits<double>::quiet_NaN();
constexpr double infinite = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("svg draws lines, dots, legend and round ticks", "[io][svg]") {
  const std::string text = svg(
      std::vector<Chart>{{.title = "Accuracy",
                          .series = {{.name = "training", .y = {0.5, 0.75, 1}, .style = SeriesStyle::dots},
                                     {.name = "validation", .y = {0.5, 0.7, 0.8}}}},
                         {.title = "Loss", .y_label = "loss", .series = {{.y = {3, 1}}}}},
      {.panel_width = 300, .panel_height = 200});
  CHECK_THAT(text, Contains("viewBox=\"0 0 600 200\"") && Contains(">Accuracy<") && Contains(">training<") &&
                       Contains(">validation<") && Contains(">epoch<") && Contains(">0.6<") &&
                       Contains(">1.0<") && Contains("rotate(-90"));
  CHECK(count(text, "<circle") == 4);  // three values and the legend
  CHECK(count(text, "<path") == 3);    // two curves and the legend
  CHECK(text == svg(std::vector<Chart>{{.title = "Accuracy",
                                        .series = {{.name = "training",
                                                    .y = {0.5, 0.75, 1},
                                                    .style = SeriesStyle::dots},
                                                   {.name = "validation", .y = {0.5, 0.7, 0.8}}}},
                                       {.title = "Loss", .y_label = "loss", .series = {{.y = {3, 1}}}}},
                    {.panel_width = 300, .panel_height = 200}));
}

TEST_CASE("svg leaves gaps, and shows a lone point", "[io][svg]") {
  const std::string text = draw({.series = {{.y = {1, 2, missing, 3, infinite, 4, 5}}}});
  CHECK(count(text, "<path") == 1);
  CHECK(count(text, "<circle") == 1);
  const std::size_t path = text.find("<path d=");
  CHECK(count(text.substr(path, text.find("/>", path) - path), "M") == 2);
  CHECK_THAT(draw({.series = {{.y = {missing}}}}), Contains("no data"));
  CHECK_THAT(draw({}), Contains("no data"));
}

TEST_CASE("svg stays inside its panel for any value", "[io][svg]") {
  const double largest = std::numeric_limits<double>::max();
  for (const std::vector<double>& y : std::vector<std::vector<double>>{{0.5},
                                                                       {0},
                                                                       {3, 3, 3},
                                                                       {-largest, largest},
                                                                       {9e299, -9e299},
                                                                       {5e-324, 1e-310},
                                                                       {1e-9, 3e-9},
                                                                       {1e12, 3e12},
                                                                       {1e9, 1e9 + 1},
                                                                       {1, 1 + 1e-12},
                                                                       {-1e-300, 1e-300}}) {
    const std::string text = draw({.title = "t", .series = {{.y = y, .style = SeriesStyle::dots}}});
    CAPTURE(y, text);
    CHECK(count(text, "<text") < 40);
    CHECK(count(text, "nan") + count(text, "inf") == 0);
    for (std::size_t at = 0; (at = text.find("cy=\"", at)) != text.npos; ++at) {
      const double value = std::stod(text.substr(at + 4));
      CHECK((value >= 0 && value <= 340));
    }
  }
}

TEST_CASE("svg escapes text and cuts what is too long", "[io][svg]") {
  const std::string text = draw({.title = "<script> & \"\xC3\xA9\" \xFF\x01", .series = {{.y = {1, 2}}}});
  CHECK_THAT(text, Contains(">&lt;script&gt; &amp; &quot;\xC3\xA9&quot; ?\?<"));
  const std::string cut =
      draw({.title = std::string(500, 'x'), .series = {{.name = std::string(500, 'y'), .y = {1}}}});
  CHECK(count(cut, std::string(90, 'x')) + count(cut, std::string(90, 'y')) == 0);
  CHECK(count(cut, "\xE2\x80\xA6") == 2);
  CHECK_THROWS_AS(draw({.series = {{.y = {1, 2}, .x = {1}}}}), DataError);
  CHECK_THROWS_AS(svg(std::vector<Chart>{{}}, {.panel_width = 0}), ConfigError);
}

TEST_CASE("ema is the book's smooth_curve", "[io][svg]") {
  const std::vector<double> values{1, 2, 4, missing, 0};
  const std::vector<double> smooth = ema(values, 0.8);
  CHECK(smooth[0] == 1);
  CHECK(smooth[1] == Approx(0.8 * 1 + 0.2 * 2));
  CHECK(smooth[2] == Approx(0.8 * 1.2 + 0.2 * 4));
  CHECK(std::isnan(smooth[3]));
  CHECK(smooth[4] == Approx(0.8 * 1.76));
  CHECK(ema(std::vector{1.0, infinite, 2.0})[2] == Approx(1.2));
  CHECK(ema({}, 0.5).empty());
  CHECK(ema(values, 0)[2] == 4);
  CHECK_THROWS_AS(ema(values, 1), ConfigError);
}
