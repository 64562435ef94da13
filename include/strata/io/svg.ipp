#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include <strata/io/svg.hpp>
#include <strata/io/utf8.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {

/// XML text: markup escaped, what XML or UTF-8 does not allow as '?'.
STRATA_COLD STRATA_INLINE std::string svg_text(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text, i);
    const std::string_view c = text.substr(i, std::max<std::size_t>(length, 1));
    if (length == 0 || (length == 1 && static_cast<unsigned char>(c[0]) < 0x20))
      out += '?';
    else
      out += c == "&" ? "&amp;" : c == "<" ? "&lt;" : c == ">" ? "&gt;" : c == "\"" ? "&quot;" : c;
    i += c.size();
  }
  return out;
}

/// Estimated width of a text in pixels: no font is at hand, so a little more than the usual sans-serif.
STRATA_COLD STRATA_INLINE double svg_width(std::string_view text, double font_size) {
  double characters = 0;
  for (const char c : text) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return characters * font_size * 0.58;
}

/// `text` cut, with an ellipsis, to what fits into `width`.
STRATA_COLD STRATA_INLINE std::string svg_fit(std::string_view text, double font_size, double width) {
  if (svg_width(text, font_size) <= width) return svg_text(text);
  std::size_t end = 0;
  while (end < text.size()) {
    const std::size_t next = end + std::max<std::size_t>(utf8_length(text, end), 1);
    if (svg_width(text.substr(0, next), font_size) + font_size > width) break;
    end = next;
  }
  return svg_text(text.substr(0, end)) + "…";
}

STRATA_COLD STRATA_INLINE std::string svg_fixed(double value, int decimals) {
  char text[400];
  std::string out(text,
                  std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, decimals).ptr);
  return out.find_first_not_of("-0.") == out.npos ? out.substr(out[0] == '-') : out;  // no "-0.00"
}
/// A coordinate.
STRATA_COLD STRATA_INLINE std::string svg_px(double value) {
  std::string out = svg_fixed(value, 2);
  out.erase(out.find_last_not_of('0') + 1);
  if (out.back() == '.') out.pop_back();
  return out;
}

/// "2.5e-07": `value` with the digits that tell it from a neighbour 10^exponent away.
STRATA_COLD STRATA_INLINE std::string svg_scientific(double value, int exponent) {
  if (value == 0) return "0";
  const int digits = static_cast<int>(std::floor(std::log10(std::fabs(value)) + 1e-9)) - exponent;
  char text[64];
  return std::string(text, std::to_chars(text, text + sizeof text, value, std::chars_format::scientific,
                                         std::clamp(digits, 0, 15))
                               .ptr);
}

/// An axis: the range drawn, and labelled positions at 1, 2 or 5 times a power of ten.
struct SvgAxis {
  double low, high;
  std::vector<std::pair<double, std::string>> ticks;

  /// `first` > `last` where there is no value; a `whole` axis has no ticks between whole numbers.
  SvgAxis(double first, double last, bool whole, double max_ticks) : low(first), high(last) {
    if (first > last) low = 0, high = 1;
    const double size = std::max(std::fabs(low), std::fabs(high));
    double margin = (high - low) * (whole ? 0.03 : 0.06);
    if (high - low <= size * 1e-9) margin = whole ? 0.5 : size > 1e-290 ? size * 0.1 : 1;
    low -= margin;
    high += margin;

    const double power = std::pow(10.0, std::floor(std::log10((high - low) / max_ticks)));
    double step = power;
    for (const double factor : {2.0, 5.0, 10.0})
      if ((high - low) / step > max_ticks) step = power * factor;
    if (whole) step = std::max(step, 1.0);
    const int exponent = static_cast<int>(std::floor(std::log10(step) + 1e-9));
    const bool scientific = size >= 1e6 || exponent < -5;
    for (double i = std::ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i)
      ticks.emplace_back(i * step, scientific ? svg_scientific(i * step, exponent)
                                              : svg_fixed(i * step, std::max(0, -exponent)));
  }

  double place(double value) const { return (value - low) / (high - low); }
};

/// Draws one chart with its top left corner at (0, 0).
class SvgPanel {
 public:
  SvgPanel(const Chart& chart, const SvgOptions& options)
      : chart_(chart), width_(options.panel_width), height_(options.panel_height) {}

  std::string draw() {
    measure();
    const SvgAxis y(low_y_, high_y_, false, std::max(2.0, height_ / 50));
    double label_width = 0;
    for (const auto& tick : y.ticks) label_width = std::max(label_width, svg_width(tick.second, small));
    left_ = 18 + label_width + (chart_.y_label.empty() ? 0 : 20);
    right_ = width_ - 18;
    bottom_ = height_ - (chart_.x_label.empty() ? 32 : 50);
    const SvgAxis x(low_x_, high_x_, whole_x_, std::max(2.0, (right_ - left_) / 55));

    text("t", (left_ + right_) / 2, 24, large, "middle", svg_fit(chart_.title, large, width_ - 24));
    legend();
    axes(x, y);
    for (const bool faint : {true, false})
      for (std::size_t i = 0; i < chart_.series.size(); ++i)
        if (chart_.series[i].faint == faint) curve(i, x, y);
    return std::move(out_);
  }

