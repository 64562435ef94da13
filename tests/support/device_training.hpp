#pragma once

#include <vector>

#include <strata/training/model.hpp>

// What a whole device has to do, beyond the conformance of its operations.

namespace strata_test {

/// A convnet with one of everything that trains or draws random numbers.
template <class T>
strata::BasicSequential<T> small_convnet();

/// Sixteen pictures for it in four classes.
template <class T>
struct SmallPictures {
  strata::Tensor<T> x, y{{16}};
  SmallPictures();
};

/// The losses of some steps of Adam on them.
template <class T>
std::vector<double> train_small_convnet(strata::BasicModel<T>& model, const strata::DevicePtr& device,
                                        int steps = 8);

/// Trains on both devices from the same weights: losses, weights and predictions stay together.
template <class T>
void check_training(const strata::DevicePtr& device, const strata::DevicePtr& other, double tolerance);

/// Convolutions of all kinds with what each may do the work of in inference behind it, as in ResNet and
/// MobileNet: batch normalization, a sum, an activation. `apart`: the same network, in which a Dropout that
/// drops nothing keeps every layer's work its own. All weights are random.
template <class T>
strata::BasicModel<T> residual_blocks(bool apart = false);

/// What convolutions do for the layers behind them is what those do on the other device.
template <class T>
void check_inference(const strata::DevicePtr& device, const strata::DevicePtr& other, double tolerance);

/// A model goes on where it was saved on one device, on the other.
void check_saving(const strata::DevicePtr& device, const strata::DevicePtr& other);

/// Every kind of layer computes on one device what it computes on the other, forward and backward.
void check_layers(const strata::DevicePtr& device, const strata::DevicePtr& other, double tolerance);

/// `fit` on augmented pictures: the same losses for ten steps, then predictions from several threads at once.
void check_fit(const strata::DevicePtr& device, const strata::DevicePtr& other, double tolerance);

/// Gradients of a loss through every kind of layer, and heat maps.
void check_gradients(const strata::DevicePtr& device, const strata::DevicePtr& other, double tolerance);

/// Two inputs, two outputs with a loss each, samples of their own weights, and an adapted Normalization.
void check_several_outputs(const strata::DevicePtr& device, const strata::DevicePtr& other, double tolerance);

/// `fit` of a head on a frozen base: keeping what the base makes changes no bit, and both devices agree.
void check_frozen_prefix(const strata::DevicePtr& device, const strata::DevicePtr& other, double tolerance);

/// All of these in float, each a section of its own.
void check_device(const strata::DevicePtr& device, const strata::DevicePtr& other);

}  // namespace strata_test
