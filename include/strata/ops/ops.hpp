#pragma once

#include <strata/ops/geometry.hpp>
#include <strata/tensor/backend.hpp>
#include <strata/tensor/tensor.hpp>

/// Functions on tensors, for work that needs no model. Each checks its shapes and computes on `device`, where
/// its tensors must be (host memory for the CPU); the layers of the same names do the same work through the
/// same backend.
namespace strata { inline namespace STRATA_ABI { namespace ops {

struct Conv2DOptions {
  Size2D strides = 1;
  Padding padding = Padding::valid;
  Size2D dilation_rate = 1;
  std::int64_t groups = 1;
  Activation activation = Activation::linear;
};

/// Cross-correlation of x [n,h,w,c] with kernel [kernel_h,kernel_w,c/groups,filters], plus bias [filters]
/// unless it is empty: [n,h',w',filters].
template <class T>
Tensor<T> conv2d(const DevicePtr& device, const Tensor<T>& x, const Tensor<T>& kernel,
                 const Tensor<T>& bias = {}, const Conv2DOptions& options = {}) {
  require<ShapeError>(x.rank() == 4,
                      "[conv2d] expected images of shape [batch,height,width,channels], found ", x.shape());
  require<ConfigError>(options.groups > 0, "[conv2d] expected one or more groups, found ", options.groups);
  const std::int64_t channels = x.shape()[3] / options.groups;
  require<ShapeError>(kernel.rank() == 4 && kernel.shape()[2] == channels,
                      "[conv2d] expected a kernel of shape [height,width,", channels, ",filters], found ",
                      kernel.shape());
  const std::int64_t filters = kernel.shape()[3];
  require<ShapeError>(bias.empty() || bias.shape() == Shape{filters}, "[conv2d] expected a bias of shape ",
                      Shape{filters}, ", found ", bias.shape());
  const Conv2DGeometry g = conv2d_geometry("[conv2d] ", x.shape().without_batch(), filters,
                                           {{kernel.shape()[0], kernel.shape()[1]},
                                            options.strides,
                                            options.dilation_rate,
                                            options.padding,
                                            options.groups},
                                           x.shape()[0]);
  auto y = Tensor<T>::uninitialized({g.batch, g.out_h, g.out_w, g.out_c}, device);
  device->make_backend<T>()->conv2d(
      g, x.data(), {.data = kernel.data()},
      {.bias = bias.empty() ? nullptr : bias.data(), .activation = options.activation}, y.data());
  return y;
}

struct PoolOptions {
  Size2D strides = {};  ///< {}: the window's size
  Padding padding = Padding::valid;
};

/// Maximum or average over windows of x [n,h,w,c]: [n,h',w',c].
template <class T>
Tensor<T> pool2d(const DevicePtr& device, PoolKind kind, const Tensor<T>& x, const Size2D& pool_size,
                 const PoolOptions& options = {}) {
  require<ShapeError>(x.rank() == 4,
                      "[pool2d] expected images of shape [batch,height,width,channels], found ", x.shape());
  const Size2D strides = options.strides == Size2D{} ? pool_size : options.strides;
  const Pool2DGeometry g = pool2d_geometry("[pool2d] ", x.shape().without_batch(),
                                           {pool_size, strides, 1, options.padding}, x.shape()[0]);
  auto y = Tensor<T>::uninitialized({g.batch, g.out_h, g.out_w, g.channels}, device);
  device->make_backend<T>()->pool2d(g, kind, x.data(), y.data());
  return y;
}

/// The product of a [m,k] and b [k,n]: [m,n].
template <class T>
Tensor<T> matmul(const DevicePtr& device, const Tensor<T>& a, const Tensor<T>& b) {
  require<ShapeError>(a.rank() == 2 && b.rank() == 2 && a.shape()[1] == b.shape()[0],
                      "[matmul] expected shapes [m,k] and [k,n], found ", a.shape(), " and ", b.shape());
  require<ShapeError>(a.shape()[1] > 0, "[matmul] expected shapes with one or more elements to sum, found ",
                      a.shape(), " and ", b.shape());
  auto y = Tensor<T>::uninitialized({a.shape()[0], b.shape()[1]}, device);
  device->make_backend<T>()->dense({a.shape()[0], a.shape()[1], b.shape()[1]}, a.data(), {.data = b.data()},
                                   {}, y.data());
  return y;
}

/// An activation of every element; softmax over the last axis.
template <class T>
Tensor<T> activate(const DevicePtr& device, const Activation& activation, const Tensor<T>& x) {
  require<ShapeError>(x.rank() > 0, "[", name_of(activation),
                      "] expected an input with channels, found a scalar");
  auto y = Tensor<T>::uninitialized(x.shape(), device);
  device->make_backend<T>()->activation(activation, x.shape().rows(), x.shape().back(), x.data(), y.data());
  return y;
}

}}}  // namespace strata::STRATA_ABI::ops