 private:
  static constexpr double small = 12, large = 15;
  static constexpr int colors = 6;

  static double x_of(const Series& series, std::size_t i) {
    return series.x.empty() ? static_cast<double>(i + 1) : series.x[i];
  }
  /// Beyond the bound, differences and steps would overflow.
  static bool drawable(const Series& series, std::size_t i) {
    return std::fabs(x_of(series, i)) < 1e300 && std::fabs(series.y[i]) < 1e300;
  }
  int color(std::size_t i) const {
    const int chosen = chart_.series[i].color;
    return (chosen < 0 ? static_cast<int>(i) : chosen) % colors;
  }

  void measure() {
    for (const Series& series : chart_.series) {
      require<DataError>(series.x.empty() || series.x.size() == series.y.size(), "[svg] series '",
                         series.name, "': expected as many x as y, found ", series.x.size(), " and ",
                         series.y.size());
      for (std::size_t i = 0; i < series.y.size(); ++i) {
        if (!drawable(series, i)) continue;
        const double x = x_of(series, i), y = series.y[i];
        low_x_ = std::min(low_x_, x);
        high_x_ = std::max(high_x_, x);
        low_y_ = std::min(low_y_, y);
        high_y_ = std::max(high_y_, y);
        whole_x_ = whole_x_ && x == std::floor(x);
      }
    }
  }

  /// `escaped` is XML already.
  void text(std::string_view kind, double x, double y, double size, std::string_view anchor,
            std::string_view escaped, std::string_view more = "") {
    if (escaped.empty()) return;
    out_ += concat("<text class=\"", kind, "\" x=\"", svg_px(x), "\" y=\"", svg_px(y), "\" font-size=\"",
                   svg_px(size), "\" text-anchor=\"", anchor, "\"", more, ">", escaped, "</text>\n");
  }
  void line(std::string_view kind, double x1, double y1, double x2, double y2) {
    out_ += concat("<line class=\"", kind, "\" x1=\"", svg_px(x1), "\" y1=\"", svg_px(y1), "\" x2=\"",
                   svg_px(x2), "\" y2=\"", svg_px(y2), "\"/>\n");
  }
  void dot(double x, double y, double radius) {
    out_ += concat("<circle cx=\"", svg_px(x), "\" cy=\"", svg_px(y), "\" r=\"", svg_px(radius), "\"/>\n");
  }
  void group(std::size_t i) {
    out_ += concat("<g class=\"", chart_.series[i].style == SeriesStyle::line ? "l" : "d", color(i),
                   chart_.series[i].faint ? " f\">\n" : "\">\n");
  }

  /// Between title and plot, in as many lines as it takes, so that it never hides a curve.
  void legend() {
    constexpr double swatch = 22, gap = 16, row = 19;
    double x = left_, y = chart_.title.empty() ? 20 : 46;
    bool any = false;
    for (std::size_t i = 0; i < chart_.series.size(); ++i) {
      const std::string name = svg_fit(chart_.series[i].name, small, right_ - left_ - swatch - 6);
      if (name.empty()) continue;
      const double width =
          swatch + 6 + std::min(svg_width(chart_.series[i].name, small), right_ - left_ - swatch - 6);
      if (any && x + width > right_) x = left_, y += row;
      group(i);
      if (chart_.series[i].style == SeriesStyle::line)
        out_ += concat("<path d=\"M", svg_px(x), " ", svg_px(y - 4), "h", svg_px(swatch), "\"/>\n");
      else
        dot(x + swatch / 2, y - 4, 3.5);
      out_ += "</g>\n";
      text("n", x + swatch + 6, y, small, "start", name);
      x += width + gap;
      any = true;
    }
    top_ = any ? y + 12 : chart_.title.empty() ? 14 : 40;
  }

  void axes(const SvgAxis& x, const SvgAxis& y) {
    for (const auto& [value, label] : y.ticks) {
      const double at = bottom_ - y.place(value) * (bottom_ - top_);
      line("g", left_, at, right_, at);
      text("n", left_ - 8, at + 4, small, "end", label);
    }
    for (const auto& [value, label] : x.ticks) {
      const double at = left_ + x.place(value) * (right_ - left_);
      line("a", at, bottom_, at, bottom_ + 4);
      text("n", at, bottom_ + 18, small, "middle", label);
    }
    line("a", left_, bottom_, right_, bottom_);
    const double center = (top_ + bottom_) / 2;
    text("n", (left_ + right_) / 2, height_ - 12, small, "middle",
         svg_fit(chart_.x_label, small, right_ - left_));
    text("n", 18, center, small, "middle", svg_fit(chart_.y_label, small, bottom_ - top_),
         concat(" transform=\"rotate(-90 18 ", svg_px(center), ")\""));
    if (low_x_ > high_x_) text("n", (left_ + right_) / 2, center, small, "middle", "no data");
  }

