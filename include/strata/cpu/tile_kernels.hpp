#pragma once

#include <strata/cpu/kernel_table.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// AMX: a processor's eight tiles, and products of tiles of bfloat16 pairs. Written in assembly, so that it
/// needs no flags; who calls has asked the processor and the operating system (see `bfloat16_product`).
struct AmxTiles {
  /// What each thread does before and after.
  static void begin() {
    struct alignas(64) {
      unsigned char palette = 1, first_row = 0, reserved[14] = {};
      unsigned short row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      unsigned char rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } const configuration;
    asm volatile("ldtilecfg %0" : : "m"(configuration));
  }
  static void end() { asm volatile("tilerelease"); }

  template <int Tile>
  static void zero() {
    asm volatile("tilezero {%%|}tmm%c0" : : "i"(Tile));
  }
  template <int Tile>
  static void load(const float* p, long row_bytes) {
    asm volatile("tileloadd {(%1,%2,1), %%tmm%c0|tmm%c0, [%1+%2*1]}"
                 :
                 : "i"(Tile), "r"(p), "r"(row_bytes)
                 : "memory");
  }
  template <int Tile>
  static void store(float* p, long row_bytes) {
    asm volatile("tilestored {%%tmm%c0, (%1,%2,1)|[%1+%2*1], tmm%c0}"
                 :
                 : "i"(Tile), "r"(p), "r"(row_bytes)
                 : "memory");
  }
  /// Sum += A * B: the pairs of a row of A and those of a column of B.
  template <int Sum, int A, int B>
  static void multiply_add() {
    asm volatile("tdpbf16ps {%%tmm%c2, %%tmm%c1, %%tmm%c0|tmm%c0, tmm%c1, tmm%c2}"
                 :
                 : "i"(Sum), "i"(A), "i"(B));
  }
};

/// `multiply_rows` (micro_kernel.hpp) for 16 or 32 rows of units of two bfloat16 and panels of two tiles, or
/// the first of these alone; k and a's runs are multiples of tile_size.
template <int Rows, int Columns = 2 * tile_size, class Tiles = AmxTiles>
void multiply_tiles(long k, const LeftRows& a, const float* b, long b_stride, float* c, long c_stride,
                    const AfterSums& after, const FetchAhead& ahead) {
  const long row = a.row_step * static_cast<long>(sizeof(float));
  const long b_row = b_stride * static_cast<long>(sizeof(float)),
             c_row = c_stride * static_cast<long>(sizeof(float));
  float* const below = c + tile_size * c_stride;
  constexpr bool second_row = Rows > tile_size, second_column = Columns > tile_size;
  if (after.accumulate) {
    Tiles::template load<0>(c, c_row);
    if constexpr (second_column) Tiles::template load<1>(c + tile_size, c_row);
    if constexpr (second_row) Tiles::template load<2>(below, c_row);
    if constexpr (second_row && second_column) Tiles::template load<3>(below + tile_size, c_row);
  } else {
    Tiles::template zero<0>();
    if constexpr (second_column) Tiles::template zero<1>();
    if constexpr (second_row) Tiles::template zero<2>();
    if constexpr (second_row && second_column) Tiles::template zero<3>();
  }
  const float* fetched = ahead.next;
  for (const float* run = a.data; k > 0; run += a.run_step)
    for (const float *first = run, *const end = run + (a.run < k ? a.run : k); first < end;
         first += tile_size, k -= tile_size, b += tile_size * b_stride, fetched += ahead.run_step) {
      for (long i = 0; i < ahead.lines; ++i) __builtin_prefetch(fetched + i * ahead.step, 0, 2);
      Tiles::template load<6>(b, b_row);
      Tiles::template load<4>(first, row);
      Tiles::template multiply_add<0, 4, 6>();
      if constexpr (second_column) {
        Tiles::template load<7>(b + tile_size, b_row);
        Tiles::template multiply_add<1, 4, 7>();
      }
      if constexpr (second_row) {
        Tiles::template load<5>(first + tile_size * a.row_step, row);
        Tiles::template multiply_add<2, 5, 6>();
        if constexpr (second_column) Tiles::template multiply_add<3, 5, 7>();
      }
    }
  Tiles::template store<0>(c, c_row);
  if constexpr (second_column) Tiles::template store<1>(c + tile_size, c_row);
  if constexpr (second_row) Tiles::template store<2>(below, c_row);
  if constexpr (second_row && second_column) Tiles::template store<3>(below + tile_size, c_row);
}

}}}  // namespace strata::STRATA_ABI::cpu
