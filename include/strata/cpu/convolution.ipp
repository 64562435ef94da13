#pragma once

#include <algorithm>
#include <cstring>
#include <optional>

#include <strata/cpu/backend.hpp>
#include <strata/cpu/few_channels.hpp>
#include <strata/cpu/few_rows.hpp>
#include <strata/cpu/implicit_product.hpp>
#include <strata/cpu/planner.hpp>
#include <strata/cpu/tasks.hpp>
#include <strata/cpu/tile_convolution.hpp>
#include <strata/cpu/winograd.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// Ways of packing a weight: part of the key under which PackedWeights keeps the result.
enum class Packing : std::uint64_t {
  forward = 1,
  backward_input,
  winograd,
  winograd_flipped,
  bfloat16,
  backward_input_bfloat16,
  tile_lines,
  backward_input_tile_lines
};
constexpr std::uint64_t packing_key(Packing packing, std::int64_t detail = 0) {
  return static_cast<std::uint64_t>(packing) | static_cast<std::uint64_t>(detail) << 8;
}

/// A packed weight: kept beside the weight, or where that changes, or is not known, in scratch memory for the
/// duration of the call. `pack(room)` gets it from room(floats).
class PackedWeight {
 public:
  template <class Pack>
  PackedWeight(Workspace& workspace, const WeightView<float>& weight, std::uint64_t key, Pack pack) {
    if (!weight.packed || weight.changes) {
      if (weight.packed) weight.packed->clear();
      pack([&](std::int64_t count) { return lease_.emplace(workspace.lease(count)).data(); });
      return;
    }
    kept_ = std::static_pointer_cast<const Buffer>(weight.packed->get(
        key, weight.version, [&](std::shared_ptr<const void>) -> std::shared_ptr<const void> {
          Buffer buffer;
          pack([&](std::int64_t count) { return (buffer = Buffer(count)).data(); });
          return std::make_shared<const Buffer>(std::move(buffer));
        }));
  }
  const float* data() const { return kept_ ? kept_->data() : lease_->data(); }

 private:
  std::shared_ptr<const Buffer> kept_;
  std::optional<Workspace::Lease> lease_;
};

inline PatchMatrix patches_of(const Conv2DGeometry& g, const float* x) {
  PatchMatrix patches{x, g.batch, g.in_h, g.in_w, g.in_c, g.out_h, g.out_w, g.stride_h, g.stride_w, {}};
  if (g.dilation_w == 1) patches.run = g.kernel_w;
  for (std::int64_t ky = 0; ky < g.kernel_h; ++ky)
    for (std::int64_t kx = 0; kx < g.kernel_w; ++kx)
      patches.taps.push_back({ky * g.dilation_h - g.pad_top, kx * g.dilation_w - g.pad_left});
  return patches;
}

STRATA_COLD STRATA_INLINE void CpuBackend::winograd(const ConvolutionPlan& plan, const Conv2DGeometry& g,
                                                    const float* x, const WeightView<float>& kernel,
                                                    bool flip, const OutputEpilogue& epilogue, float* y) {
  const Engine engine{pool_, workspace_, kernels_};
  const Packing packing = flip ? Packing::winograd_flipped : Packing::winograd;
  const PackedWeight weights(workspace_, kernel, packing_key(packing, plan.tile), [&](Room room) {
    pack_winograd(engine, plan.tile, kernel.data, g.in_c, g.out_c, flip, room);
  });
  winograd_convolution(engine, plan, g, x, weights.data(), epilogue, y);
}

/// One group as a convolution of its own.
inline Conv2DGeometry one_group(const Conv2DGeometry& g) {
  Conv2DGeometry one = g;
  one.in_c = g.group_in();
  one.out_c = g.group_out();
  one.groups = 1;
  return one;
}

/// The taps [first, first + count) of one axis that meet the image from some output: the others see padding
/// alone. At least one.
struct TapRange {
  std::int64_t first, count;
};
inline TapRange near_taps(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                          std::int64_t dilation, std::int64_t pad) {
  const std::int64_t last = std::clamp<std::int64_t>(divide_up(in + pad, dilation), 1, kernel);
  const std::int64_t first =
      std::clamp<std::int64_t>(divide_up(pad - (out - 1) * stride, dilation), 0, last - 1);
  return {first, last - first};
}

/// A convolution without the taps that see padding alone, and how its kernel lies in the whole one: what a
/// kernel far larger than the image costs is what meets the image.
struct CroppedKernel {
  Conv2DGeometry geometry;
  std::int64_t rows, columns;  ///< rows of taps, and the floats of one
  std::int64_t first, stride;  ///< of these rows, in floats

