#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <strata/core/config.hpp>
#include <strata/data/image.hpp>
#include <strata/data/resize.hpp>
#include <strata/io/json.hpp>
#include <strata/io/svg.hpp>
#include <strata/model/summary.hpp>
#include <strata/training/history.hpp>

/// A run as one page that needs nothing else: no network, no script, no other file.
namespace examples {

/// A test picture that was taken for another class.
struct WrongPicture {
  strata::Tensor<std::uint8_t> picture = {};  ///< [height,width,channels]
  strata::Tensor<std::uint8_t> heat_map =
      {};  ///< over the picture; empty where the network has no convolution
  std::string file = {}, label = {}, predicted = {};  ///< the file may be unknown
  double label_score = 0, predicted_score = 0;
};

struct Report {
  std::string run_dir = {}, network = {}, device = {};
  strata::Json config = {}, metrics = {};  ///< of config.json and metrics.json; null: it was stopped
  strata::History history = {};
  std::vector<strata::Chart> charts = {};
  std::int64_t trained_weights = 0, weights = 0, test_pictures = 0, wrong = 0;
  bool best_tested = false;  ///< else the last epoch's model
  std::vector<WrongPicture> most_wrong = {};
  /// Rows of a picture as it is and what training saw of it; empty where nothing was augmented.
  std::vector<std::vector<strata::Tensor<std::uint8_t>>> augmented = {};
};

inline std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  return out;
}

/// RFC 4648.
inline std::string base64(std::string_view bytes) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t k) {
      return i + k < bytes.size() ? static_cast<unsigned>(static_cast<unsigned char>(bytes[i + k])) : 0U;
    };
    const unsigned group = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (std::size_t k = 0; k < 4; ++k)
      out += i + k > bytes.size() ? '=' : digits[group >> (18 - 6 * k) & 63];
  }
  return out;
}

namespace detail {

using strata::detail::with_commas;

inline std::string format(const char* how, double number) {
  char text[64];
  std::snprintf(text, sizeof text, how, number);
  return text;
}
/// Rounded for people; the exact number stands in `value`. null is what was not finite.
inline std::string number(const strata::Json& exact, const char* how, double scale = 1) {
  if (exact.is_null()) return "not finite";
  return strata::concat("<data value=\"", exact.dump(), "\">", format(how, exact.as_double() * scale),
                        "</data>");
}

/// At most 192 pixels a side; small pictures keep their pixels.
inline std::string img(const strata::Tensor<std::uint8_t>& picture, const std::string& description) {
  const std::int64_t height = picture.shape()[0], width = picture.shape()[1], side = std::max(height, width);
  const double scale = std::min(1.0, 192.0 / static_cast<double>(side));
  const auto scaled = [&](std::int64_t extent) {
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(extent) * scale + 0.5));
  };
  const auto small =
      strata::resize_pillow(picture, scaled(height), scaled(width), strata::PillowFilter::bilinear);
  const bool png = side < 64 || picture.shape()[2] == 4;
  return strata::concat(
      "<img ", side < 64 ? "class=\"tiny\" " : "", "src=\"data:image/", png ? "png" : "jpeg", ";base64,",
      base64(png ? strata::encode_png(small) : strata::encode_jpeg(small, 85)), "\" width=\"",
      small.shape()[1], "\" height=\"", small.shape()[0], "\" alt=\"", escape_html(description), "\"/>");
}

inline std::string tile(std::string_view name, std::string_view figure, std::string_view more) {
  return strata::concat("<div><dt>", name, "</dt><dd><b>", figure, "</b><span>", more,
                        "</span></dd></div>\n");
}

