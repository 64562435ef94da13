#pragma once

#include <map>
#include <string>
#include <vector>

#include <strata/training/losses.hpp>
#include <strata/training/model.hpp>

namespace strata { inline namespace STRATA_ABI {

/// What to differentiate: a loss.
template <class T>
struct BasicLossGradientOptions {
  BasicLoss<T> loss = {};                ///< its mean over the batch, without the penalties of regularizers
  std::vector<std::string> layers = {};  ///< whose outputs' gradients are wanted too, by path
  bool inputs = true, weights = true;    ///< what is not wanted is not computed
  bool training = false;                 ///< as Keras's model(x, training=True)
  std::uint64_t step = 0;                ///< which of the random draws in training
};
using LossGradientOptions = BasicLossGradientOptions<float>;

/// What to differentiate: a score, which is a number of the output for each sample.
template <class T>
struct BasicScoreGradientOptions {
  std::int64_t class_index = -1;   ///< the score's place in the output's last axis; -1: of the largest value
  Tensor<T> output_gradient = {};  ///< instead, [n,...] as the output: the score is its product with that
  bool logits = false;             ///< the score is from before the last activation
  std::vector<std::string> layers = {};
  bool inputs = true, weights = true;
  bool training = false;
  std::uint64_t step = 0;
};
using ScoreGradientOptions = BasicScoreGradientOptions<float>;

template <class T>
struct BasicLayerGradient {
  Tensor<T> output;    ///< [n,...], what the layer computed, its activation included
  Tensor<T> gradient;  ///< of the same shape
};

/// Gradients of `value`, all in host memory.
template <class T>
struct BasicGradients {
  double value = 0;               ///< the loss, or the sum of all scores
  Tensor<T> output;               ///< of the model
  std::vector<Tensor<T>> inputs;  ///< one for each
  /// By path, "dense/kernel" or "vgg16/block1_conv1/bias"; only of the weights that train.
  std::map<std::string, Tensor<T>> weights;
  std::map<std::string, BasicLayerGradient<T>> layers;  ///< those that were asked for
};
using Gradients = BasicGradients<float>;

/// Gradients of a loss with respect to the inputs, the weights, and the outputs of layers: what
/// tf.GradientTape and torch.autograd.grad give. Runs as in inference (dropout off, moving averages) unless
/// `.training`, which draws by the model's seed and moves the averages of batch normalization as Keras's tape
/// does; nothing else changes. All samples are computed together. Frozen weights get no gradient, while those
/// of inputs and layers go through them. A layer's path is its name, "block5_conv3", in a model inside the
/// model "vgg16/block5_conv3"; "dense#1" is the second call of one layer. y is what the loss takes. Throws
/// ConfigError for a model that is not built or has several outputs, without a loss, and for a layer there is
/// not; ShapeError for other inputs or targets; DataError for targets the loss cannot take; DeviceError where
/// the model's device does not compute in T.
template <class T>
BasicGradients<T> gradients(const BasicNetwork<T>& model, const std::vector<Tensor<T>>& x, const Tensor<T>& y,
                            const BasicLossGradientOptions<T>& options);
template <class T>
BasicGradients<T> gradients(const BasicNetwork<T>& model, const Tensor<T>& x, const Tensor<T>& y,
                            const BasicLossGradientOptions<T>& options) {
  return gradients(model, std::vector<Tensor<T>>{x}, y, options);
}

/// The same of a score, each sample's with respect to what that sample gave; of weights, those of the sum.
/// Also throws ConfigError for a class_index outside the output.
template <class T>
BasicGradients<T> gradients(const BasicNetwork<T>& model, const std::vector<Tensor<T>>& x,
                            const BasicScoreGradientOptions<T>& options = {});
template <class T>
BasicGradients<T> gradients(const BasicNetwork<T>& model, const Tensor<T>& x,
                            const BasicScoreGradientOptions<T>& options = {}) {
  return gradients(model, std::vector<Tensor<T>>{x}, options);
}

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/training/gradients.ipp>
#endif