  explicit CroppedKernel(const Conv2DGeometry& g) : geometry(g) {
    const TapRange y = near_taps(g.in_h, g.out_h, g.kernel_h, g.stride_h, g.dilation_h, g.pad_top);
    const TapRange x = near_taps(g.in_w, g.out_w, g.kernel_w, g.stride_w, g.dilation_w, g.pad_left);
    geometry.kernel_h = y.count;
    geometry.kernel_w = x.count;
    geometry.pad_top -= y.first * g.dilation_h;
    geometry.pad_left -= x.first * g.dilation_w;
    const std::int64_t tap = g.group_in() * g.out_c;
    rows = y.count;
    columns = x.count * tap;
    first = (y.first * g.kernel_w + x.first) * tap;
    stride = g.kernel_w * tap;
  }
};

/// Winograd pools first: what follows must be increasing and the same for the four.
inline bool follows_pooling(const Epilogue<float>& epilogue) {
  const Activation::Kind kind = epilogue.activation.kind;
  return kind != Activation::Kind::softmax && !derivative_needs_input(kind) && !epilogue.scale &&
         !epilogue.residual;
}
/// Whether one of the planner's ways computes it as a whole.
inline bool has_plan(const Conv2DGeometry& g, const Epilogue<float>& epilogue) {
  return g.groups == 1 && (!epilogue.max_pool_2x2 || follows_pooling(epilogue));
}
/// Images that are pooled at a time, so that their result does not leave the cache for long.
inline std::int64_t images_at_a_time(const Conv2DGeometry& g) {
  constexpr std::int64_t floats = std::int64_t{4} << 20;
  const std::int64_t image = g.out_h * g.out_w * g.out_c;
  return std::clamp<std::int64_t>(floats / std::max<std::int64_t>(1, image), 1,
                                  std::max<std::int64_t>(1, g.batch));
}
/// With few rows a weight is read once or twice, which packing would only repeat.
inline bool packs(const KernelTable& kernels, const Conv2DGeometry& g) {
  return g.batch * g.out_h * g.out_w > 2 * kernels.product.max_rows || g.out_c % kernels.panel() != 0;
}

STRATA_COLD STRATA_INLINE bool CpuBackend::set_policy(Policy policy) {
  const bool narrow = policy == Policy::mixed_bfloat16;
  limits_.bfloat16 = narrow ? bfloat16_product(kernels_) : nullptr;
  chosen_plans_.clear();
  return !narrow || limits_.bfloat16;
}

STRATA_COLD STRATA_INLINE void CpuBackend::conv2d(const Conv2DGeometry& g, const float* x,
                                                  WeightView<float> kernel, const Epilogue<float>& epilogue,
                                                  float* y) {
  if (const CroppedKernel near(g); near.geometry != g) {
    const auto part = workspace_.lease(near.rows * near.columns);
    copy_block(near.rows, near.columns, kernel.data + near.first, near.stride, part.data(), near.columns);
    return conv2d(near.geometry, x, {part.data()}, epilogue, y);
  }
  ConvolutionPlan plan;
  if (epilogue.narrow_x || epilogue.narrow_y)
    plan.product = limits_.bfloat16, plan.tile_lines = true;
  else if (has_plan(g, epilogue))
    plan = chosen_plan({ConvolutionPass::forward, g, epilogue.max_pool_2x2});
  conv2d_by(plan, g, x, kernel, epilogue, y);
}