inline std::string results(const Report& report) {
  using strata::concat;
  const strata::Json& metrics = report.metrics;
  const std::vector<double> losses = report.history["val_loss"];
  const auto less = [](double a, double b) { return a < b || (std::isnan(b) && !std::isnan(a)); };
  const auto best =
      static_cast<std::size_t>(std::min_element(losses.begin(), losses.end(), less) - losses.begin());
  const std::string epochs_and_weights =
      concat(tile("Best epoch", concat(report.history.epoch()[best] + 1),
                  concat("of ", report.history.epoch().back() + 1,
                         " by validation loss: ", format("%.4f", losses[best]), ", accuracy ",
                         format("%.3f", report.history["val_accuracy"][best]))),
             tile("Weights that train", with_commas(report.trained_weights),
                  report.trained_weights == report.weights ? "all there are"
                                                           : concat("of ", with_commas(report.weights))));
  if (metrics.is_null())
    return concat("<dl class=\"tiles\">\n", epochs_and_weights,
                  "</dl>\n<p class=\"note\">The run was stopped after epoch ",
                  report.history.epoch().back() + 1, " and is not tested; --resume goes on with it.</p>\n");
  const strata::Json &test = metrics.at("test"), &interval = test.at("accuracy_ci95");
  double seconds = 0;
  for (const auto& [name, phase] : metrics.at("phases").as_object()) seconds += phase.get<double>("seconds");
  std::string out = concat(
      "<dl class=\"tiles\">\n",
      tile("Test accuracy", number(test.at("accuracy"), "%.3f"),
           concat("95 % interval ", number(interval.at(std::size_t{0}), "%.3f"), " to ",
                  number(interval.at(std::size_t{1}), "%.3f"), ", ", with_commas(report.test_pictures),
                  " pictures")),
      epochs_and_weights,
      tile("Time", format(seconds < 100 ? "%.1f s" : "%.0f s", seconds),
           concat("peak memory ", number(metrics.at("peak_memory_bytes"), "%.0f MB", 1e-6))),
      "</dl>\n<div "
      "class=\"tables\">\n<table><thead><tr><th></th><th>Loss</th><th>Accuracy</th></tr></thead><tbody>\n");
  for (const auto& [key, name] : {std::pair{"train", "Training, last epoch"},
                                  std::pair{"validation", "Validation"}, std::pair{"test", "Test"}})
    out += concat("<tr><th>", name, "</th><td>", number(metrics.at(key).at("loss"), "%.4f"), "</td><td>",
                  number(metrics.at(key).at("accuracy"), "%.4f"), "</td></tr>\n");
  out +=
      "</tbody></table>\n<table><thead><tr><th>Phase</th><th>Seconds</th><th>Pictures/s</th></tr></"
      "thead><tbody>\n";
  for (const auto& [name, phase] : metrics.at("phases").as_object())
    out += concat("<tr><th>", escape_html(name), "</th><td>", number(phase.at("seconds"), "%.1f"),
                  "</td><td>", number(phase.at("images_per_second"), "%.0f"), "</td></tr>\n");
  return out + concat("</tbody></table>\n</div>\n<p class=\"note\">Validated and tested is the model of the ",
                      report.best_tested ? "best" : "last", " epoch.</p>\n");
}

inline std::string curves(const Report& report) {
  std::string out = "<div class=\"curves\">\n";
  for (const strata::Chart& chart : report.charts) {
    std::string image = strata::svg({&chart, 1});
    // Inside a page an SVG needs no namespace.
    constexpr std::string_view name = " xmlns=\"http://www.w3.org/2000/svg\"";
    if (const auto at = image.find(name); at != image.npos) image.erase(at, name.size());
    out += image;
  }
  return out +
         "</div>\n<p class=\"note\">Pale: as they are. Smoothed 0.8: exponential moving average, factor "
         "0.8.</p>\n";
}

inline std::string most_wrong(const Report& report) {
  using strata::concat;
  if (report.most_wrong.empty())
    return concat("<p>All ", with_commas(report.test_pictures), " test pictures are told right.</p>\n");
  const bool heat = !report.most_wrong[0].heat_map.empty();
  std::string out = concat(
      "<p>", with_commas(report.wrong), " of ", with_commas(report.test_pictures),
      report.wrong == 1 ? " test pictures is" : " test pictures are", " taken for another class. ",
      report.most_wrong.size() == 1 ? "Here it is" : "Here are those whose own class gets the lowest score",
      heat ? "; over the second picture lies Grad-CAM: red is where the network sees the class that it says"
           : "",
      ".</p>\n<div class=\"wrong\">\n");
  for (const WrongPicture& wrong : report.most_wrong) {
    const std::string label = escape_html(wrong.label), predicted = escape_html(wrong.predicted);
    out += concat("<figure><div class=\"pair\">",
                  img(wrong.picture, wrong.label + ", taken for " + wrong.predicted));
    if (heat) out += img(wrong.heat_map, "where the network sees " + wrong.predicted);
    out += concat("</div><figcaption><span class=\"said\">taken for <b>", predicted, "</b>",
                  number(wrong.predicted_score, "%.3f"), "</span><span class=\"true\">in truth <b>", label,
                  "</b>", number(wrong.label_score, wrong.label_score < 0.001 ? "%.0e" : "%.3f"), "</span>");
    if (!wrong.file.empty()) out += concat("<small>", escape_html(wrong.file), "</small>");
    out += "</figcaption></figure>\n";
  }
  return out + "</div>\n";
}

inline std::string augmented(const Report& report) {
  std::string out = "<p>First in each row a picture as it is, then as training sees it.</p>\n";
  for (const auto& row : report.augmented) {
    out += "<div class=\"row\">";
    for (std::size_t i = 0; i < row.size(); ++i)
      out += img(row[i], i == 0 ? "a training picture" : "the same, augmented");
    out += "</div>\n";
  }
  return out;
}

inline std::string configuration(const Report& report) {
  using strata::concat;
  char date[32];
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &utc);
#ifdef __clang__
  const std::string compiler = __VERSION__;
#else
  const std::string compiler = "g++ " __VERSION__;
