#pragma once

#include <strata/cpu/dispatch.ipp>