STRATA_COLD STRATA_INLINE void CpuBackend::conv2d_by(const ConvolutionPlan& plan, const Conv2DGeometry& g,
                                                     const float* x, const WeightView<float>& kernel,
                                                     const Epilogue<float>& epilogue, float* y) {
  const Activation& f = epilogue.activation;
  const bool softmax = f.kind == Activation::Kind::softmax;
  if (plan.tile != 0) {
    const bool relu = f.kind == Activation::Kind::relu, leaky = f.kind == Activation::Kind::leaky_relu;
    const float slope = relu ? 0.f : leaky ? static_cast<float>(f.negative_slope) : 1.f;
    winograd(
        plan, g, x, kernel, false,
        {epilogue.bias, slope, epilogue.max_pool_2x2, epilogue.scale, epilogue.residual, epilogue.argmax}, y);
    // The others may follow the pooling: they are increasing, or there is none.
    const std::int64_t shrink = epilogue.max_pool_2x2 ? 2 : 1;
    const std::int64_t rows = g.batch * (g.out_h / shrink) * (g.out_w / shrink);
    if (!relu && !leaky && f.kind != Activation::Kind::linear) activation(f, rows, g.out_c, y, y);
    return;
  }
  if (plan.tile_lines && !epilogue.argmax) {
    const std::int64_t panel = kernels_.panel();
    const PackedWeight panels(workspace_, kernel, packing_key(Packing::tile_lines), [&](Room room) {
      pack_tile_kernel({pool_, workspace_, kernels_}, *plan.product, g, room,
                       [&](std::int64_t tap, std::int64_t p, float* to) {
                         kernels_.pack_panels(g.in_c, std::min(panel, g.out_c - p * panel),
                                              kernel.data + tap * g.in_c * g.out_c + p * panel, g.out_c, to);
                       });
    });
    tile_convolution({pool_, workspace_, kernels_}, *plan.product, g, x, panels.data(), epilogue, y);
    if (softmax) activation(f, g.batch * g.out_h * g.out_w, g.out_c, y, y);
    return;
  }
  if (epilogue.max_pool_2x2 && !plan.few_channels) {
    const std::int64_t image = g.out_h * g.out_w * g.out_c, chunk = images_at_a_time(g);
    const auto whole = workspace_.lease(chunk * image);
    Pool2DGeometry pool = pooling_behind(g);
    Conv2DGeometry part = g;
    Epilogue<float> rest = epilogue;
    rest.max_pool_2x2 = false;
    rest.argmax = nullptr;
    for (std::int64_t first = 0; first < g.batch; first += chunk) {
      part.batch = pool.batch = std::min(chunk, g.batch - first);
      if (epilogue.residual) rest.residual = epilogue.residual + first * image;
      conv2d(part, x + first * g.in_h * g.in_w * g.in_c, kernel, rest, whole.data());
      const std::int64_t done = first * pool.out_h * pool.out_w * g.out_c;
      pool2d(pool, PoolKind::max, whole.data(), y + done, epilogue.argmax ? epilogue.argmax + done : nullptr);
    }
    return;
  }

  if (g.groups > 1) return grouped_conv2d(g, x, kernel.data, epilogue, y);
  if (plan.few_rows) {
    few_rows_product({pool_, workspace_, kernels_}, {g.batch, g.in_c, g.out_c}, x, kernel.data, y,
                     [&](std::int64_t column, std::int64_t columns) {
                       kernels_.finish(epilogue_of(epilogue, g.out_c, 0, column), g.batch, columns, g.out_c,
                                       y + column);
                     });
    if (softmax) activation(f, g.batch, g.out_c, y, y);
    return;
  }
  const PatchMatrix patches = patches_of(g, x);
  const ProductKernels& product = *plan.product;
  const std::int64_t k = patches.columns(), panel = kernels_.panel();
  RightFactor b{kernel.data, k, g.out_c, panel, g.out_c};
  std::optional<PackedWeight> packed;
  if (const bool narrow = &product != &kernels_.product; narrow || packs(kernels_, g)) {
    const std::uint64_t key = packing_key(narrow ? Packing::bfloat16 : Packing::forward);
    packed.emplace(workspace_, kernel, key, [&](Room room) {
      pack_right_factor(pool_, workspace_, kernels_, product, k, divide_up(g.out_c, panel), room,
                        [&](std::int64_t p, float* to) {
                          kernels_.pack_panels(k, std::min(panel, g.out_c - p * panel),
                                               kernel.data + p * panel, g.out_c, to);
                        });
    });
    b = {packed->data(), product.units(k), g.out_c, product.units(k) * panel, panel};
  }

  if (plan.few_channels)
    few_channel_convolution({pool_, workspace_, kernels_}, g, x, b.data, epilogue, y);
  else
    multiply(pool_, workspace_, kernels_, product, patches, b, y, epilogue_of(epilogue, g.out_c));
  if (softmax) activation(f, patches.rows(), g.out_c, y, y);
}

// In lines of tiles alone; pixels are whole units.
STRATA_COLD STRATA_INLINE bool CpuBackend::takes_narrow(const Conv2DGeometry& g,
                                                        const Epilogue<float>& epilogue) const {
  if (const CroppedKernel near(g); near.geometry != g) return takes_narrow(near.geometry, epilogue);
  return has_plan(g, epilogue) && (!epilogue.narrow_x || g.in_c % 2 == 0) &&
         (!epilogue.narrow_y ||
          (g.out_c % 2 == 0 && epilogue.activation.kind != Activation::Kind::softmax)) &&
         known_plan({ConvolutionPass::forward, g, epilogue.max_pool_2x2}).tile_lines;
}

