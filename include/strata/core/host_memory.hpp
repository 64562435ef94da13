#pragma once

#include <cstddef>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Uninitialised memory of the host, on cache lines, or where it fills them on huge pages, which the system
/// is asked for: large tensors on small pages cost a few hundredths of a network's time. Null where there is
/// none left.
void* allocate_host(std::size_t bytes) noexcept;

/// Frees what `allocate_host(bytes)` returned.
void free_host(void* memory, std::size_t bytes) noexcept;

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/core/host_memory.ipp>
#endif
