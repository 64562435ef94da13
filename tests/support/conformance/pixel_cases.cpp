#include <cmath>
#include <limits>

#include "support/conformance/case.hpp"

namespace strata_test {

using namespace strata;

namespace {

Operand random_bytes(Cases& cases, std::int64_t count) {
  Operand x = cases.random(count, 0, 256);
  for (float& value : x.values) value = std::floor(value);
  x.bytes = true;
  return x;
}

void add(Cases& cases, const std::string& description, const PixelGeometry& g, const PixelScaling& scaling,
         const PixelSampling& sampling, const std::vector<PixelWarp>& warps) {
  const std::int64_t count = g.batch * g.height * g.width * g.channels;
  const std::string picture = concat("[", g.batch, ",", g.height, ",", g.width, ",", g.channels, "]");
  if (g.channels <= 4)
    cases.add("load_pixels", concat(picture, " ", description),
              {random_bytes(cases, count), cases.output(count)},
              [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                backend.load_pixels(g, scaling, sampling, a.warps, a.bytes(0), a[1]);
              },
              {.warps = warps});
  if (!warps.empty())
    cases.add("warp", concat(picture, " ", description), {cases.random(count, -10, 270), cases.output(count)},
              [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
                backend.warp(g, sampling, a.warps, a[0], a[1]);
              },
              {.warps = warps});
}

void add_adjustments(Cases& cases, std::int64_t height, std::int64_t width, std::int64_t channels) {
  const std::vector<PixelAdjustment> adjustments{
      {},
      {.contrast = 1.3},
      {.contrast = 0.4, .greatest = 120.5},
      {.brightness = -40.5},
      {.contrast = 1.6, .brightness = 20, .least = -1000, .greatest = 1000},
      {.contrast = 0}};
  const PixelGeometry g{static_cast<std::int64_t>(adjustments.size()), height, width, channels};
  const std::int64_t count = g.batch * height * width * channels;
  const std::string picture = concat("[", g.batch, ",", height, ",", width, ",", channels, "]");
  cases.add("adjust_pixels", picture, {cases.random(count, -10, 270), cases.output(count)},
            [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
              backend.adjust_pixels(g, a.adjustments, a[0], a[1]);
            },
            {.adjustments = adjustments});
  cases.add("adjust_pixels_backward", picture,
            {cases.random(count, -10, 270), cases.random(count), cases.output(count)},
            [=]<class T>(Backend<T>& backend, const Arguments<T>& a) {
              backend.adjust_pixels_backward(g, a.adjustments, a[0], a[1], a[2]);
            },
            {.adjustments = adjustments});
}

}  // namespace

void pixel_cases(Cases& cases) {
  const PixelScaling scalings[] = {
      {.scale = 1.0f / 255},
      {.scale = 1, .mean = {103.939f, 116.779f, 123.68f}, .reverse_channels = true},
      {.scale = 2.0f / 255, .mean = {1, 1, 1, 1}},
      {.scale = 1.0f / 255, .mean = {0.485f, 0.456f, 0.406f, 0.5f}, .std = {0.229f, 0.224f, 0.225f, 2}}};
  for (const std::int64_t width : {0, 1, 5, 333, 22500})
    for (const std::int64_t channels : {1, 3, 4})
      for (const PixelScaling& scaling : scalings)
        add(cases, concat("without warps by ", scaling.scale, scaling.reverse_channels ? ", reversed" : ""),
            {1, 1, width, channels}, scaling, {}, {});

  // Turned, drawn in and out, mirrored, by whole pixels, far outside, and onto one line.
  const std::vector<PixelWarp> warps{
      {},
      {.flip_horizontal = true},
      {.flip_vertical = true},
      {.matrix = {0.8, -0.6, 3.3, 0.6, 0.8, -1.7}},
      {.matrix = {0.8, -0.6, 3.3, 0.6, 0.8, -1.7}, .flip_horizontal = true, .flip_vertical = true},
      {.matrix = {1, 0, 4, 0, 1, -3}},
      {.matrix = {1, 0, -41, 0, 1, 57}},
      {.matrix = {2.5, 0.1, -9.25, -0.2, 3.1, -11.5}},
      {.matrix = {0.3, 0, 2.1, 0, 0.2, 1.9}},
      {.matrix = {1, 0, 1e6 + 0.25, 0, 1, -1e7 - 0.25}},
      {.matrix = {0, 0, 2.25, 0, 1, 0}},
      {.channel_shift = 30},
      {.matrix = {0.8, -0.6, 3.3, 0.6, 0.8, -1.7}, .channel_shift = -70.5f},
      {.brightness = 1.3f},
      {.matrix = {0.8, -0.6, 3.3, 0.6, 0.8, -1.7}, .channel_shift = 20, .brightness = 0.6f}};
  const std::vector<PixelWarp> beyond{{.matrix = {1, 0, 1e300, 0, 1, -1e300}}};
  for (const FillMode fill_mode : {FillMode::nearest, FillMode::constant, FillMode::reflect, FillMode::wrap})
    for (const EdgeRule edges : {EdgeRule::scipy, EdgeRule::tensorflow})
      for (const Interpolation interpolation : {Interpolation::bilinear, Interpolation::nearest}) {
        const PixelSampling sampling{fill_mode, 12.5f, interpolation, edges};
        const std::string description = concat("fill mode ", int(fill_mode), ", edges ", int(edges),
                                               ", interpolation ", int(interpolation));
        const auto batch = static_cast<std::int64_t>(warps.size());
        for (const auto& [height, width, channels] :
             {std::tuple{std::int64_t{12}, std::int64_t{9}, std::int64_t{3}},
              {7, 16, 1},
              {5, 6, 4},
              {1, 8, 3},
              {8, 1, 1},
              {1, 1, 3},
              {6, 5, 17},
              {3, 150, 3}})
          add(cases, description, {batch, height, width, channels}, scalings[3], sampling, warps);
        if (fill_mode != FillMode::reflect && fill_mode != FillMode::wrap)  // these have no place there
          add(cases, description + ", beyond all bounds", {1, 4, 5, 3}, scalings[0], sampling, beyond);
      }
  for (const auto& [height, width, channels] :
       {std::tuple{std::int64_t{12}, std::int64_t{9}, std::int64_t{3}},
        {7, 16, 1},
        {5, 6, 4},
        {1, 1, 3},
        {6, 5, 17},
        {150, 20, 3},
        {0, 4, 3}})
    add_adjustments(cases, height, width, channels);
  add(cases, "of nothing", {0, 4, 5, 3}, scalings[0], {}, warps);
}

}  // namespace strata_test
