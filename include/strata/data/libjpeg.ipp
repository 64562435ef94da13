#pragma once

// Decodes JPEGs where the build defines STRATA_LIBJPEG, as that of strata::compiled does where it finds
// libjpeg-turbo; elsewhere stb does.
#ifdef STRATA_LIBJPEG
#include <setjmp.h>

#include <cstdint>
#include <cstdio>
#include <string_view>

#include <jerror.h>
#include <jpeglib.h>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI { namespace detail {

/// One picture's way from bytes to rows; what is plain data here a jump out of libjpeg may leave behind.
struct JpegDecoding {
  std::string_view file;
  std::int64_t height, width;  ///< as the header says
  bool tensorflow;             ///< as tf.io.decode_image: the transform is in fewer bits
  bool luma;                   ///< of colours nothing else
  std::uint8_t* pixels;        ///< [height,width,channels], with room for 3
  std::uint8_t* row;           ///< [width,4], for CMYK
  int channels = 3;            ///< that were written: 1 (grey) or 3 (colours)

  char error[JMSG_LENGTH_MAX] = "its size changes";
  jpeg_decompress_struct info = {};
  jpeg_error_mgr errors = {};
  jpeg_progress_mgr progress = {};
  jmp_buf failed = {};
};

/// What libjpeg calls instead of exit().
[[noreturn]] inline void jpeg_failed(j_common_ptr info) {
  auto& decoding = *static_cast<JpegDecoding*>(info->client_data);
  info->err->format_message(info, decoding.error);
  longjmp(decoding.failed, 1);
}

/// Nothing is printed. Of the warnings only a wrong Huffman code is an error, as with stb.
inline void jpeg_message(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_HUFF_BAD_CODE) jpeg_failed(info);
}

inline boolean jpeg_ended(j_decompress_ptr info) {
  info->err->msg_code = JERR_INPUT_EOF;
  jpeg_failed(reinterpret_cast<j_common_ptr>(info));
}

/// A scan of few bytes costs a pass over all pixels; encoders write ten.
inline void jpeg_scanned(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= 500) return;
  auto& decoding = *static_cast<JpegDecoding*>(info->client_data);
  std::snprintf(decoding.error, sizeof decoding.error, "more than 500 scans");
  longjmp(decoding.failed, 1);
}

/// Fills the pixels as Pillow does, or says false and why. Holds nothing that a jump would have to destroy.
inline bool decode_jpeg(JpegDecoding& to) {
  jpeg_decompress_struct& info = to.info;
  info.err = jpeg_std_error(&to.errors);
  to.errors.error_exit = jpeg_failed;
  to.errors.emit_message = jpeg_message;
  info.client_data = &to;
  if (setjmp(to.failed)) {
    jpeg_destroy_decompress(&to.info);
    return false;
  }
  jpeg_create_decompress(&info);
  to.progress.progress_monitor = jpeg_scanned;
  info.progress = &to.progress;
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(to.file.data()), to.file.size());
  info.src->fill_input_buffer = jpeg_ended;  // libjpeg's own invents an end
  jpeg_read_header(&info, TRUE);
  const bool cmyk = info.num_components == 4;
  to.channels = !cmyk && (to.luma || info.num_components == 1) ? 1 : 3;
  info.out_color_space = cmyk ? JCS_CMYK : to.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  if (to.tensorflow) info.dct_method = JDCT_IFAST;
  const bool fits = info.image_width == to.width && info.image_height == to.height;
  if (fits) {
    jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
      std::uint8_t* out = to.pixels + info.output_scanline * to.width * to.channels;
      JSAMPROW row = cmyk ? to.row : out;
      jpeg_read_scanlines(&info, &row, 1);
      if (!cmyk) continue;
      // Adobe's numbers say how little ink there is. Pillow rounds, TensorFlow cuts down.
      const int half = to.tensorflow ? 0 : 255;
      for (std::int64_t x = 0; x < to.width; ++x)
        for (int c = 0; c < 3; ++c)
          out[3 * x + c] = static_cast<std::uint8_t>((2 * row[4 * x + c] * row[4 * x + 3] + half) / 510);
    }
    jpeg_finish_decompress(&info);  // reads to the end marker
  }
  jpeg_destroy_decompress(&info);
  return fits;
}

}}}  // namespace strata::STRATA_ABI::detail
#endif
