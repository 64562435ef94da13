#pragma once

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <strata/core/config.hpp>

// stb's decoders and encoders, private to this library: a program may use its own stb beside them.
namespace strata { inline namespace STRATA_ABI { namespace detail::stb {

// The largest single allocation a decoder may make, so that a small file cannot unpack without end.
inline thread_local size_t allocation_limit = 0;

// Zeroed: stb uses tables that a damaged file never defined.
inline void* allocate(size_t bytes) {
  return bytes <= allocation_limit ? ::calloc(1, bytes) : nullptr;
}
inline void* reallocate(void* memory, size_t bytes) {
  return bytes <= allocation_limit ? ::realloc(memory, bytes) : nullptr;
}

// What a program's own stb has defined, or will: set aside, and put back below.
#pragma push_macro("STBIDEF")
#pragma push_macro("STBIWDEF")
#pragma push_macro("STBI_INCLUDE_STB_IMAGE_H")
#pragma push_macro("INCLUDE_STB_IMAGE_WRITE_H")
#pragma push_macro("STBI_MALLOC")
#pragma push_macro("STBI_REALLOC")
#pragma push_macro("STBI_REALLOC_SIZED")
#pragma push_macro("STBI_FREE")
#pragma push_macro("STBI_ASSERT")
#pragma push_macro("stbi__err")
#pragma push_macro("STBI_NO_JPEG")
#pragma push_macro("STBI_NO_PNG")
#pragma push_macro("STBI_NO_BMP")
#pragma push_macro("STBI_NO_GIF")
#pragma push_macro("STBI_NO_PSD")
#pragma push_macro("STBI_NO_TGA")
#pragma push_macro("STBI_NO_PIC")
#pragma push_macro("STBI_NO_PNM")
#pragma push_macro("STBI_NO_HDR")
#pragma push_macro("STBI_NO_LINEAR")
#pragma push_macro("STBI_NO_STDIO")
#undef STBIDEF
#undef STBIWDEF
#undef STBI_INCLUDE_STB_IMAGE_H
#undef INCLUDE_STB_IMAGE_WRITE_H
#undef STBI_MALLOC
#undef STBI_REALLOC
#undef STBI_REALLOC_SIZED
#undef STBI_FREE
#undef STBI_ASSERT
#undef stbi__err
#undef STBI_NO_JPEG
#undef STBI_NO_PNG
#undef STBI_NO_BMP
#undef STBI_NO_GIF
#undef STBI_NO_PSD
#define STBI_NO_PSD
#undef STBI_NO_TGA
#define STBI_NO_TGA
#undef STBI_NO_PIC
#define STBI_NO_PIC
#undef STBI_NO_PNM
#define STBI_NO_PNM
#undef STBI_NO_HDR
#define STBI_NO_HDR
#undef STBI_NO_LINEAR
#define STBI_NO_LINEAR
#undef STBI_NO_STDIO
#define STBI_NO_STDIO
#define STBI_MALLOC(size) allocate(size)
#define STBI_REALLOC(memory, size) reallocate(memory, size)
#define STBI_FREE(memory) ::free(memory)
#pragma push_macro("STB_IMAGE_IMPLEMENTATION")
#pragma push_macro("STB_IMAGE_WRITE_IMPLEMENTATION")
#undef STB_IMAGE_IMPLEMENTATION
#undef STB_IMAGE_WRITE_IMPLEMENTATION

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#undef STB_IMAGE_STATIC
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>
#undef STB_IMAGE_WRITE_STATIC
#undef STBI_WRITE_NO_STDIO
#pragma GCC diagnostic pop

#pragma pop_macro("STB_IMAGE_WRITE_IMPLEMENTATION")
#pragma pop_macro("STB_IMAGE_IMPLEMENTATION")
#pragma pop_macro("STBI_NO_STDIO")
#pragma pop_macro("STBI_NO_LINEAR")
#pragma pop_macro("STBI_NO_HDR")
#pragma pop_macro("STBI_NO_PNM")
#pragma pop_macro("STBI_NO_PIC")
#pragma pop_macro("STBI_NO_TGA")
#pragma pop_macro("STBI_NO_PSD")
#pragma pop_macro("STBI_NO_GIF")
#pragma pop_macro("STBI_NO_BMP")
#pragma pop_macro("STBI_NO_PNG")
#pragma pop_macro("STBI_NO_JPEG")
#pragma pop_macro("stbi__err")
#pragma pop_macro("STBI_ASSERT")
#pragma pop_macro("STBI_FREE")
#pragma pop_macro("STBI_REALLOC_SIZED")
#pragma pop_macro("STBI_REALLOC")
#pragma pop_macro("STBI_MALLOC")
#pragma pop_macro("INCLUDE_STB_IMAGE_WRITE_H")
#pragma pop_macro("STBI_INCLUDE_STB_IMAGE_H")
#pragma pop_macro("STBIWDEF")
#pragma pop_macro("STBIDEF")

}}}  // namespace strata::STRATA_ABI::detail::stb
