// What contenders in C++ share: the case that race.py wrote to a folder, and the conversation with race.py.
// No library is needed, so that one contender's process holds nothing of another's.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <numeric>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace strata_bench {

using Extents = std::vector<std::int64_t>;

inline std::int64_t count_of(const Extents& extents) {
  return std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<>());
}

struct CaseLayer {
  std::string kind;                   // conv, depthwise, pool, flatten, dense
  std::string activation = "linear";  // leaky_relu: with slope 0.1
  std::int64_t size = 2, stride = 2;
  bool same = false, frozen = false;
  Extents input{}, output{};            // [n,h,w,c] or [n,features]
  std::vector<float> kernel{}, bias{};  // [h,w,in,out]; of depthwise [h,w,in,1], of dense [in,out]

  /// As Keras pads: where the sum is odd, less above and left.
  std::int64_t padding_before(std::size_t axis) const { return padding(axis) / 2; }
  std::int64_t padding_after(std::size_t axis) const { return padding(axis) - padding(axis) / 2; }

 private:
  std::int64_t padding(std::size_t axis) const {
    return same ? std::max<std::int64_t>(0, (output[axis] - 1) * stride + size - input[axis]) : 0;
  }
};

struct Case {
  std::string precision = "float32";
  std::vector<CaseLayer> layers;
  Extents shape;
  std::vector<float> input;
};

/// Thrown by a contender that does not do the case at all, with the reason.
struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The next `count` numbers of a file.
inline std::vector<float> read_floats(std::ifstream& file, const std::string& path, std::int64_t count) {
  std::vector<float> out(static_cast<std::size_t>(count));
  file.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size() * sizeof(float)));
  if (!file) throw std::runtime_error(path + " could not be read or is too short");
  return out;
}

inline void write_floats(const std::string& path, std::span<const float> values) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
  if (!file.flush()) throw std::runtime_error("could not write " + path);
}

/// The layer of a line of case.txt, of which `words` has what follows its kind.
inline CaseLayer layer_of(const std::string& kind, std::istream& words, const Extents& input) {
  CaseLayer out{.kind = kind, .input = input, .output = input};
  const bool convolution = kind == "conv" || kind == "depthwise";
  std::int64_t filters = 0;
  if (kind == "conv" || kind == "dense") words >> filters;
  if (convolution) words >> out.size >> out.stride;
  if (convolution || kind == "pool") {
    std::string padding;
    words >> padding;
    out.same = padding == "same";
    for (const std::size_t axis : {1u, 2u})
      out.output.at(axis) =
          ((out.same ? input[axis] : input[axis] - out.size + 1) + out.stride - 1) / out.stride;
    if (kind == "conv") out.output[3] = filters;
  } else if (kind == "flatten") {
    out.output = {input.at(0), count_of(input) / input[0]};
  } else if (kind == "dense") {
    out.output.at(1) = filters;
  } else {
    throw std::runtime_error("case.txt has a line of unknown kind: " + kind);
  }
  if (convolution || kind == "dense") words >> out.activation;
  if (!words) throw std::runtime_error("case.txt has a line that ends too early: " + kind);
  return out;
}

/// case.txt, weights.f32 and input.f32 in `folder`; race.py explains the lines of case.txt.
inline Case load_case(const std::string& folder) {
  Case out;
  std::ifstream lines(folder + "/case.txt"), weights(folder + "/weights.f32", std::ios::binary),
      input(folder + "/input.f32", std::ios::binary);
  Extents shape;
  for (std::string line, kind; std::getline(lines, line);) {
    std::istringstream words(line);
    words >> kind;
    if (kind == "precision") {
      words >> out.precision;
    } else if (kind == "input") {
      for (std::int64_t extent; words >> extent;) out.shape.push_back(extent);
      shape = out.shape;
    } else if (kind == "freeze") {
      for (CaseLayer& layer : out.layers) layer.frozen = true;
    } else {
      CaseLayer& layer = out.layers.emplace_back(layer_of(kind, words, shape));
      shape = layer.output;
      if (kind == "pool" || kind == "flatten") continue;
      const std::int64_t channels = layer.output.back();
      const std::int64_t rows = kind == "dense"       ? layer.input.back()
                                : kind == "depthwise" ? layer.size * layer.size
                                                      : layer.size * layer.size * layer.input.back();
      layer.kernel = read_floats(weights, "weights.f32", rows * channels);
      layer.bias = read_floats(weights, "weights.f32", channels);
    }
  }
  out.input = read_floats(input, "input.f32", count_of(out.shape));
  return out;
}

/// Times `run` once for every line that comes.
template <class Run>
void serve(const std::string& version, Run run) {
  using Clock = std::chrono::steady_clock;
  std::cout << "ready " << version << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const auto start = Clock::now();
    run();
    std::cout << std::chrono::duration<double, std::milli>(Clock::now() - start).count() << std::endl;
  }
}

/// `work(folder, output, threads)`, from the arguments of a contender.
template <class Work>
int contend(int argc, char** argv, Work work) {
  if (argc != 4) {
    std::cerr << "usage: " << argv[0] << " FOLDER OUTPUT THREADS (started by `bash bench/run --peers`)\n";
    return 2;
  }
  try {
    work(argv[1], argv[2], std::atoi(argv[3]));
    return 0;
  } catch (const Unsupported& why) {
    std::cout << "unsupported: " << why.what() << std::endl;
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 1;
  }
}

}  // namespace strata_bench
