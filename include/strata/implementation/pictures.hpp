#pragma once

#include <strata/data/affine_transform.ipp>
#include <strata/data/augmentation.ipp>
#include <strata/data/directory.ipp>
#include <strata/data/image.ipp>
#include <strata/data/image_data_generator.ipp>
#include <strata/data/image_grid.ipp>
#include <strata/data/libjpeg.ipp>
#include <strata/data/mnist.ipp>
#include <strata/data/pillow_sum.ipp>
#include <strata/data/resize.ipp>
#include <strata/data/stb.ipp>
