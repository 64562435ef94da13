#pragma once

#include <strata/data/dataset.ipp>
#include <strata/data/prefetch.ipp>
#include <strata/data/stages.ipp>