#endif
  std::string out = "<dl class=\"options\">\n";
  const auto entry = [&](const std::string& name, const std::string& value) {
    out += concat("<div><dt>", escape_html(name), "</dt><dd>", escape_html(value), "</dd></div>\n");
  };
  for (const auto& [name, value] : report.config.as_object()) {
    if (name == "version") continue;
    std::string flag = "--" + name;
    std::replace(flag.begin(), flag.end(), '_', '-');
    const std::string text = value.is_string() ? value.as_string()
                             : value.is_bool() ? (value.as_bool() ? "yes" : "no")
                                               : value.dump();
    entry(flag, text.empty() ? "not given" : text);
  }
  entry("network", report.network);
  entry("device", report.device);
  entry("Strata", STRATA_VERSION);
  entry("compiler", compiler);
  entry("written", date);
  return out + "</dl>\n";
}

}  // namespace detail

/// The page.
inline std::string report_html(const Report& report) {
  using strata::concat;
  // The colours are those of the curves.
  constexpr std::string_view style = R"(
:root{color-scheme:light dark;--page:#fff;--ink:#1f2328;--soft:#57606a;--line:#e4e7eb;--said:#b34700;--right:#00704f}
@media screen and (prefers-color-scheme:dark){
:root{--page:#0d1117;--ink:#e6edf3;--soft:#9aa4af;--line:#262c36;--said:#f5934a;--right:#3ccf9f}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}
main{max-width:1040px;margin:0 auto;padding:32px 20px 48px}
h1{font-size:28px;line-height:1.2;margin:0;overflow-wrap:anywhere}
h2{font-size:19px;margin:44px 0 12px;padding-bottom:6px;border-bottom:1px solid var(--line)}
p{margin:0 0 16px;max-width:72ch}
header p,.note{color:var(--soft);margin:4px 0 0;overflow-wrap:anywhere}
.note{font-size:13px;margin-top:10px}
dl,dd,figure{margin:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px}
.tiles>div{border:1px solid var(--line);border-radius:8px;padding:12px 14px;min-width:0}
.tiles dt,.options dt{color:var(--soft);font-size:14px}
.tiles b{display:block;font-size:clamp(20px,5.4vw,26px);line-height:1.3;font-weight:600}
.tiles span{color:var(--soft);font-size:13px;line-height:1.35;display:block}
.tables{display:grid;grid-template-columns:repeat(auto-fit,minmax(280px,1fr));gap:8px 40px;margin-top:20px;align-items:start}
table{border-collapse:collapse;width:100%;font-size:15px}
th,td{text-align:right;font-weight:400;padding:6px 0 6px 12px;border-bottom:1px solid var(--line)}
th:first-child{text-align:left;padding-left:0}
thead th{color:var(--soft);font-size:14px}
b,table,.tiles,.wrong{font-variant-numeric:tabular-nums}
.curves{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,380px),1fr));gap:8px}
.curves svg{width:100%;height:auto}
img{display:block;max-width:100%;height:auto;border-radius:4px}
img.tiny{image-rendering:pixelated;border-radius:0}
.wrong{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,290px),1fr));gap:24px}
.pair{display:flex;gap:6px}
.pair img{width:calc(50% - 3px)}
figcaption{display:grid;gap:1px;margin-top:8px;font-size:14px;line-height:1.4}
figcaption span{display:flex;align-items:baseline;gap:.35em}
figcaption b{min-width:0;overflow-wrap:anywhere}
figcaption b{font-weight:600}
figcaption data{margin-left:auto}
.said b{color:var(--said)}
.true b{color:var(--right)}
small{color:var(--soft);font-size:12px;overflow-wrap:anywhere}
.row{display:grid;grid-template-columns:repeat(6,minmax(0,1fr));gap:6px;margin-bottom:6px}
.row img{width:100%}
@media(max-width:560px){.row{grid-template-columns:repeat(3,minmax(0,1fr));margin-bottom:16px}}
.options{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:0 40px;font-size:14px}
.options>div{display:flex;gap:16px;padding:5px 0;border-bottom:1px solid var(--line)}
.options dt{flex:0 0 9em}
.options dd{overflow-wrap:anywhere;min-width:0}
@media print{main{max-width:none;padding:0}body{font-size:13px}h2{break-after:avoid}
.tiles>div,figure,.row,svg,tr{break-inside:avoid}}
)";
  std::string run = report.run_dir;
  while (run.size() > 1 && run.ends_with('/')) run.pop_back();
  const std::string title = escape_html(run.substr(run.rfind('/') + 1));
  std::string out = concat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>",
      title, "</title>\n<style>", style, "</style>\n</head>\n<body>\n<main>\n<header>\n<h1>", title,
      "</h1>\n<p>", escape_html(concat(report.network, " on ", report.device)), "</p>\n</header>\n");
  const auto section = [&](std::string_view name, const std::string& content) {
    out += concat("<section>\n<h2>", name, "</h2>\n", content, "</section>\n");
  };
  section("Results", detail::results(report));
  section("Curves", detail::curves(report));
  if (!report.metrics.is_null()) section("Most wrong test pictures", detail::most_wrong(report));
  if (!report.augmented.empty()) section("Augmented training pictures", detail::augmented(report));
  section("Configuration", detail::configuration(report));
  return out + "</main>\n</body>\n</html>\n";
}

}  // namespace examples
