#pragma once

#include <strata/applications/application.hpp>

namespace strata { inline namespace STRATA_ABI { namespace applications {

/// 13 convolutions of 3x3 in five blocks, 14,714,688 parameters without the top; 224x224, `caffe_scaling`,
/// smallest input 32x32. Source: Simonyan and Zisserman, ICLR 2015; Keras's VGG16, layer by layer.
template <class T = float>
BasicModel<T> VGG16(const ApplicationOptions& options = {});
/// The same with 16 convolutions.
template <class T = float>
BasicModel<T> VGG19(const ApplicationOptions& options = {});

}}}  // namespace strata::STRATA_ABI::applications

#if STRATA_HEADER_ONLY
#include <strata/applications/vgg.ipp>
#endif
