#pragma once

#include <algorithm>
#include <cmath>

#include <strata/applications/grad_cam.hpp>
#include <strata/data/resize.hpp>
#include <strata/training/gradients.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {
template <class T>
STRATA_COLD std::string last_convolution(const Graph<T>& graph) {
  for (std::size_t i = graph.nodes().size(); i-- > 0;) {
    const auto& node = graph.nodes()[i];
    if (const auto* model = dynamic_cast<const ModelImpl<T>*>(node.layer.get())) {
      if (const std::string inside = last_convolution(model->graph()); !inside.empty())
        return node.name() + "/" + inside;
    } else if (node.shape.rank() == 3 && node.layer->class_name().find("Conv2D") != std::string::npos) {
      return node.name();
    }
  }
  return "";
}
}  // namespace detail

template <class T>
STRATA_COLD std::string last_convolution(const BasicNetwork<T>& model) {
  model.model().require_built();
  const std::string path = detail::last_convolution(model.model().graph());
  require<ConfigError>(!path.empty(), model.impl()->who(), "expected a convolution, found none");
  return path;
}

template <class T>
STRATA_COLD Tensor<T> grad_cam(const BasicNetwork<T>& model, const Tensor<T>& x,
                               const GradCamOptions& options) {
  const std::string layer = options.layer.empty() ? last_convolution(model) : options.layer;
  const Shape output = model.output_shape();
  const bool single = output.back() == 1;
  require<ConfigError>(
      output.rank() == 1 && options.class_index >= -1 && options.class_index < (single ? 2 : output.back()),
      model.impl()->who(), "expected a class_index below ", single ? 2 : output.back(),
      " for one row of scores, found ", options.class_index, " for an output of shape ", output);
  // Behind a sigmoid both scores have the same map, and a sure one's gradient is not lost.
  const bool sigmoid = model.model().final_activation() == Activation::sigmoid;
  const BasicGradients<T> found =
      gradients(model, x,
                BasicScoreGradientOptions<T>{.class_index = single ? 0 : options.class_index,
                                             .logits = options.logits || sigmoid,
                                             .layers = {layer},
                                             .inputs = false,
                                             .weights = false});
  const auto& [maps, gradient] = found.layers.at(layer);
  require<ShapeError>(maps.rank() == 4, model.impl()->who(), "expected maps [n,h,w,c] of layer '", layer,
                      "', found ", maps.shape());

  const std::int64_t n = maps.shape()[0], h = maps.shape()[1], w = maps.shape()[2], c = maps.shape()[3];
  Tensor<T> out({n, h, w});
  for (std::int64_t picture = 0; picture < n; ++picture) {
    const T *const map = maps.data() + picture * h * w * c, *const slope =
                                                                gradient.data() + picture * h * w * c;
    std::vector<double> weights(static_cast<std::size_t>(c));
    for (std::int64_t i = 0; i < h * w * c; ++i) weights[static_cast<std::size_t>(i % c)] += double(slope[i]);
    const bool negative =
        single && (options.class_index == 0 ||
                   (options.class_index < 0 && found.output.data()[picture] < T(sigmoid ? 0.5 : 0)));
    double largest = 0;
    std::vector<double> heat(static_cast<std::size_t>(h * w));
    for (std::int64_t i = 0; i < h * w; ++i) {
      double& sum = heat[static_cast<std::size_t>(i)];
      for (std::int64_t k = 0; k < c; ++k)
        sum += weights[static_cast<std::size_t>(k)] * double(map[i * c + k]);
      sum = std::max(negative ? -sum : sum, 0.0);
      largest = std::max(largest, sum);
    }
    for (std::int64_t i = 0; i < h * w && largest > 0; ++i)
      out.data()[picture * h * w + i] = static_cast<T>(heat[static_cast<std::size_t>(i)] / largest);
  }
  return out;
}

STRATA_COLD STRATA_INLINE Tensor<std::uint8_t> overlay_heat_map(TensorView<const std::uint8_t> picture,
                                                                TensorView<const float> heat_map,
                                                                double intensity) {
  const Shape &size = picture.shape(), &map = heat_map.shape();
  require<ConfigError>(intensity >= 0 && std::isfinite(intensity),
                       "[overlay_heat_map] expected an intensity of at least 0, found ", intensity);
  require<ShapeError>(size.rank() == 3 && size[2] == 3 && map.rank() == 2,
                      "[overlay_heat_map] expected a picture [height,width,3] and a heat map [h,w], found ",
                      size, " and ", map);
  const Tensor<float> heat = resize_tf(heat_map.reshaped({map[0], map[1], 1}), size[0], size[1]);
  std::vector<double> sums(static_cast<std::size_t>(size.size()));
  double largest = 255;
  for (std::int64_t i = 0; i < size.size(); ++i) {
    // MATLAB's jet: a tent of each colour, red's at 3/4, green's at 1/2, blue's at 1/4.
    const double value = std::clamp(double(heat.data()[i / 3]), 0.0, 1.0), peak = double(3 - i % 3);
    const double color = std::clamp(1.5 - std::fabs(4 * value - peak), 0.0, 1.0);
    double& sum = sums[static_cast<std::size_t>(i)];
    sum = picture.data()[i] + 255 * intensity * color;
    largest = std::max(largest, sum);
  }
  Tensor<std::uint8_t> out(size);
  for (std::int64_t i = 0; i < size.size(); ++i)
    out.data()[i] = static_cast<std::uint8_t>(sums[static_cast<std::size_t>(i)] / largest * 255 + 0.5);
  return out;
}

#if !STRATA_HEADER_ONLY
template std::string last_convolution(const BasicNetwork<float>&);
template std::string last_convolution(const BasicNetwork<double>&);
template Tensor<float> grad_cam(const BasicNetwork<float>&, const Tensor<float>&, const GradCamOptions&);
template Tensor<double> grad_cam(const BasicNetwork<double>&, const Tensor<double>&, const GradCamOptions&);
#endif

}}  // namespace strata::STRATA_ABI
