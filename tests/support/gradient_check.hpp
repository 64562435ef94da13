#pragma once

#include <initializer_list>
#include <vector>

#include <strata/training/fit.hpp>

namespace strata_test {

struct GradientCheckOptions {
  bool training = true;
  std::int64_t batch = 3;
  double tolerance = 1e-6;  ///< of a derivative, relative to the largest of its tensor
};

/// Compares the backward pass of a model, in double on a device that the host cannot reach, with central
/// differences: the gradient of every input and every trainable weight (up to 40 elements of each, for a
/// random weighted sum of the outputs); weights that are frozen must get none.
void check_gradients(const strata::BasicModel<double>& model, const GradientCheckOptions& options = {});

/// The same through the training step: loss, its logits path, penalties, sample weights.
/// `model` is compiled with SGD of learning rate 1, so that a step is minus the gradient.
void check_training_gradients(strata::BasicModel<double>& model, const strata::Tensor<double>& x,
                              const strata::Tensor<double>& y,
                              const strata::Tensor<double>& sample_weight = {});

/// Everything that holds for any layer, in one line: `layer_test(BasicDense<double>(3), {{5}})`. Output
/// shape, gradients in training and inference at batch 1 and 3, used twice in a graph, frozen, from its own
/// config, and as a copy.
void layer_test(const strata::BasicLayer<double>& layer, std::initializer_list<strata::Shape> inputs);

/// Uniform in [low, high), a function of the shape and `path`.
strata::Tensor<double> random_tensor(const strata::Shape& shape, std::uint64_t path = 0, double low = -1,
                                     double high = 1);

}  // namespace strata_test