// The decisions of `conv2d`.
STRATA_COLD STRATA_INLINE Algorithm CpuBackend::describe_conv2d(const Conv2DGeometry& g,
                                                                const Epilogue<float>& epilogue) const {
  constexpr std::int64_t bytes = sizeof(float);
  if (const CroppedKernel near(g); near.geometry != g) {
    Algorithm out = describe_conv2d(near.geometry, epilogue);
    out.workspace_bytes += out.packed_bytes + near.rows * near.columns * bytes;
    out.packed_bytes = 0;  // nothing is kept
    return out;
  }
  ConvolutionPlan plan;
  if (has_plan(g, epilogue)) plan = known_plan({ConvolutionPass::forward, g, epilogue.max_pool_2x2});
  if (plan.tile != 0)
    return {concat("winograd F(", plan.tile, "x", plan.tile, ",3x3)"), plan.weight_bytes,
            winograd_scratch({pool_, workspace_, kernels_}, plan, g) * bytes};
  if (plan.tile_lines) return {plan.to_string(), plan.weight_bytes, pool_.threads() * plan.workspace_bytes};
  if (epilogue.max_pool_2x2 && !plan.few_channels) {
    Conv2DGeometry part = g;
    const std::int64_t images = images_at_a_time(g);
    part.batch = g.batch % images;
    const std::int64_t rest = part.batch ? describe_conv2d(part, {}).workspace_bytes : 0;
    part.batch = images;
    Algorithm out = describe_conv2d(part, {});
    out.workspace_bytes = std::max(out.workspace_bytes, rest);
    out.workspace_bytes += images * g.out_h * g.out_w * g.out_c * bytes;
    return out;
  }
  if (g.groups > 1 && g.group_in() == 1)
    return {"depthwise", 0, g.group_out() > 1 ? g.batch * g.in_h * g.in_w * g.out_c * bytes : 0};
  if (g.groups > 1) {
    const Conv2DGeometry one = one_group(g);
    const Algorithm of_group = describe_conv2d(one, {});
    const std::int64_t copies = g.batch * g.in_h * g.in_w * one.in_c +
                                g.batch * g.out_h * g.out_w * one.out_c +
                                g.kernel_h * g.kernel_w * one.in_c * one.out_c;
    return {concat(of_group.name, ", ", g.groups, " groups"), 0,
            of_group.packed_bytes + of_group.workspace_bytes + copies * bytes};
  }
  if (plan.few_rows)
    return {plan.to_string(), 0,
            few_rows_scratch({pool_, workspace_, kernels_}, {g.batch, g.in_c, g.out_c}) * bytes};
  const bool packed = plan.product != &kernels_.product || packs(kernels_, g);
  return {
      plan.to_string(), packed ? plan.weight_bytes : 0,
      (plan.few_channels ? few_channel_scratch({pool_, workspace_, kernels_}, g, epilogue.max_pool_2x2)
                         : product_scratch(pool_, kernels_, *plan.product, patches_of(g, nullptr), packed)) *
          bytes};
}

STRATA_COLD STRATA_INLINE void CpuBackend::conv2d_backward_input(const Conv2DGeometry& g, const float* dy,
                                                                 WeightView<float> kernel,
                                                                 Gradient<float> dx) {
  if (const CroppedKernel near(g); near.geometry != g) {
    const auto part = workspace_.lease(near.rows * near.columns);
    copy_block(near.rows, near.columns, kernel.data + near.first, near.stride, part.data(), near.columns);
    return conv2d_backward_input(near.geometry, dy, {part.data()}, dx);
  }
  if (g.groups > 1) return grouped_backward_input(g, dy, kernel.data, dx);
  backward_input_by(chosen_plan({ConvolutionPass::input_gradient, g}), g, dy, kernel, dx);
}

