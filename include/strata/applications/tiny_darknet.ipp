#pragma once

#include <strata/applications/tiny_darknet.hpp>
#include <strata/layers/layers.hpp>

namespace strata { inline namespace STRATA_ABI { namespace applications {

template <class T>
STRATA_COLD BasicModel<T> TinyDarknet(const ApplicationOptions& options) {
  struct Convolution {
    std::int64_t filters, kernel_size;
    bool pooled;  // a 2x2 max-pooling follows
  };
  constexpr Convolution base[] = {{16, 3, true},  {32, 3, true},   {16, 1, false}, {128, 3, false},
                                  {16, 1, false}, {128, 3, true},  {32, 1, false}, {256, 3, false},
                                  {32, 1, false}, {256, 3, true},  {64, 1, false}, {512, 3, false},
                                  {64, 1, false}, {512, 3, false}, {128, 1, false}};
  const auto network = [&](BasicSymbol<T> x) {
    int convolutions = 0, pools = 0;
    const auto convolution = [&](std::int64_t filters, std::int64_t kernel_size,
                                 const Activation& activation) {
      x = BasicConv2D<T>({.filters = filters,
                          .kernel_size = kernel_size,
                          .padding = Padding::same,
                          .activation = activation,
                          .name = concat("conv", ++convolutions)})(x);
    };
    for (const auto& [filters, kernel_size, pooled] : base) {
      convolution(filters, kernel_size, Activation::leaky_relu(0.1));
      if (pooled)
        x = BasicMaxPooling2D<T>({.pool_size = 2, .padding = Padding::same, .name = concat("pool", ++pools)})(
            x);
    }
    if (!options.include_top) return x;
    convolution(1000, 1, Activation::linear);
    x = BasicGlobalAveragePooling2D<T>({.name = "average_pool"})(x);
    return BasicSoftmax<T>({.name = "softmax"})(x);
  };
  return detail::make_application<T>(
      options, {"tiny_darknet", "tiny_darknet", {224, 224, 3}, 16, false, {"conv16"}}, network);
}

#if !STRATA_HEADER_ONLY
template BasicModel<float> TinyDarknet(const ApplicationOptions&);
template BasicModel<double> TinyDarknet(const ApplicationOptions&);
#endif

}}}  // namespace strata::STRATA_ABI::applications
