#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <strata/core/profile.hpp>
#include <strata/layers/layer.hpp>

namespace strata { inline namespace STRATA_ABI {

/// What layers have in common that change pictures [batch,h,w,c] at random: in training each picture by
/// parameters of its own, a function of the model's seed, the layer's path (or of the layer's seed alone),
/// the step and the picture's place in the batch; else pictures pass through. `Derived` has `is_identity()`,
/// where its ranges hold nothing else, and `Parameters parameters(draw, height, width)`, a plain struct:
/// draw(k, range) is draw k (0 or 1) of the picture.
template <class Derived, class T, class Options, class Parameters>
class RandomLayer : public LayerBase<Derived, T, Options> {
 public:
  Shape output_shape(Shapes inputs) const override {
    ops::detail::require_images(this->who(), this->single(inputs));
    return inputs[0];
  }
  bool passes_through(bool training) const override { return !training || derived().is_identity(); }
  bool repeats(bool training) const override { return passes_through(training); }
  LayerCost cost(Shapes x, const BasicContext<T>& context) const override {
    return {.scratch = passes_through(context.training()) ? 0 : x[0][0] * elements};
  }

 protected:
  using LayerBase<Derived, T, Options>::LayerBase;
  const Derived& derived() const { return static_cast<const Derived&>(*this); }

  void require_within(const char* option, const Range& range, double least, double greatest) const {
    require<ConfigError>(range.lower >= least && range.upper <= greatest, this->who(), "expected a ", option,
                         " in [", least, ", ", greatest, "], found [", range.lower, ", ", range.upper, "]");
  }

  /// y = x where the layer does nothing, else compute(geometry, parameters of the batch in device memory).
  template <class Compute>
  void run(TensorView<const T> x, TensorView<T> y, BasicContext<T>& context, Compute compute) const {
    Backend<T>& backend = context.backend();
    if (x.size() == 0) return;
    if (passes_through(context.training())) return backend.affine(x.size(), 1, 0, x.data(), y.data());
    const PhaseTimer timer(Phase::augment, backend);
    const PixelGeometry g{x.shape()[0], x.shape()[1], x.shape()[2], x.shape()[3]};
    const auto& seed = this->options().seed;
    const RandomStream random = seed ? context.random(static_cast<std::uint64_t>(*seed)) : context.random();
    std::uint64_t first = 0;
    const auto draw = [&](int k, const Range& range) {
      const double part = random.uniform_double(first + static_cast<std::uint64_t>(k));
      return range.lower + part * (range.upper - range.lower);
    };
    std::vector<Parameters> drawn;
    for (std::int64_t n = 0; n < g.batch; ++n, first += 2)
      drawn.push_back(derived().parameters(draw, g.height, g.width));
    const auto memory = context.scratch({g.batch * elements});
    backend.upload(memory.data(), drawn.data(), drawn.size() * sizeof(Parameters));
    compute(g, reinterpret_cast<const Parameters*>(memory.data()));
  }

 private:
  static_assert(sizeof(Parameters) % sizeof(T) == 0);
  static constexpr std::int64_t elements = sizeof(Parameters) / sizeof(T);  // of one picture's
};

}}  // namespace strata::STRATA_ABI
