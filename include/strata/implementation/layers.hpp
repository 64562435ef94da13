#pragma once

#include <strata/layers/config.ipp>
#include <strata/layers/instances.ipp>
