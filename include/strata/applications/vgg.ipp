#pragma once

#include <strata/applications/vgg.hpp>
#include <strata/layers/layers.hpp>

namespace strata { inline namespace STRATA_ABI { namespace applications {

namespace detail {
template <class T>
STRATA_COLD BasicModel<T> vgg(const ApplicationOptions& options, const std::string& name,
                              const std::array<int, 5>& convolutions) {
  constexpr std::int64_t filters[] = {64, 128, 256, 512, 512};
  const auto network = [&](BasicSymbol<T> x) {
    for (std::size_t block = 0; block < convolutions.size(); ++block) {
      const std::string prefix = concat("block", block + 1);
      for (int i = 1; i <= convolutions[block]; ++i)
        x = BasicConv2D<T>({.filters = filters[block],
                            .kernel_size = 3,
                            .padding = Padding::same,
                            .activation = Activation::relu,
                            .name = concat(prefix, "_conv", i)})(x);
      x = BasicMaxPooling2D<T>({.pool_size = 2, .name = prefix + "_pool"})(x);
    }
    if (!options.include_top) return x;
    x = BasicFlatten<T>({.name = "flatten"})(x);
    x = BasicDense<T>({.units = 4096, .activation = Activation::relu, .name = "fc1"})(x);
    x = BasicDense<T>({.units = 4096, .activation = Activation::relu, .name = "fc2"})(x);
    return BasicDense<T>({.units = 1000, .activation = Activation::softmax, .name = "predictions"})(x);
  };
  return make_application<T>(
      options, {name, name + "_notop", {224, 224, 3}, 32, true, {"fc1", "fc2", "predictions"}}, network);
}
}  // namespace detail

template <class T>
STRATA_COLD BasicModel<T> VGG16(const ApplicationOptions& options) {
  return detail::vgg<T>(options, "vgg16", {2, 2, 3, 3, 3});
}
template <class T>
STRATA_COLD BasicModel<T> VGG19(const ApplicationOptions& options) {
  return detail::vgg<T>(options, "vgg19", {2, 2, 4, 4, 4});
}

#if !STRATA_HEADER_ONLY
template BasicModel<float> VGG16(const ApplicationOptions&);
template BasicModel<double> VGG16(const ApplicationOptions&);
template BasicModel<float> VGG19(const ApplicationOptions&);
template BasicModel<double> VGG19(const ApplicationOptions&);
#endif

}}}  // namespace strata::STRATA_ABI::applications