STRATA_COLD STRATA_INLINE void CpuBackend::backward_input_by(const ConvolutionPlan& plan,
                                                             const Conv2DGeometry& g, const float* dy,
                                                             const WeightView<float>& kernel,
                                                             Gradient<float> dx) {
  if (plan.few_channels)
    return few_channel_input_gradient({pool_, workspace_, kernels_}, g, dy, kernel.data, dx.data,
                                      dx.accumulate);
  if (plan.tile != 0)
    return winograd(plan, transposed(g), dy, kernel, true, {.residual = dx.accumulate ? dx.data : nullptr},
                    dx.data);
  if (plan.tile_lines) {
    const Conv2DGeometry turned = transposed(g);
    const std::int64_t panel = kernels_.panel(), last_tap = g.kernel_h * g.kernel_w - 1;
    const std::uint64_t key = packing_key(Packing::backward_input_tile_lines);
    const PackedWeight panels(workspace_, kernel, key, [&](Room room) {
      pack_tile_kernel({pool_, workspace_, kernels_}, *plan.product, turned, room,
                       [&](std::int64_t tap, std::int64_t p, float* to) {
                         kernels_.pack_panels_transposed(
                             g.out_c, std::min(panel, g.in_c - p * panel),
                             kernel.data + ((last_tap - tap) * g.in_c + p * panel) * g.out_c, g.out_c, to,
                             g.out_c * panel);
                       });
    });
    return tile_convolution({pool_, workspace_, kernels_}, *plan.product, turned, dy, panels.data(),
                            {.residual = dx.accumulate ? dx.data : nullptr}, dx.data);
  }
  // Input pixels whose rows and columns agree modulo the stride meet the same taps: each such class is a
  // convolution of dy with stride 1.
  for (std::int64_t phase_y = 0; phase_y < std::min(g.stride_h, g.in_h); ++phase_y)
    for (std::int64_t phase_x = 0; phase_x < std::min(g.stride_w, g.in_w); ++phase_x) {
      PatchMatrix patches{dy,
                          g.batch,
                          g.out_h,
                          g.out_w,
                          g.out_c,
                          divide_up(g.in_h - phase_y, g.stride_h),
                          divide_up(g.in_w - phase_x, g.stride_w),
                          1,
                          1,
                          {}};
      std::vector<std::int64_t> kernel_taps;
      for (std::int64_t ky = 0; ky < g.kernel_h; ++ky)
        for (std::int64_t kx = g.kernel_w - 1; kx >= 0; --kx) {  // left to right in dy
          const std::int64_t y = phase_y + g.pad_top - ky * g.dilation_h;
          const std::int64_t x = phase_x + g.pad_left - kx * g.dilation_w;
          if (y % g.stride_h != 0 || x % g.stride_w != 0) continue;
          patches.taps.push_back({y / g.stride_h, x / g.stride_w});
          kernel_taps.push_back(ky * g.kernel_w + kx);
        }
      const auto row_of = [&](std::size_t tap) { return patches.taps[tap].y; };
      if (g.dilation_w == 1)
        while (patches.run < static_cast<std::int64_t>(patches.taps.size()) &&
               row_of(static_cast<std::size_t>(patches.run)) == row_of(0))
          ++patches.run;
      const bool apart = g.stride_h > 1 || g.stride_w > 1 || dx.accumulate;
      const auto part = workspace_.lease(apart ? patches.rows() * g.in_c : 0);
      float* out = apart ? part.data() : dx.data;
      if (patches.taps.empty()) {
        std::fill_n(out, patches.rows() * g.in_c, 0.f);
      } else {
        const std::int64_t k = patches.columns(), panel = kernels_.panel(), panels = divide_up(g.in_c, panel);
        const ProductKernels& product = *plan.product;
        const std::int64_t units = product.units(k);
        const Packing packing =
            &product == &kernels_.product ? Packing::backward_input : Packing::backward_input_bfloat16;
        const std::uint64_t key = packing_key(packing, phase_y * g.stride_w + phase_x);
        const PackedWeight packed(workspace_, kernel, key, [&](Room room) {
          pack_right_factor(
              pool_, workspace_, kernels_, product, k, panels, room, [&](std::int64_t p, float* to) {
                for (const std::int64_t tap : kernel_taps) {
                  kernels_.pack_panels_transposed(g.out_c, std::min(panel, g.in_c - p * panel),
                                                  kernel.data + (tap * g.in_c + p * panel) * g.out_c, g.out_c,
                                                  to, k * panel);
                  to += g.out_c * panel;
                }
              });
        });
        multiply(pool_, workspace_, kernels_, product, patches,
                 {packed.data(), units, g.in_c, units * panel, panel}, out);
      }
      if (!apart) continue;
      const std::int64_t run = g.stride_w == 1 ? patches.grid_w : 1;  // neighbours in both
      const std::int64_t lines = g.batch * patches.grid_h;
      pool_.for_range(lines, row_grain(patches.grid_w * g.in_c), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t line = begin; line < end; ++line) {
          const std::int64_t y = line % patches.grid_h * g.stride_h + phase_y;
          float* to = dx.data + ((line / patches.grid_h * g.in_h + y) * g.in_w + phase_x) * g.in_c;
          const float* from = out + line * patches.grid_w * g.in_c;
          for (std::int64_t x = 0; x < patches.grid_w; x += run) {
            float* const at = to + x * g.stride_w * g.in_c;
            if (dx.accumulate)
              kernels_.add(run * g.in_c, from + x * g.in_c, at);
            else
              std::copy_n(from + x * g.in_c, run * g.in_c, at);
          }
        }
      });
    }
}

