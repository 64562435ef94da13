#pragma once

#include <cstddef>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Uninitialised memory of the host, on cache lines. The system is asked to put it on huge pages where it
/// fills them: large tensors on small pages cost a few hundredths of a network's time. Null where there is
/// none left.
void* allocate_host(std::size_t bytes) noexcept;

/// Frees what `allocate_host` returned.
void free_host(void* memory) noexcept;

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/core/host_memory.ipp>
#endif
