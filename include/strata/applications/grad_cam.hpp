#pragma once

#include <cstdint>
#include <string>

#include <strata/training/model.hpp>

namespace strata { inline namespace STRATA_ABI {

struct GradCamOptions {
  /// By path, "block5_conv3", in a model inside the model "vgg16/block5_conv3"; empty: `last_convolution`.
  std::string layer = {};
  std::int64_t class_index = -1;  ///< -1: of each picture the class that the model says
  bool logits = false;  ///< scores from before a last softmax, where it leaves no gradient, being too sure
};

/// Where in pictures x [n,...], as the model takes them, a class shows: heat maps [n,h,w] from 0 to 1, of the
/// size of the layer's output [n,h,w,c], on the host. The score's gradient with respect to that output,
/// averaged over positions, weighs the channels; their sum, where it is above 0, is divided by its maximum. A
/// map is 0 everywhere where nothing speaks for the class. The score is the model's output for the class; of
/// one output, a sigmoid or its logit, there are two classes, and the score of class 0 is its negative.
/// Source: Selvaraju et al., ICCV 2017; Chollet, "Deep Learning with Python", 5.4.3 (9.4.3 in the 2nd
/// edition). Throws ConfigError for a layer there is not, or a class outside the output, ShapeError for a
/// layer whose output is no map or another x, and as `gradients` does.
template <class T>
Tensor<T> grad_cam(const BasicNetwork<T>& model, const Tensor<T>& x, const GradCamOptions& options = {});

/// The path of the last layer in computing order that is a convolution ("Conv2D" in its class name) with maps
/// as output, in models inside the model too. Throws ConfigError where there is none.
template <class T>
std::string last_convolution(const BasicNetwork<T>& model);

/// A heat map [h,w] from 0 to 1 over a picture [height,width,3]: enlarged with bilinear interpolation, in the
/// colours of "jet" (blue, green, yellow, red), and `intensity` of that added to the picture; all is darkened
/// where a sum exceeds 255. Source: the book, as above. Throws ShapeError, and ConfigError for an intensity
/// below 0.
Tensor<std::uint8_t> overlay_heat_map(TensorView<const std::uint8_t> picture,
                                      TensorView<const float> heat_map, double intensity = 0.4);

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/applications/grad_cam.ipp>
#endif
