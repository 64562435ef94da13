// The convolutions that bench/ops times. The conformance suite (tests/support/conformance) checks a smaller
// version of each.
#pragma once

#include <cstdint>

#include <strata/tensor/geometry.hpp>

namespace strata_bench {

/// Images of size x size pixels, padded by kernel / 2 on every side.
struct ConvolutionLayer {
  const char* name;
  std::int64_t size, in_c, out_c, kernel = 3, stride = 1;
  bool max_pool = false;
  std::int64_t groups = 1;
};
inline constexpr ConvolutionLayer convolution_layers[] = {
    {"vgg16/block1_conv1", 150, 3, 64},
    {"vgg16/block1_conv2+pool", 150, 64, 64, 3, 1, true},
    {"vgg16/block2_conv1", 75, 64, 128},
    {"vgg16/block2_conv2+pool", 75, 128, 128, 3, 1, true},
    {"vgg16/block3_conv1", 37, 128, 256},
    {"vgg16/block3_conv2", 37, 256, 256},
    {"vgg16/block3_conv3+pool", 37, 256, 256, 3, 1, true},
    {"vgg16/block4_conv1", 18, 256, 512},
    {"vgg16/block4_conv2", 18, 512, 512},
    {"vgg16/block4_conv3+pool", 18, 512, 512, 3, 1, true},
    {"vgg16/block5_conv1", 9, 512, 512},
    {"vgg16/block5_conv3+pool", 9, 512, 512, 3, 1, true},
    {"convnet/conv1", 148, 3, 32},
    {"convnet/conv2", 72, 32, 64},
    {"convnet/conv3", 34, 64, 128},
    {"convnet/conv4", 15, 128, 128},
    {"direct/1x1", 37, 256, 128, 1},
    {"direct/1x1, many filters", 55, 64, 256, 1},
    {"direct/5x5", 37, 64, 128, 5},
    {"direct/3x3, stride 2", 75, 64, 128, 3, 2},
    {"few/7x7, stride 2", 150, 3, 64, 7, 2},
    {"few/3x3, stride 2", 224, 3, 32, 3, 2},
    {"few/1 channel", 148, 1, 32},
    {"few/8 channels", 75, 8, 32},
    {"few/8 filters", 148, 3, 8},
    {"depthwise/3x3", 56, 144, 144, 3, 1, false, 144},
    {"depthwise/3x3, stride 2", 56, 144, 144, 3, 2, false, 144},
    {"depthwise/3x3, small", 14, 384, 384, 3, 1, false, 384},
    {"depthwise/7x7", 28, 192, 192, 7, 1, false, 192},
    {"grouped/3x3, 32 groups", 28, 256, 256, 3, 1, false, 32}};

inline strata::Conv2DGeometry geometry_of(const ConvolutionLayer& layer, std::int64_t batch) {
  strata::Conv2DGeometry g;
  g.batch = batch;
  g.in_h = g.in_w = layer.size;
  g.in_c = layer.in_c;
  g.out_c = layer.out_c;
  g.groups = layer.groups;
  g.kernel_h = g.kernel_w = layer.kernel;
  g.stride_h = g.stride_w = layer.stride;
  g.pad_top = g.pad_left = layer.kernel / 2;
  g.out_h = g.out_w = (layer.size - 1) / layer.stride + 1;
  return g;
}

/// With fewer pixels and channels, for sums as plain loops: what is left over behind blocks of 4 pixels and
/// of 64 channels is the same, and strides leave enough columns for the kernels of few channels.
constexpr ConvolutionLayer reduced(ConvolutionLayer layer) {
  const auto channels = [](std::int64_t count) { return count > 64 ? 64 + count % 64 : count; };
  const std::int64_t in_group = layer.in_c / layer.groups, side = layer.stride > 1 ? 16 : 12;
  if (layer.size >= side + 4) layer.size = side + layer.size % 4;
  layer.in_c = channels(layer.in_c);
  layer.out_c = channels(layer.out_c);
  if (layer.groups > 1) layer.groups = layer.in_c / in_group;
  return layer;
}

}  // namespace strata_bench
