#pragma once

#include <strata/layers/config.ipp>
#include <strata/layers/initializers.ipp>
#include <strata/layers/instances.ipp>
#include <strata/layers/random_transforms.ipp>
