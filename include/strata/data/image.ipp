#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <strata/core/profile.hpp>
#include <strata/data/image.hpp>
#include <strata/data/libjpeg.ipp>
#include <strata/data/stb.ipp>
#include <strata/io/file.hpp>

namespace strata { inline namespace STRATA_ABI {
namespace detail {

inline constexpr std::int64_t max_pixels = 89'478'485;

enum class ImageFormat { unknown, jpeg, png, bmp, gif };

inline ImageFormat image_format(std::string_view bytes) {
  if (bytes.starts_with("\xFF\xD8\xFF")) return ImageFormat::jpeg;
  if (bytes.starts_with("\x89PNG\r\n\x1A\n")) return ImageFormat::png;
  if (bytes.starts_with("GIF87a") || bytes.starts_with("GIF89a")) return ImageFormat::gif;
  if (bytes.starts_with("BM")) return ImageFormat::bmp;
  return ImageFormat::unknown;
}

inline void require_image_format(std::string_view bytes, std::string_view name) {
  require<DataError>(!bytes.empty(), "[image] '", name, "' is empty");
  if (image_format(bytes) != ImageFormat::unknown) return;
  std::string start;
  for (const char c : bytes.substr(0, 12)) start += c >= ' ' && c <= '~' ? c : '.';
  throw DataError(
      concat("[image] '", name, "' is not a JPEG, PNG, BMP or GIF: it begins with \"", start, "\""));
}

/// Reads little- or big-endian numbers; past the end it throws.
class ImageReader {
 public:
  ImageReader(std::string_view bytes, std::string_view name) : bytes_(bytes), name_(name) {}

