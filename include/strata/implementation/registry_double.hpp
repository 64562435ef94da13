#pragma once

#include <strata/layers/registry_double.ipp>
