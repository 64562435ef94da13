#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <strata/core/parallel.hpp>
#include <strata/core/random.hpp>
#include <strata/data/image.hpp>
#include <strata/io/file.hpp>

/// Pictures for the examples to learn from where no real ones are given: hot-air balloons and kites in front
/// of skies, clouds and hills.
namespace sample_pictures {

/// Numbers in the order they are asked for, from the counter-based generator.
class Dice {
 public:
  Dice(std::uint64_t seed, std::uint64_t path, std::uint64_t picture)
      : stream_(seed, strata::Purpose::user, path, picture) {}
  float between(float low, float high) { return low + (high - low) * stream_.uniform(next_++); }
  int below(int bound) { return static_cast<int>(stream_.below(static_cast<std::uint32_t>(bound), next_++)); }

 private:
  strata::RandomStream stream_;
  std::uint64_t next_ = 0;
};

struct Color {
  float r, g, b;
};
inline Color mix(Color a, Color b, float t) {
  return {a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t};
}
/// Hue, saturation and value in [0,1].
inline Color hsv(float hue, float saturation, float value) {
  const auto channel = [&](float shift) {
    const float k = std::fmod(shift + hue * 6, 6.0f);
    return value * (1 - saturation * std::clamp(std::min(k, 4 - k), 0.0f, 1.0f));
  };
  return {channel(5), channel(3), channel(1)};
}

struct Point {
  float x, y;
};

class Canvas {
 public:
  Canvas(int height, int width)
      : height_(height), width_(width), pixels_(static_cast<std::size_t>(height * width)) {}
  int height() const { return height_; }
  int width() const { return width_; }

  /// Paints where `distance` (negative inside, in pixels) says, within `reach` of `center`, in the color that
  /// `color` gives; edges are antialiased.
  template <class Distance, class Paint>
  void paint(Point center, float reach, Distance distance, Paint color) {
    const auto limit = [](float value, int most) { return std::clamp(static_cast<int>(value), 0, most); };
    for (int y = limit(center.y - reach, height_); y < limit(center.y + reach + 1, height_); ++y)
      for (int x = limit(center.x - reach, width_); x < limit(center.x + reach + 1, width_); ++x) {
        const Point p{static_cast<float>(x) - center.x, static_cast<float>(y) - center.y};
        const float cover = std::clamp(0.5f - distance(p), 0.0f, 1.0f);
        Color& pixel = pixels_[static_cast<std::size_t>(y * width_ + x)];
        if (cover > 0) pixel = mix(pixel, color(p), cover);
      }
  }
  void line(Point from, Point to, float thickness, Color color) {
    const Point along{to.x - from.x, to.y - from.y};
    const float length = along.x * along.x + along.y * along.y;
    paint(
        from, std::sqrt(length) + thickness,
        [&](Point p) {
          const float t = std::clamp((p.x * along.x + p.y * along.y) / std::max(length, 1e-6f), 0.0f, 1.0f);
          return std::hypot(p.x - t * along.x, p.y - t * along.y) - thickness / 2;
        },
        [&](Point) { return color; });
  }

  /// Bytes, with the grain of a camera.
  strata::Tensor<std::uint8_t> photograph(Dice& dice, float grain) const {
    strata::Tensor<std::uint8_t> out({height_, width_, 3});
    std::uint8_t* to = out.data();
    for (const Color& pixel : pixels_) {
      const float noise = dice.between(-grain, grain);
      for (const float value : {pixel.r, pixel.g, pixel.b})
        *to++ = static_cast<std::uint8_t>(std::clamp(255 * (value + noise), 0.0f, 255.0f));
    }
    return out;
  }

