#pragma once

#include <strata/layers/registry.ipp>
