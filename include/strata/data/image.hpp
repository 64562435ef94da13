#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <strata/tensor/tensor.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Channels of a decoded picture: 3, 4 (opaque where the file has no alpha) or 1.
enum class ColorMode { rgb, rgba, grayscale };

constexpr std::int64_t channels_of(ColorMode mode) {
  return mode == ColorMode::rgb ? 3 : mode == ColorMode::rgba ? 4 : 1;
}

/// Whose pixels a decoded picture has where the two differ: Pillow's (load_img, ImageDataGenerator) or those
/// of tf.io.decode_image (image_dataset_from_directory).
enum class ImageDecoder { pillow, tensorflow };

/// A JPEG, PNG, BMP or GIF (first frame) as [height,width,channels].
///
/// The content decides the format, never the name. As in Keras the EXIF orientation is ignored. Alpha is
/// dropped, not blended, for rgb and grayscale; grayscale is ITU-R 601 luma as Pillow rounds it, or, as
/// TensorFlow has it, cut down to whole numbers and a JPEG's own; transparent pixels of a GIF have their
/// colour, in TensorFlow black; 16-bit channels keep their high byte. Throws DataError naming `name` for
/// anything else, for damaged or truncated data, and for more than 89,478,485 pixels (Pillow's limit against
/// decompression bombs). A JPEG's pixels are exactly theirs where strata::compiled has libjpeg-turbo; stb,
/// which decodes elsewhere, rounds some otherwise.
Tensor<std::uint8_t> decode_image(std::span<const std::uint8_t> bytes, std::string_view name = "image",
                                  ColorMode mode = ColorMode::rgb,
                                  ImageDecoder decoder = ImageDecoder::pillow);

/// decode_image of a file.
Tensor<std::uint8_t> read_image(const std::string& path, ColorMode mode = ColorMode::rgb,
                                ImageDecoder decoder = ImageDecoder::pillow);

/// Throws DataError naming the file unless it can be read and begins like an image of a known format. Looks
/// at its first bytes only.
void check_image_file(const std::string& path);

/// The bytes of a PNG file of pixels [height,width,channels] (1, 3 or 4 channels). Throws ShapeError.
std::string encode_png(TensorView<const std::uint8_t> pixels);
/// The same as JPEG (1 or 3 channels), quality 1 to 100.
std::string encode_jpeg(TensorView<const std::uint8_t> pixels, int quality = 90);

/// Writes the encoded pixels atomically (see AtomicFile); parent folders must exist.
void write_png(const std::string& path, TensorView<const std::uint8_t> pixels);
void write_jpeg(const std::string& path, TensorView<const std::uint8_t> pixels, int quality = 90);

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/data/image.ipp>
#endif
