#pragma once

#include <span>
#include <string>
#include <vector>

#include <strata/core/error.hpp>

namespace strata { inline namespace STRATA_ABI {

enum class SeriesStyle { line, dots };

/// One curve of a chart. Values that are not finite leave a gap.
struct Series {
  std::string name = {};       ///< in the legend; empty: not there
  std::vector<double> y = {};  ///< values
  std::vector<double> x = {};  ///< positions, as many as values; empty: 1, 2, 3, ... (epochs)
  SeriesStyle style = SeriesStyle::line;
  int color =
      -1;  ///< of the palette; -1: the position in the chart. Give a raw and a smoothed curve the same
  bool faint = false;  ///< drawn pale, behind the others
};

/// One panel.
struct Chart {
  std::string title = {};
  std::string x_label = "epoch";
  std::string y_label = {};
  std::vector<Series> series = {};
};

struct SvgOptions {
  int panel_width = 460;  ///< pixels
  int panel_height = 340;
};

/// Line charts side by side as one SVG image, legible on light and dark pages. Throws DataError for a series
/// whose x and y differ in length.
std::string svg(std::span<const Chart> charts, const SvgOptions& options = {});

/// Exponential moving average: out[i] = factor * out[i-1] + (1 - factor) * values[i], out[0] = values[0].
/// What is not finite stays where it is and does not enter the average.
std::vector<double> ema(std::span<const double> values, double factor = 0.8);

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/io/svg.ipp>
#endif
