#include <catch2/catch.hpp>

#include <barrier>
#include <cmath>
#include <mutex>
#include <set>
#include <thread>

#include <strata/layers/layers.hpp>
#include <strata/training/fit.hpp>

#include "support/reference/reference.hpp"

using namespace strata;
using namespace strata_test;

namespace {

constexpr int threads = 8;

struct MeetingOptions {
  std::string name = {};
  template <class Fields>
  void fields(Fields&) {}
};

/// Passes its input on when every thread is here, and notes in which context each came.
class MeetingImpl final : public LayerBase<MeetingImpl, float, MeetingOptions> {
 public:
  static constexpr const char* type = "Meeting";
  explicit MeetingImpl(MeetingOptions options) : LayerBase(std::move(options)) {}
  Shape output_shape(Shapes inputs) const override { return single(inputs); }
  void forward(Inputs x, Output y, Context& context) const override {
    meeting_.arrive_and_wait();
    context.backend().affine(y.size(), 1, 0, x[0].data(), y.data());
    const std::lock_guard lock(mutex_);
    contexts_.insert(&context.backend());
  }
  void backward(Inputs, View, View, InputGradients, Context&) const override {}
  std::size_t contexts() const { return contexts_.size(); }

 private:
  mutable std::barrier<> meeting_{threads};
  mutable std::mutex mutex_;
  mutable std::set<const void*> contexts_;
};

}  // namespace

TEST_CASE("predict from several threads runs in as many contexts") {
  for (const DevicePtr& device : {default_device(), reference_device({.host_accessible = false})}) {
    INFO(device->description());
    const auto meeting = std::make_shared<MeetingImpl>(MeetingOptions{});
    Sequential model({Input({.shape = {6, 6, 2}}), Layer(meeting),
                      Conv2D({.filters = 3, .kernel_size = 3, .activation = Activation::relu}),
                      MaxPooling2D(), Flatten(), Dense({.units = 4, .activation = Activation::softmax})},
                     {.seed = 2});
    model.to(device);
    std::vector<Tensor<float>> inputs(threads), results(threads), again(threads);
    for (int t = 0; t < threads; ++t) {
      inputs[static_cast<std::size_t>(t)] = Tensor<float>({3, 6, 6, 2});
      float value = static_cast<float>(t);
      for (float& x : inputs[static_cast<std::size_t>(t)].values()) x = std::sin(value += 0.7f);
    }
    for (auto* out : {&results, &again}) {
      std::vector<std::thread> all;
      for (std::size_t t = 0; t < threads; ++t)
        all.emplace_back([&, t] { (*out)[t] = model.predict(inputs[t]); });
      for (std::thread& thread : all) thread.join();
    }
    CHECK(results == again);
    CHECK(results[0] != results[1]);
    CHECK(meeting->contexts() == threads);  // used again by the second round
  }
}