  std::string_view take(std::uint64_t offset, std::uint64_t count) const {
    require<DataError>(offset <= bytes_.size() && count <= bytes_.size() - offset, "[image] '", name_,
                       "' is truncated: ", bytes_.size(), " bytes, more are needed");
    return bytes_.substr(offset, count);
  }
  std::uint32_t little(std::uint64_t offset, int count) const {
    const std::string_view from = take(offset, static_cast<std::uint64_t>(count));
    std::uint32_t value = 0;
    for (auto c = from.rbegin(); c != from.rend(); ++c) value = value << 8 | static_cast<unsigned char>(*c);
    return value;
  }
  std::uint32_t big(std::uint64_t offset) const {
    std::uint32_t value = 0;
    for (const char c : take(offset, 4)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }

 private:
  std::string_view bytes_, name_;
};

/// CRC-32 of PNG and zlib.
inline std::uint32_t crc32(std::string_view bytes) {
  static constexpr auto table = [] {
    std::array<std::uint32_t, 256> out{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      out[i] = i;
      for (int bit = 0; bit < 8; ++bit) out[i] = out[i] >> 1 ^ (out[i] & 1 ? 0xEDB88320u : 0);
    }
    return out;
  }();
  std::uint32_t crc = ~0u;
  for (const char c : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~crc;
}

inline void require_pixel_count(std::int64_t width, std::int64_t height, std::string_view name) {
  require<DataError>(width <= max_pixels && height <= max_pixels && width * height <= max_pixels, "[image] '",
                     name, "' claims to have ", width, " x ", height, " pixels; at most ", max_pixels,
                     " are accepted");
}

// stb fills with grey or black what is missing from some files; these checks find that first. (A JPEG cut
// short lacks its end marker, which stb does notice.)
inline void check_png(const ImageReader& file, std::string_view name) {
  require_pixel_count(file.big(16), file.big(20), name);
  for (std::uint64_t at = 8;;) {
    const std::uint32_t length = file.big(at);
    const std::string_view chunk = file.take(at + 4, std::uint64_t{length} + 4);
    const bool critical = !(chunk[0] & 0x20);
    require<DataError>(!critical || file.big(at + 8 + length) == crc32(chunk), "[image] '", name,
                       "' is damaged: the checksum of its ", chunk.substr(0, 4), " chunk at byte ", at,
                       " is wrong");
    if (chunk.starts_with("IEND")) return;
    at += std::uint64_t{length} + 12;
  }
}

inline void check_bmp(const ImageReader& file, std::string_view name) {
  const std::uint64_t pixels = file.little(10, 4), header = file.little(14, 4);
  const bool core = header == 12;
  const std::int64_t width =
      core ? std::int64_t{file.little(18, 2)} : static_cast<std::int32_t>(file.little(18, 4));
  const std::int64_t height =
      core ? std::int64_t{file.little(20, 2)} : static_cast<std::int32_t>(file.little(22, 4));
  const std::int64_t bits = file.little(core ? 24 : 28, 2);
  if (width <= 0 || height == 0 || bits > 32) return;  // stb's error says more
  const std::int64_t rows = height < 0 ? -height : height;
  require_pixel_count(width, rows, name);
  const std::int64_t row = (width * bits + 31) / 32 * 4, last = (width * bits + 7) / 8;
  file.take(pixels, static_cast<std::uint64_t>((rows - 1) * row + last));
}

/// The first picture of a GIF; what is not given is 0.
struct GifFrame {
  std::int64_t left = 0, top = 0, width = 0, height = 0;
  std::size_t flags = 0;      ///< place of the byte that says whether a colour is transparent
  std::uint32_t colour = 0;   ///< which one; it, or number 0, also fills what the frame leaves free
  std::size_t palette = 0;    ///< place of the colour table
  std::uint32_t colours = 0;  ///< in it
};

/// Throws where the first picture is not complete.
inline GifFrame check_gif(const ImageReader& file) {
  GifFrame frame;
  const auto color_table = [](std::uint32_t flags) { return flags & 0x80 ? 6u << (flags & 7) : 0u; };
  const auto sub_blocks = [&](std::uint64_t at) {
    while (const std::uint32_t length = file.little(at, 1)) at += length + 1;
    return at + 1;
  };
  std::uint64_t at = 13 + color_table(file.little(10, 1));
  frame.palette = 13;
  frame.colours = color_table(file.little(10, 1)) / 3;
  for (;;) {
    const std::uint32_t kind = file.little(at, 1);
    if (kind == 0x2C) {  // the first picture: its data must be complete
      const auto extent = [&](int i) {
        return std::int64_t{file.little(at + 1 + 2 * static_cast<std::uint64_t>(i), 2)};
      };
      frame.left = extent(0), frame.top = extent(1), frame.width = extent(2), frame.height = extent(3);
      if (const std::uint32_t own = color_table(file.little(at + 9, 1)))
        frame.palette = static_cast<std::size_t>(at + 10), frame.colours = own / 3;
      sub_blocks(at + 11 + color_table(file.little(at + 9, 1)));
      return frame;
    }
    if (kind != 0x21) return frame;  // stb's error says more
    if (file.little(at + 1, 1) == 0xF9 && file.little(at + 2, 1) >= 4) {
      const bool transparent = file.little(at + 3, 1) & 1;
      frame.flags = transparent ? static_cast<std::size_t>(at + 3) : 0;
      frame.colour = transparent ? file.little(at + 6, 1) : 0;
    }
    at = sub_blocks(at + 2);
  }
}

/// Walks the markers as stb does. Its Huffman tables have room for 256 codes, which it does not count, and it
/// takes code number 255 for "none", so that is checked here. What else is missing or malformed it finds
/// itself.
inline void check_jpeg(std::string_view bytes, std::string_view name) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0;
  };
  for (std::size_t at = 2; at < bytes.size();) {
    if (byte(at++) != 0xFF) continue;  // compressed data, or padding
    while (byte(at) == 0xFF) ++at;
    const unsigned marker = byte(at++);
    if (marker == 0xD9) return;                                          // the end
    if (marker <= 0x01 || (marker >= 0xD0 && marker <= 0xD8)) continue;  // no length follows
    const std::size_t end = at + (byte(at) << 8 | byte(at + 1));
    if (marker == 0xC4)
      for (std::size_t table = at + 2; table < end;) {
        std::size_t codes = 0;
        for (std::size_t i = 1; i <= 16; ++i) codes += byte(table + i);
        require<DataError>(codes <= 255, "[image] '", name, "' is damaged: a Huffman table has ", codes,
                           " codes");
        table += 17 + codes;
      }
    at = std::max(at, end);
  }
}

inline void check_complete(std::string_view bytes, std::string_view name) {
  const ImageReader file(bytes, name);
  switch (image_format(bytes)) {
    case ImageFormat::jpeg:
      return check_jpeg(bytes, name);
    case ImageFormat::png:
      return check_png(file, name);
    case ImageFormat::bmp:
      return check_bmp(file, name);
    case ImageFormat::gif:
      check_gif(file);
      return;
    default:
      return;
  }
}

/// Pixels of `from` channels (1 grey, 2 grey and alpha, 3, 4) as pixels of `to` channels (1, 3, 4).
inline void convert_channels(const std::uint8_t* in, int from, std::uint8_t* out, int to, std::int64_t pixels,
                             ImageDecoder decoder) {
  // ITU-R 601 luma in fixed point: Pillow's, and libpng's, which drops the fraction.
  const bool pillow = decoder == ImageDecoder::pillow;
  const std::uint32_t red = pillow ? 19595 : 2 * 9797, green = pillow ? 38470 : 2 * 19234,
                      blue = 65536 - red - green, half = pillow ? 0x8000 : 0;
  if (from == to) {
    std::copy_n(in, pixels * to, out);
    return;
  }
  for (std::int64_t i = 0; i < pixels; ++i, in += from, out += to) {
    if (to == 1) {
      out[0] = from < 3
                   ? in[0]
                   : static_cast<std::uint8_t>((in[0] * red + in[1] * green + in[2] * blue + half) >> 16);
      continue;
    }
    for (int c = 0; c < 3; ++c) out[c] = in[from < 3 ? 0 : c];
    if (to == 4) out[3] = from == 2 ? in[1] : 255;
  }
}

inline void require_pixels(TensorView<const std::uint8_t> pixels, bool alpha) {
  const Shape& shape = pixels.shape();
  const bool fits = shape.rank() == 3 && pixels.size() > 0 && shape[0] <= 65535 && shape[1] <= 65535 &&
                    (shape[2] == 1 || shape[2] == 3 || (alpha && shape[2] == 4));
  require<ShapeError>(fits, "[image] expected pixels [height,width,channels] with ",
                      alpha ? "1, 3 or 4" : "1 or 3", " channels to encode, found ", shape);
}

/// stb hands encoded bytes over piece by piece.
inline void append_encoded(void* to, void* data, int size) {
  static_cast<std::string*>(to)->append(static_cast<const char*>(data), static_cast<std::size_t>(size));
}

}  // namespace detail

namespace detail {

using StbPixels = std::unique_ptr<stb::stbi_uc, void (*)(void*)>;

/// Decodes pixels whose count the header has given; `channels` says how many stb gives, `wanted` (0: the
/// file's) how many it should.
inline StbPixels stb_decode(std::string_view bytes, std::string_view name, std::int64_t pixels, int wanted,
                            int& channels) {
  int width = 0, height = 0;
  StbPixels decoded(
      stb::stbi_load_from_memory(reinterpret_cast<const stb::stbi_uc*>(bytes.data()),
                                 static_cast<int>(bytes.size()), &width, &height, &channels, wanted),
      ::free);
  const char* reason = stb::stbi_failure_reason();
  require<DataError>(decoded && std::int64_t{width} * height == pixels, "[image] '", name,
                     "' is damaged or truncated (", reason ? reason : "no reason given", ")");
  if (wanted) channels = wanted;
  return decoded;
}

/// [height,width,4]. stb leaves transparent pixels out and fills with the background, which neither Pillow
/// nor TensorFlow looks at.
inline StbPixels decode_gif(std::string bytes, std::string_view name, std::int64_t height, std::int64_t width,
                            ImageDecoder decoder) {
  const GifFrame frame = check_gif(ImageReader(bytes, name));
  int channels = 0;
  bytes[11] = 0;  // no background
  if (decoder == ImageDecoder::tensorflow) return stb_decode(bytes, name, height * width, 4, channels);
  StbPixels cut(nullptr, ::free);
  if (frame.flags) {
    cut = stb_decode(bytes, name, height * width, 4, channels);
    bytes[frame.flags] = static_cast<char>(bytes[frame.flags] & ~1);
  }
  StbPixels out = stb_decode(bytes, name, height * width, 4, channels);
  std::uint8_t fill[4] = {0, 0, 0, 255};
  if (frame.colour < frame.colours) std::memcpy(fill, bytes.data() + frame.palette + 3 * frame.colour, 3);
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) {
      std::uint8_t* pixel = out.get() + 4 * (y * width + x);
      const bool inside =
          y >= frame.top && y < frame.top + frame.height && x >= frame.left && x < frame.left + frame.width;
      if (!inside) std::memcpy(pixel, fill, 4);
      if (cut) pixel[3] = cut.get()[4 * (y * width + x) + 3];
    }
  return out;
}

}  // namespace detail

STRATA_INLINE Tensor<std::uint8_t> decode_image(std::span<const std::uint8_t> bytes, std::string_view name,
                                                ColorMode mode, ImageDecoder decoder) {
  const PhaseTimer timer(Phase::decode);
  namespace stb = detail::stb;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  detail::require_image_format(text, name);
  require<DataError>(bytes.size() <= (std::size_t{1} << 30), "[image] '", name, "' is larger than 1 GiB");
  detail::check_complete(text, name);

  int width = 0, height = 0, channels = 0;
  // The header alone first: the picture's size bounds what decoding may allocate.
  stb::allocation_limit = std::size_t{1} << 20;
  const int known =
      stb::stbi_info_from_memory(bytes.data(), static_cast<int>(bytes.size()), &width, &height, &channels);
  require<DataError>(known && width > 0 && height > 0, "[image] '", name,
                     "' is damaged or truncated: its header cannot be read");
  detail::require_pixel_count(width, height, name);
  const std::int64_t pixels = std::int64_t{width} * height;
  stb::allocation_limit =
      (std::size_t{1} << 20) + 2 * bytes.size() +
      32 * (static_cast<std::size_t>(width) + 16) * (static_cast<std::size_t>(height) + 16);
  const detail::ImageFormat format = detail::image_format(text);
  const bool luma = decoder == ImageDecoder::tensorflow && mode == ColorMode::grayscale;
  const auto convert = [&](const std::uint8_t* from) {
    const std::int64_t wanted = channels_of(mode);
    Tensor<std::uint8_t> out = Tensor<std::uint8_t>::uninitialized({height, width, wanted});
    detail::convert_channels(from, channels, out.data(), static_cast<int>(wanted), pixels, decoder);
    return out;
  };
#ifdef STRATA_LIBJPEG
  if (format == detail::ImageFormat::jpeg) {
    Tensor<std::uint8_t> out = Tensor<std::uint8_t>::uninitialized({height, width, 3});
    std::vector<std::uint8_t> row(4 * static_cast<std::size_t>(width));
    detail::JpegDecoding to{text, height,     width,     decoder == ImageDecoder::tensorflow,
                            luma, out.data(), row.data()};
    require<DataError>(detail::decode_jpeg(to), "[image] '", name, "' is damaged or truncated (", to.error,
                       ")");
    channels = to.channels;
    return mode == ColorMode::rgb && channels == 3 ? std::move(out) : convert(out.data());
  }
#endif
  if (format == detail::ImageFormat::gif) channels = 4;
  const auto decoded =
      format == detail::ImageFormat::gif
          ? detail::decode_gif(std::string(text), name, height, width, decoder)
          // Of a JPEG four channels: stb converts colours in vectors only to those, to the same values.
          : detail::stb_decode(text, name, pixels, format != detail::ImageFormat::jpeg ? 0 : (luma ? 1 : 4),
                               channels);
  return convert(decoded.get());
}

STRATA_INLINE Tensor<std::uint8_t> read_image(const std::string& path, ColorMode mode, ImageDecoder decoder) {
  const PhaseTimer timer(Phase::decode);
  const std::string bytes = read_file(path);
  return decode_image({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, path, mode,
                      decoder);
}

STRATA_INLINE void check_image_file(const std::string& path) {
  const InputFile file(path);
  std::string start(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), 16)), '\0');
  file.read(0, start.data(), start.size());
  detail::require_image_format(start, path);
}

