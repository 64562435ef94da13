#pragma once

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "../../examples/common/run_directory.hpp"
#include "../../examples/common/sample_pictures.hpp"

/// Calls an example's body with a command line.
template <class Body>
void call(Body body, std::vector<std::string> words) {
  std::vector<char*> arguments{nullptr};
  for (std::string& word : words) arguments.push_back(word.data());
  body(static_cast<int>(arguments.size()), arguments.data());
  std::fflush(stdout);
}

inline bool exists(const std::string& path) {
  return std::ifstream(path).is_open();
}

/// Draws a few pictures; the command line that trains on them for two epochs.
inline std::vector<std::string> tiny_run(const std::string& directory, const std::string& run,
                                         std::vector<std::string> more = {}) {
  const std::string data = directory + "/pictures";
  if (!exists(data + "/train/kites/000.jpg"))
    sample_pictures::write(data, {.train = 4, .validation = 2, .test = 2});
  std::vector<std::string> words{"--data",   data, "--run-dir",    directory + "/" + run,
                                 "--epochs", "2",  "--batch-size", "4"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}
