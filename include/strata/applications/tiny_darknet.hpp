#pragma once

#include <strata/applications/application.hpp>

namespace strata { inline namespace STRATA_ABI { namespace applications {

/// A complete ImageNet network in 4 MB: 16 convolutions (batch normalization folded in), LeakyReLU 0.1;
/// 224x224, pixels in [0,1] (`rescale_scaling`), smallest input 16x16. Without the top the result of conv15,
/// [10,10,128] for 150x150. 58.7 % top-1 as published. Source: Redmon, Darknet, `tiny.cfg`.
template <class T = float>
BasicModel<T> TinyDarknet(const ApplicationOptions& options = {});

}}}  // namespace strata::STRATA_ABI::applications

#if STRATA_HEADER_ONLY
#include <strata/applications/tiny_darknet.ipp>
#endif
