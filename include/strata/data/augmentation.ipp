#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <strata/core/error.hpp>
#include <strata/data/affine_transform.hpp>
#include <strata/data/augmentation.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_COLD STRATA_INLINE Augmentation::Augmentation(const ImageDataGeneratorOptions& options)
    : options_(options), sampling_{.fill_mode = options.fill_mode, .cval = static_cast<float>(options.cval)} {
  const auto& [dark, bright] = options.brightness_range;
  const ZoomRange& zoom = options.zoom_range;
  const auto finite = [](double value) {
    return std::abs(value) <= double{std::numeric_limits<float>::max()};
  };
  for (const auto& [name, range] : {std::pair{"rotation_range", options.rotation_range},
                                    {"shear_range", options.shear_range},
                                    {"channel_shift_range", options.channel_shift_range}})
    require<ConfigError>(finite(range) && range >= 0, "[ImageDataGenerator] expected a ", name,
                         " of 0 or more, found ", range);
  for (const auto& [name, range] : {std::pair{"width_shift_range", &options.width_shift_range},
                                    {"height_shift_range", &options.height_shift_range}}) {
    require<ConfigError>(!range->values.empty(), "[ImageDataGenerator] expected a ", name,
                         " of one value or more, found none");
    for (const double value : range->values)
      require<ConfigError>(finite(value) && (value >= 0 || range->draw == ShiftRange::Draw::choice),
                           "[ImageDataGenerator] expected a ", name,
                           " of 0 or more, or a list of finite values, found ", value);
  }
  require<ConfigError>(zoom.low > 0 && zoom.low <= zoom.high && finite(zoom.high),
                       "[ImageDataGenerator] expected a zoom_range of 0 up to below 1, or {low, high} with 0 "
                       "< low <= high, found {",
                       zoom.low, ", ", zoom.high, "}");
  require<ConfigError>(dark >= 0 && dark <= bright && finite(bright),
                       "[ImageDataGenerator] expected a brightness_range {low, high} with 0 <= low <= high, "
                       "found {",
                       dark, ", ", bright, "}");
  // Keras stretches pictures that leave 0 to 255 before it brightens them; here they do not leave it.
  const bool brightens = dark != 1 || bright != 1;
  require<ConfigError>(finite(options.cval) && (!brightens || (options.cval >= 0 && options.cval <= 255)),
                       "[ImageDataGenerator] expected a cval ",
                       brightens ? "from 0 to 255 with a brightness_range" : "that is finite", ", found ",
                       options.cval);

  const auto still = [](const ShiftRange& range) {
    return std::all_of(range.values.begin(), range.values.end(), [](double value) { return value == 0; });
  };
  none_ = options.rotation_range == 0 && still(options.width_shift_range) &&
          still(options.height_shift_range) && !brightens && options.shear_range == 0 && zoom.low == 1 &&
          zoom.high == 1 && options.channel_shift_range == 0 && !options.horizontal_flip &&
          !options.vertical_flip;
}

namespace detail {
/// In pixels of a picture's `size`; `part` and `sign` in [0, 1) draw.
inline double shift_distance(const ShiftRange& range, double part, double sign, std::int64_t size) {
  const double greatest = *std::max_element(range.values.begin(), range.values.end());
  double moved = greatest * (2 * part - 1);
  if (range.draw != ShiftRange::Draw::uniform) {
    const auto count = static_cast<double>(range.values.size());
    moved = range.draw == ShiftRange::Draw::whole ? std::floor(greatest * part)
                                                  : range.values[static_cast<std::size_t>(count * part)];
    if (sign < 0.5) moved = -moved;
  }
  return greatest < 1 ? moved * static_cast<double>(size) : moved;
}
}  // namespace detail

STRATA_COLD STRATA_INLINE std::vector<PixelWarp> Augmentation::warps(std::uint64_t seed,
                                                                     const std::vector<DrawnSample>& samples,
                                                                     std::int64_t height,
                                                                     std::int64_t width) const {
  std::vector<PixelWarp> out;
  if (none_) return out;
  const ImageDataGeneratorOptions& o = options_;
  for (const auto& [pass, sample] : samples) {
    const RandomStream random(seed, Purpose::augment, 0, static_cast<std::uint64_t>(pass));
    const auto number = static_cast<std::uint64_t>(sample);  // a structured binding cannot be captured
    const auto part = [&](Parameter parameter) {
      return random.uniform_double(number * parameters + parameter);
    };
    const auto between = [&](Parameter parameter, double low, double high) {
      return low + (high - low) * part(parameter);
    };
    const auto around = [&](Parameter parameter, double range) { return between(parameter, -range, range); };
    const auto shift = [&](Parameter value, Parameter sign, const ShiftRange& range, std::int64_t size) {
      return detail::shift_distance(range, part(value), part(sign), size);
    };
    PixelWarp warp = affine_warp({.theta = around(rotation, o.rotation_range),
                                  .tx = shift(height_shift, height_sign, o.height_shift_range, height),
                                  .ty = shift(width_shift, width_sign, o.width_shift_range, width),
                                  .shear = around(shear, o.shear_range),
                                  .zx = between(zoom_x, o.zoom_range.low, o.zoom_range.high),
                                  .zy = between(zoom_y, o.zoom_range.low, o.zoom_range.high)},
                                 height, width);
    warp.flip_horizontal = o.horizontal_flip && part(flip_horizontal) < 0.5;
    warp.flip_vertical = o.vertical_flip && part(flip_vertical) < 0.5;
    warp.channel_shift = static_cast<float>(around(channel_shift, o.channel_shift_range));
    warp.brightness = static_cast<float>(between(brightness, o.brightness_range[0], o.brightness_range[1]));
    out.push_back(warp);
  }
  return out;
}

}}  // namespace strata::STRATA_ABI
