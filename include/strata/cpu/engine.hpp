#pragma once

#include <strata/core/parallel.hpp>
#include <strata/cpu/kernel_table.hpp>
#include <strata/cpu/workspace.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// What every way of computing works with.
struct Engine {
  ThreadPool& pool;
  Workspace& workspace;
  const KernelTable& kernels;
};

}}}  // namespace strata::STRATA_ABI::cpu
