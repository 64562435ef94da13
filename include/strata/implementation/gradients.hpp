#pragma once

#include <strata/training/check_gradients.ipp>
#include <strata/training/gradients.ipp>