STRATA_INLINE std::string encode_png(TensorView<const std::uint8_t> pixels) {
  detail::require_pixels(pixels, true);
  const auto extent = [&](int axis) { return static_cast<int>(pixels.shape()[axis]); };
  int size = 0;
  const std::unique_ptr<unsigned char, void (*)(void*)> png(
      detail::stb::stbi_write_png_to_mem(pixels.data(), 0, extent(1), extent(0), extent(2), &size),
      std::free);
  require<DataError>(png && size > 0, "[image] pixels ", pixels.shape(), " could not be encoded as PNG");
  return {reinterpret_cast<const char*>(png.get()), static_cast<std::size_t>(size)};
}

STRATA_INLINE std::string encode_jpeg(TensorView<const std::uint8_t> pixels, int quality) {
  detail::require_pixels(pixels, false);
  require<ConfigError>(quality >= 1 && quality <= 100, "[image] expected a JPEG quality of 1 to 100, found ",
                       quality);
  const auto extent = [&](int axis) { return static_cast<int>(pixels.shape()[axis]); };
  std::string bytes;
  const int good = detail::stb::stbi_write_jpg_to_func(detail::append_encoded, &bytes, extent(1), extent(0),
                                                       extent(2), pixels.data(), quality);
  require<DataError>(good && !bytes.empty(), "[image] pixels ", pixels.shape(),
                     " could not be encoded as JPEG");
  return bytes;
}

STRATA_INLINE void write_png(const std::string& path, TensorView<const std::uint8_t> pixels) {
  write_file_atomically(path, encode_png(pixels));
}

STRATA_INLINE void write_jpeg(const std::string& path, TensorView<const std::uint8_t> pixels, int quality) {
  write_file_atomically(path, encode_jpeg(pixels, quality));
}

}}  // namespace strata::STRATA_ABI
