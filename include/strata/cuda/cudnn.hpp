#pragma once

#include <cudnn.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include <strata/core/error.hpp>

// cuDNN 9's graph interface, as much of it as convolutions take. Inside strata/cuda/ only.

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// cuDNN 9.8, the oldest that is supported.
inline constexpr std::size_t oldest_cudnn = 90800;

/// Throws DeviceError with cuDNN's own words.
STRATA_COLD inline void check(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char message[512] = "";
  cudnnGetLastErrorString(message, sizeof message);
  throw DeviceError(
      concat("[cuda] cuDNN, ", what, ": ", cudnnGetErrorString(status), message[0] ? ": " : "", message));
}

/// A node of cuDNN's graphs: typed attributes, checked as a whole by `finalize`. Shared, as nodes name each
/// other.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    cudnnBackendDescriptor_t descriptor = nullptr;
    check(cudnnBackendCreateDescriptor(type, &descriptor), "a descriptor");
    owner_ = std::shared_ptr<void>(descriptor, [](void* d) { (void)cudnnBackendDestroyDescriptor(d); });
  }
  cudnnBackendDescriptor_t get() const { return owner_.get(); }

  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                  const void* values) {
    check(cudnnBackendSetAttribute(get(), name, type, count, values), "an attribute");
    return *this;
  }
  Descriptor& set(cudnnBackendAttributeName_t name, std::initializer_list<std::int64_t> values) {
    return set(name, CUDNN_TYPE_INT64, static_cast<std::int64_t>(values.size()), values.begin());
  }
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnDataType_t value) {
    return set(name, CUDNN_TYPE_DATA_TYPE, 1, &value);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, float value) {
    return set(name, CUDNN_TYPE_FLOAT, 1, &value);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, bool value) {
    return set(name, CUDNN_TYPE_BOOLEAN, 1, &value);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& other) {
    const cudnnBackendDescriptor_t value = other.get();
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnHandle_t handle) {
    return set(name, CUDNN_TYPE_HANDLE, 1, &handle);
  }

  Descriptor& finalize(const char* what) {
    check(cudnnBackendFinalize(get()), what);
    return *this;
  }
  /// False where cuDNN does not support what is described.
  bool try_finalize() { return cudnnBackendFinalize(get()) == CUDNN_STATUS_SUCCESS; }

  std::int64_t get_int(cudnnBackendAttributeName_t name) const {
    std::int64_t value = 0, count = 0;
    check(cudnnBackendGetAttribute(get(), name, CUDNN_TYPE_INT64, 1, &count, &value), "an attribute");
    return value;
  }
  /// The notes that an engine carries; empty where it has none.
  template <class Note>
  std::vector<Note> notes(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) const {
    std::vector<Note> notes(32);
    std::int64_t count = 0;
    if (cudnnBackendGetAttribute(get(), name, type, 32, &count, notes.data()) != CUDNN_STATUS_SUCCESS)
      count = 0;
    notes.resize(static_cast<std::size_t>(count));
    return notes;
  }

 private:
  std::shared_ptr<void> owner_;
};

/// A card described by a file of cuDNN's (`device_properties`): plans are made for it where it is not.
STRATA_COLD inline Descriptor device_properties(const std::string& json) {
  Descriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                 static_cast<std::int64_t>(json.size()), json.data());
  return properties.finalize("a card's properties");
}

/// Such a file for the card of `handle`.
STRATA_COLD inline std::string device_properties(cudnnHandle_t handle) {
  Descriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties.set(CUDNN_ATTR_DEVICEPROP_HANDLE, handle).finalize("the card's properties");
  const auto attribute = CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION;
  std::int64_t count = 0;
  check(cudnnBackendGetAttribute(properties.get(), attribute, CUDNN_TYPE_CHAR, 0, &count, nullptr),
        "its size");
  std::string json(static_cast<std::size_t>(count), '\0');
  check(cudnnBackendGetAttribute(properties.get(), attribute, CUDNN_TYPE_CHAR, count, &count, json.data()),
        "its text");
  return json.c_str();
}

}}}  // namespace strata::STRATA_ABI::cuda