 private:
  int height_, width_;
  std::vector<Color> pixels_;
};

enum class Subject { balloon, kite };

/// Kites fly by day at the beach, balloons rise over meadows in the morning, at dusk and at night: as in
/// photographs the surroundings tell, too, and even a base with random weights sees them.
inline void draw_landscape(Canvas& canvas, Dice& dice, Subject subject) {
  const auto width = static_cast<float>(canvas.width()), height = static_cast<float>(canvas.height());
  const Point middle{width / 2, height / 2};
  const auto everywhere = [](Point) { return -1.0f; };
  // Noon, morning, dusk or night.
  static constexpr Color skies[][2] = {{{0.25f, 0.5f, 0.9f}, {0.75f, 0.88f, 0.97f}},
                                       {{0.5f, 0.65f, 0.85f}, {0.98f, 0.85f, 0.7f}},
                                       {{0.3f, 0.2f, 0.5f}, {0.95f, 0.5f, 0.3f}},
                                       {{0.04f, 0.05f, 0.15f}, {0.2f, 0.22f, 0.4f}}};
  const bool kite = subject == Subject::kite;
  const auto& sky = skies[kite ? dice.below(2) : 1 + dice.below(3)];
  const float tint = dice.between(0, 0.25f), hue = dice.between(0, 1);
  canvas.paint(middle, width + height, everywhere, [&](Point p) {
    return mix(mix(sky[0], sky[1], (p.y + middle.y) / height), hsv(hue, 0.6f, 0.8f), tint);
  });
  for (int clouds = dice.below(4); clouds-- > 0;) {
    const Point at{dice.between(0, width), dice.between(0, height * 0.7f)};
    for (int puffs = 3 + dice.below(4); puffs-- > 0;) {
      const float radius = dice.between(0.03f, 0.09f) * width, shade = dice.between(0.8f, 1);
      const Point puff{at.x + dice.between(-0.12f, 0.12f) * width,
                       at.y + dice.between(-0.03f, 0.03f) * height};
      canvas.paint(
          puff, radius, [&](Point p) { return std::hypot(p.x, p.y * 1.5f) - radius; },
          [&](Point) {
            return mix(Color{1, 1, 1}, sky[1], 1 - shade);
          });
    }
  }
  for (int hills = 1 + dice.below(3); hills-- > 0;) {
    const float level = dice.between(0.7f, 0.95f) * height, wave = dice.between(0.02f, 0.09f) * height;
    const float length = dice.between(0.02f, 0.07f), phase = dice.between(0, 6);
    const float shade = dice.between(0, 0.3f);
    const Color earth = kite ? hsv(dice.between(0.1f, 0.14f), dice.between(0.3f, 0.5f), 0.6f + shade)
                             : hsv(dice.between(0.2f, 0.4f), dice.between(0.4f, 0.7f), 0.2f + shade);
    canvas.paint(
        middle, width + height,
        [&](Point p) { return level + wave * std::sin((p.x + middle.x) * length + phase) - p.y - middle.y; },
        [&](Point p) {
          return mix(earth, {0, 0, 0}, 0.15f * std::sin(p.x * 0.7f) * std::sin(p.y * 0.9f) + 0.15f);
        });
  }
}

inline void draw_balloon(Canvas& canvas, Dice& dice, Point at, float size) {
  const float tall = dice.between(1.05f, 1.25f), stripes = dice.between(5, 11), phase = dice.between(0, 3);
  const float hue = dice.between(0, 1), other = hue + dice.between(0.2f, 0.8f);
  const Color rope{0.25f, 0.2f, 0.15f};
  const Point basket{at.x, at.y + size * (tall + 0.55f)};
  for (const float side : {-1.0f, 1.0f})
    canvas.line({at.x + side * size * 0.45f, at.y + size * tall * 0.85f},
                {basket.x + side * size * 0.13f, basket.y}, std::max(1.0f, size * 0.03f), rope);
  canvas.paint(
      basket, size,
      [&](Point p) {
        return std::max(std::abs(p.x) - size * 0.17f, std::abs(p.y - size * 0.1f) - size * 0.13f);
      },
      [&](Point p) {
        return mix({0.55f, 0.38f, 0.2f}, {0.3f, 0.2f, 0.1f}, 0.5f + 0.5f * std::sin(p.y * 2));
      });
  canvas.paint(
      at, size * (tall + 0.1f),
      [&](Point p) {
        // An egg: narrower below.
        const float squeeze = p.y > 0 ? 1 + 0.25f * p.y / size : 1;
        return (std::hypot(p.x * squeeze / size, p.y / (size * tall)) - 1) * size;
      },
      [&](Point p) {
        const float across = std::asin(std::clamp(p.x / size, -1.0f, 1.0f));
        const bool even = std::sin(across * stripes + phase) > 0;
        const Color cloth = hsv(even ? hue : other, 0.75f, 0.95f);
        return mix(cloth, {0, 0, 0}, std::clamp(0.35f * (p.x + p.y * 0.5f) / size, 0.0f, 0.5f));
      });
}

inline void draw_kite(Canvas& canvas, Dice& dice, Point at, float size) {
  const float turn = dice.between(-0.7f, 0.7f), cosine = std::cos(turn), sine = std::sin(turn);
  const float wide = dice.between(0.65f, 0.85f), hue = dice.between(0, 1),
              other = hue + dice.between(0.2f, 0.8f);
  // The tail swings below the lower corner.
  Point from{at.x - sine * size * 1.3f, at.y + cosine * size * 1.3f};
  const float swing = dice.between(0.15f, 0.35f) * size, phase = dice.between(0, 6);
  for (int i = 1; i <= 7; ++i) {
    const Point to{from.x + swing * std::sin(static_cast<float>(i) * 1.1f + phase), from.y + size * 0.16f};
    canvas.line(from, to, std::max(1.0f, size * 0.04f), {0.2f, 0.2f, 0.2f});
    if (i % 2)
      canvas.line({to.x - size * 0.12f, to.y - size * 0.05f}, {to.x + size * 0.12f, to.y + size * 0.05f},
                  size * 0.09f, hsv(i % 4 == 1 ? hue : other, 0.8f, 0.95f));
    from = to;
  }
  const auto turned = [&](Point p) { return Point{p.x * cosine + p.y * sine, p.y * cosine - p.x * sine}; };
  canvas.paint(
      at, size * 1.4f,
      [&](Point p) {
        const Point q = turned(p);
        const float tall = q.y > 0 ? 1.3f : 0.8f;
        return (std::abs(q.x) / (wide * size) + std::abs(q.y) / (tall * size) - 1) * size * 0.6f;
      },
      [&](Point p) {
        const Point q = turned(p);
        if (std::min(std::abs(q.x), std::abs(q.y)) < size * 0.025f) return Color{0.25f, 0.2f, 0.15f};
        return mix(hsv((q.x > 0) == (q.y > 0) ? hue : other, 0.75f, 0.95f), {0, 0, 0},
                   std::clamp(0.25f * q.x / size, 0.0f, 0.3f));
      });
}

/// One picture of 96 to 180 pixels a side: a pure function of its arguments.
inline strata::Tensor<std::uint8_t> draw(Subject subject, std::uint64_t seed, std::uint64_t path,
                                         std::uint64_t number) {
  Dice dice(seed, path, number);
  Canvas canvas(96 + dice.below(85), 96 + dice.below(85));
  draw_landscape(canvas, dice, subject);
  const auto side = static_cast<float>(std::min(canvas.height(), canvas.width()));
  for (int count = 1 + dice.below(3) / 2; count-- > 0;) {
    const float size = dice.between(0.11f, 0.23f) * side;
    const Point at{dice.between(0.2f, 0.8f) * static_cast<float>(canvas.width()),
                   dice.between(0.22f, 0.6f) * static_cast<float>(canvas.height())};
    subject == Subject::balloon ? draw_balloon(canvas, dice, at, size) : draw_kite(canvas, dice, at, size);
  }
  return canvas.photograph(dice, dice.between(0, 0.06f));
}

struct Counts {
  int train = 120, validation = 50, test = 50;  ///< of each class
};

/// Writes {train,validation,test}/{balloons,kites}/ below `directory`: JPEG files and, every fourth, PNG.
inline void write(const std::string& directory, const Counts& counts = {}, std::uint64_t seed = 0) {
  struct Picture {
    std::string folder;
    Subject subject;
    int number;
  };
  std::vector<Picture> pictures;
  for (const auto& [split, count] :
       {std::pair{"train", counts.train}, std::pair{"validation", counts.validation},
        std::pair{"test", counts.test}})
    for (const Subject subject : {Subject::balloon, Subject::kite}) {
      const std::string folder = std::string(split) + (subject == Subject::balloon ? "/balloons" : "/kites");
      strata::make_directories(directory + "/" + folder);
      for (int i = 0; i < count; ++i) pictures.push_back({folder, subject, i});
    }
  strata::ThreadPool pool;
  pool.run(static_cast<std::int64_t>(pictures.size()), [&](std::int64_t task, int) {
    const Picture& picture = pictures[static_cast<std::size_t>(task)];
    const auto pixels = draw(picture.subject, seed, strata::hash_name(picture.folder),
                             static_cast<std::uint64_t>(picture.number));
    const std::string number = std::to_string(1000 + picture.number).substr(1);
    const bool png = picture.number % 4 == 3;
    const std::string file = directory + "/" + picture.folder + "/" + number + (png ? ".png" : ".jpg");
    const std::string bytes = png ? strata::encode_png(pixels) : strata::encode_jpeg(pixels);
    std::ofstream out(file, std::ios::binary);  // plainly: hundreds of atomic writes wait for the disk
    strata::require<strata::DataError>(out << bytes && out.flush(), "cannot write '", file, "'");
  });
}

}  // namespace sample_pictures
