#pragma once

#define STRATA_VERSION "0.1.0"

// Header-only is the default. With STRATA_COMPILED (set by the CMake target strata::compiled) the `.ipp`
// files stay out of user code and the library carries them once; with STRATA_SPLIT a file of the user's does,
// which includes strata/implementation.hpp.
#if defined(STRATA_SPLIT)
#define STRATA_HEADER_ONLY 0
#define STRATA_INLINE
#define STRATA_ABI split
#elif defined(STRATA_COMPILED)
#define STRATA_HEADER_ONLY 0
#define STRATA_INLINE
#define STRATA_ABI compiled
#else
#define STRATA_HEADER_ONLY 1
#define STRATA_INLINE inline
// Objects built with different -m flags must not share inline functions, so the instruction set is part of
// every name.
#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && defined(__AVX512BW__)
#define STRATA_ABI header_only_avx512
#elif defined(__AVX2__) && defined(__FMA__)
#define STRATA_ABI header_only_avx2
#else
#define STRATA_ABI header_only_baseline
#endif
#endif

// For code that runs per call or per step, not per element: the compiler keeps it small, and takes less time
// for it.
#define STRATA_COLD [[gnu::cold]]