STRATA_COLD STRATA_INLINE ConvolutionPlan CpuBackend::kernel_gradient_plan(const Conv2DGeometry& g,
                                                                           const float* dy) {
  return chosen_plan({ConvolutionPass::kernel_gradient, without_zero_border(g, dy)});
}

STRATA_COLD STRATA_INLINE void CpuBackend::conv2d_backward_kernel(const Conv2DGeometry& g, const float* x,
                                                                  const float* dy, Gradient<float> dkernel) {
  if (const CroppedKernel near(g); near.geometry != g) {
    const auto part = workspace_.lease(near.rows * near.columns);
    float* const to = dkernel.data + near.first;
    if (dkernel.accumulate)
      copy_block(near.rows, near.columns, to, near.stride, part.data(), near.columns);
    else
      std::fill_n(dkernel.data, g.kernel_h * near.stride, 0.f);
    conv2d_backward_kernel(near.geometry, x, dy, {part.data(), dkernel.accumulate});
    return copy_block(near.rows, near.columns, part.data(), near.columns, to, near.stride);
  }
  if (g.groups > 1) return grouped_backward_kernel(g, x, dy, dkernel);
  backward_kernel_by(kernel_gradient_plan(g, dy), g, x, dy, dkernel);
}

STRATA_COLD STRATA_INLINE void CpuBackend::backward_kernel_by(const ConvolutionPlan& plan,
                                                              const Conv2DGeometry& g, const float* x,
                                                              const float* dy, Gradient<float> dkernel) {
  if (plan.tile != 0)
    return winograd_kernel_gradient({pool_, workspace_, kernels_}, plan, g, x, dy, dkernel, {});
  if (plan.few_channels)
    return few_channel_kernel_gradient({pool_, workspace_, kernels_}, g, x, dy, dkernel, {});
  multiply_transposed(pool_, workspace_, kernels_, patches_of(g, x), dy, g.out_c, dkernel.data,
                      dkernel.accumulate);
}

STRATA_COLD STRATA_INLINE void CpuBackend::conv2d_backward_weights(const Conv2DGeometry& g, const float* x,
                                                                   const float* dy, Gradient<float> dkernel,
                                                                   Gradient<float> dbias,
                                                                   const std::uint8_t* argmax) {
  if (argmax) {
    if (dkernel.data)
      few_channel_kernel_gradient({pool_, workspace_, kernels_}, g, x, dy, dkernel, dbias, argmax);
    else if (dbias.data)
      bias_gradient(g.batch * (g.out_h / 2) * (g.out_w / 2), g.out_c, dy, dbias);
    return;
  }
  if (dkernel.data && dbias.data && g.groups == 1 && CroppedKernel(g).geometry == g) {
    const ConvolutionPlan plan = kernel_gradient_plan(g, dy);
    if (plan.few_channels)
      return few_channel_kernel_gradient({pool_, workspace_, kernels_}, g, x, dy, dkernel, dbias);
    if (plan.tile != 0 && kernels_.winograd[plan.tile].sum_point >= 0)
      return winograd_kernel_gradient({pool_, workspace_, kernels_}, plan, g, x, dy, dkernel, dbias);
    backward_kernel_by(plan, g, x, dy, dkernel);
    return bias_gradient(g.batch * g.out_h * g.out_w, g.out_c, dy, dbias);
  }
  Backend::conv2d_backward_weights(g, x, dy, dkernel, dbias);
}

STRATA_COLD STRATA_INLINE bool CpuBackend::takes_pooled_gradient(const Conv2DGeometry& g) const {
  return g.groups == 1 && CroppedKernel(g).geometry == g && few_channels_kernel(g, kernels_);
}

}}}  // namespace strata::STRATA_ABI::cpu
