// What Strata's contenders share: the case that race.py wrote to a folder, and the conversation with race.py.
#pragma once

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>

#include <strata/strata.hpp>

#include "../ops/measure.hpp"

namespace strata_bench {

struct Case {
  strata::Sequential model;
  strata::Tensor<float> input;
};

inline std::vector<float> read_floats(const std::string& path) {
  const std::string bytes = strata::read_file(path, std::uint64_t{1} << 32);
  std::vector<float> out(bytes.size() / sizeof(float));
  std::memcpy(out.data(), bytes.data(), out.size() * sizeof(float));
  return out;
}

inline void write_floats(const std::string& path, std::span<const float> values) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
  strata::require<strata::DataError>(file.good(), "could not write ", path);
}

/// case.txt, weights.f32 and input.f32 in `folder`; race.py explains the lines of case.txt.
inline Case load_case(const std::string& folder, int threads) {
  using namespace strata;
  std::istringstream lines(read_file(folder + "/case.txt"));
  Case out;
  Shape input;
  cpu::DeviceOptions device{.threads = threads};
  std::size_t frozen = 0;
  std::vector<Layer> layers;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string kind, padding, function;
    std::int64_t filters = 0, size = 0, stride = 0;
    words >> kind;
    const auto activation_of = [](const std::string& name) {
      return name == "leaky_relu" ? Activation::leaky_relu(0.1) : activation(name);
    };
    const auto padding_of = [](const std::string& name) {
      return name == "same" ? Padding::same : Padding::valid;
    };
    if (kind == "precision") {
      words >> function;
      if (function == "bfloat16") device.policy = Policy::mixed_bfloat16;
    } else if (kind == "input") {
      std::vector<std::int64_t> extents;
      for (std::int64_t extent; words >> extent;) extents.push_back(extent);
      input = Shape(extents.begin(), extents.end());
      layers.push_back(Input({.shape = input.without_batch()}));
    } else if (kind == "conv") {
      words >> filters >> size >> stride >> padding >> function;
      layers.push_back(Conv2D({.filters = filters,
                               .kernel_size = size,
                               .strides = stride,
                               .padding = padding_of(padding),
                               .activation = activation_of(function)}));
    } else if (kind == "depthwise") {
      words >> size >> stride >> padding >> function;
      layers.push_back(DepthwiseConv2D({.kernel_size = size,
                                        .strides = stride,
                                        .padding = padding_of(padding),
                                        .activation = activation_of(function)}));
    } else if (kind == "pool") {
      words >> padding;
      layers.push_back(MaxPooling2D({.padding = padding_of(padding)}));
    } else if (kind == "flatten") {
      layers.push_back(Flatten());
    } else if (kind == "dense") {
      words >> filters >> function;
      layers.push_back(Dense({.units = filters, .activation = activation_of(function)}));
    } else if (kind == "freeze") {
      frozen = layers.size();
    } else {
      throw ConfigError("[race] case.txt has an unknown line: " + line);
    }
  }
  out.model = Sequential(layers);
  for (std::size_t i = 0; i < frozen; ++i) layers[i].set_trainable(false);
  const std::vector<float> values = read_floats(folder + "/weights.f32");
  std::size_t next = 0;
  std::vector<Tensor<float>> weights;
  for (const auto& weight : out.model.weights()) {
    const auto count = static_cast<std::size_t>(weight->shape().size());
    require<DataError>(next + count <= values.size(), "[race] weights.f32 is too short");
    weights.emplace_back(weight->shape(), std::span(values).subspan(next, count));
    next += count;
  }
  out.model.set_weights(weights);
  out.model.to(cpu::device(device));
  out.input = Tensor<float>(input, std::span<const float>(read_floats(folder + "/input.f32")));
  return out;
}

/// Times `run` once for every line that comes.
template <class Run>
void serve(Run run) {
  using Clock = std::chrono::steady_clock;
  std::cout << "ready " STRATA_VERSION << std::endl;
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
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 1;
  }
}

}  // namespace strata_bench
