#pragma once

#include <strata/applications/vgg.hpp>
#include <strata/layers/layers.hpp>

namespace strata::inline STRATA_ABI::applications {

namespace detail {
STRATA_COLD STRATA_INLINE Model vgg(const ApplicationOptions& options, const std::string& name,
                                    const std::array<int, 5>& convolutions) {
  constexpr std::int64_t filters[] = {64, 128, 256, 512, 512};
  std::vector<Layer> layers;
  for (std::size_t block = 0; block < convolutions.size(); ++block) {
    const std::string prefix = concat("block", block + 1);
    for (int i = 1; i <= convolutions[block]; ++i)
      layers.push_back(Conv2D({.filters = filters[block],
                               .kernel_size = 3,
                               .padding = Padding::same,
                               .activation = Activation::relu,
                               .name = concat(prefix, "_conv", i)}));
    layers.push_back(MaxPooling2D({.pool_size = 2, .name = prefix + "_pool"}));
  }
  if (options.include_top) {
    layers.push_back(Flatten({.name = "flatten"}));
    layers.push_back(Dense({.units = 4096, .activation = Activation::relu, .name = "fc1"}));
    layers.push_back(Dense({.units = 4096, .activation = Activation::relu, .name = "fc2"}));
    layers.push_back(Dense({.units = 1000, .activation = Activation::softmax, .name = "predictions"}));
  }
  return make_application(options,
                          {name, name + "_notop", {224, 224, 3}, 32, true, {"fc1", "fc2", "predictions"}},
                          std::move(layers));
}
}  // namespace detail

STRATA_COLD STRATA_INLINE Model VGG16(const ApplicationOptions& options) {
  return detail::vgg(options, "vgg16", {2, 2, 3, 3, 3});
}
STRATA_COLD STRATA_INLINE Model VGG19(const ApplicationOptions& options) {
  return detail::vgg(options, "vgg19", {2, 2, 4, 4, 4});
}

}  // namespace strata::inline STRATA_ABI::applications