  void curve(std::size_t index, const SvgAxis& x, const SvgAxis& y) {
    const Series& series = chart_.series[index];
    const double count = static_cast<double>(series.y.size());
    const double radius = std::clamp((right_ - left_) / std::max(count, 1.0) * 0.4, 1.2, 3.5);
    const bool dots = series.style == SeriesStyle::dots;
    group(index);
    std::string path;
    const auto is_drawn = [&](std::size_t i) { return i < series.y.size() && drawable(series, i); };
    for (std::size_t i = 0; i < series.y.size(); ++i) {
      if (!is_drawn(i)) continue;
      const double px = left_ + x.place(x_of(series, i)) * (right_ - left_);
      const double py = bottom_ - y.place(series.y[i]) * (bottom_ - top_);
      const bool begins = i == 0 || !is_drawn(i - 1);
      if (dots || (begins && !is_drawn(i + 1)))
        dot(px, py, dots ? radius : 2.5);  // a point between gaps would be a line without length
      else
        path += concat(begins ? "M" : "L", svg_px(px), " ", svg_px(py));
    }
    if (!path.empty()) out_ += concat("<path d=\"", path, "\"/>\n");
    out_ += "</g>\n";
  }

  const Chart& chart_;
  double width_, height_, left_ = 0, right_ = 0, top_ = 0, bottom_ = 0;
  double low_x_ = std::numeric_limits<double>::infinity(), high_x_ = -low_x_;
  double low_y_ = low_x_, high_y_ = -low_x_;
  bool whole_x_ = true;
  std::string out_;
};

}  // namespace detail

STRATA_COLD STRATA_INLINE std::string svg(std::span<const Chart> charts, const SvgOptions& options) {
  require<ConfigError>(options.panel_width >= 200 && options.panel_height >= 150,
                       "[svg] a panel takes at least 200 x 150 pixels, found ", options.panel_width, " x ",
                       options.panel_height);
  // Okabe and Ito's palette, which colour-blind readers can tell apart, darker on light and lighter on dark.
  constexpr std::string_view light[] = {"#0072b2", "#d55e00", "#00805b", "#b0478a", "#8a6d00", "#57606a"};
  constexpr std::string_view dark[] = {"#56b4e9", "#f5934a", "#3ccf9f", "#e08cc0", "#e8c53a", "#a8b1bb"};
  const auto colors = [](std::span<const std::string_view> palette, std::string_view page,
                         std::string_view ink, std::string_view soft, std::string_view grid) {
    std::string out = concat(".b{fill:", page, "}.t{fill:", ink, "}.n{fill:", soft, "}.a{stroke:", soft,
                             "}.g{stroke:", grid, "}\n");
    for (std::size_t i = 0; i < palette.size(); ++i)
      out += concat(".l", i, "{stroke:", palette[i], "}.d", i, ",.l", i, " circle{fill:", palette[i], "}\n");
    return out;
  };
  const std::string width = std::to_string(static_cast<std::size_t>(options.panel_width) * charts.size());
  const std::string height = std::to_string(options.panel_height);
  std::string out =
      concat("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", width, "\" height=\"", height,
             "\" viewBox=\"0 0 ", width, " ", height,
             "\" font-family=\"system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif\">\n"
             "<style>\npath{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
             "line{stroke-width:1}circle{stroke:none}.t{font-weight:600}.f{opacity:.4}\n",
             colors(light, "#ffffff", "#1f2328", "#57606a", "#e4e7eb"),
             "@media(prefers-color-scheme:dark){\n", colors(dark, "#0d1117", "#e6edf3", "#9aa4af", "#262c36"),
             "}\n</style>\n<rect class=\"b\" width=\"100%\" height=\"100%\"/>\n");
  for (std::size_t i = 0; i < charts.size(); ++i)
    out += concat("<g transform=\"translate(", static_cast<std::size_t>(options.panel_width) * i, " 0)\">\n",
                  detail::SvgPanel(charts[i], options).draw(), "</g>\n");
  return out + "</svg>\n";
}

STRATA_COLD STRATA_INLINE std::vector<double> ema(std::span<const double> values, double factor) {
  require<ConfigError>(factor >= 0 && factor < 1, "[ema] expected a factor in [0,1), found ", factor);
  std::vector<double> out(values.begin(), values.end());
  double average = std::numeric_limits<double>::quiet_NaN();
  for (double& value : out) {
    if (!std::isfinite(value)) continue;
    average = std::isnan(average) ? value : factor * average + (1 - factor) * value;
    value = average;
  }
  return out;
}

}}  // namespace strata::STRATA_ABI
