#pragma once

#include <strata/cuda/convolution_plan.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

namespace detail {

enum TensorId : std::int64_t { x_id = 1, kernel_id, bias_id, y_id, product_id, sum_id };

/// A tensor of n x c x h x w floats whose channels lie side by side.
STRATA_COLD inline Descriptor tensor(std::int64_t id, std::int64_t n, std::int64_t c, std::int64_t h,
                                     std::int64_t w) {
  Descriptor out(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  out.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, {n, c, h, w})
      .set(CUDNN_ATTR_TENSOR_STRIDES, {h * w * c, 1, w * c, c})
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, {id})
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, {16});
  if (id >= product_id) out.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true);
  return out.finalize("a tensor");
}

STRATA_COLD inline Descriptor convolution(const Conv2DGeometry& g) {
  Descriptor out(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  out.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, {2})
      .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode)
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {g.pad_top, g.pad_left})
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {g.pad_top, g.pad_left})
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {g.stride_h, g.stride_w})
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, {g.dilation_h, g.dilation_w});
  return out.finalize("a convolution");
}

STRATA_COLD inline Descriptor pointwise(cudnnPointwiseMode_t mode, const Descriptor& x, const Descriptor* b,
                                        const Descriptor& y) {
  Descriptor function(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  function.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode)
      .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
  if (mode == CUDNN_POINTWISE_RELU_FWD) {
    const cudnnNanPropagation_t propagate = CUDNN_PROPAGATE_NAN;
    function.set(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, 1, &propagate);
  }
  function.finalize("a function");
  Descriptor out(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  out.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
  if (b) out.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
  return out.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y).finalize("an operation");
}

/// The operations of a problem, in order.
STRATA_COLD inline std::vector<Descriptor> operations(const ConvolutionProblem& problem) {
  const Conv2DGeometry& g = problem.geometry;
  const bool bias =
      problem.pass == ConvolutionPass::forward_bias || problem.pass == ConvolutionPass::forward_bias_relu;
  const bool relu = problem.pass == ConvolutionPass::forward_bias_relu;
  const Descriptor x = tensor(x_id, g.batch, g.in_c, g.in_h, g.in_w);
  const Descriptor kernel = tensor(kernel_id, g.out_c, g.group_in(), g.kernel_h, g.kernel_w);
  const auto output = [&](std::int64_t id) { return tensor(id, g.batch, g.out_c, g.out_h, g.out_w); };
  const Descriptor y = output(y_id), function = convolution(g);

  if (problem.pass == ConvolutionPass::backward_input) {
    Descriptor op(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, function)
        .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, x)
        .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, kernel)
        .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, y)
        .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 1.0f)
        .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, 0.0f);
    return {op.finalize("a convolution's gradient by its input")};
  }
  if (problem.pass == ConvolutionPass::backward_kernel) {
    Descriptor op(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, function)
        .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, kernel)
        .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, x)
        .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, y)
        .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, 1.0f)
        .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, 0.0f);
    return {op.finalize("a convolution's gradient by its kernel")};
  }
  const Descriptor product = bias ? output(product_id) : y, sum = relu ? output(sum_id) : y;
  Descriptor op(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, function)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, kernel)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, product)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 1.0f)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 0.0f);
  std::vector<Descriptor> out{op.finalize("a convolution")};
  if (bias) {
    const Descriptor b = tensor(bias_id, 1, g.out_c, 1, 1);
    out.push_back(pointwise(CUDNN_POINTWISE_ADD, product, &b, sum));
  }
  if (relu) out.push_back(pointwise(CUDNN_POINTWISE_RELU_FWD, sum, nullptr, y));
  return out;
}

/// The engine that a configuration sets up.
STRATA_COLD inline std::optional<Descriptor> engine_of(const Descriptor& configuration) {
  const Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t handle = engine.get();
  std::int64_t count = 0;
  if (cudnnBackendGetAttribute(configuration.get(), CUDNN_ATTR_ENGINECFG_ENGINE,
                               CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &handle) != CUDNN_STATUS_SUCCESS)
    return std::nullopt;
  return engine;
}

/// Whether an engine keeps to what ConvolutionPlan promises.
STRATA_COLD inline bool acceptable(const Descriptor& engine, bool tf32) {
  for (const auto note : engine.notes<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                                   CUDNN_TYPE_NUMERICAL_NOTE)) {
    if (note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) return false;
    if (!tf32 &&
        (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS))
      return false;
  }
  for (const auto note :
       engine.notes<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE))
    if (note == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) return false;
  return true;
}

/// cuDNN's engines for a graph, best first by its own judgement.
STRATA_COLD inline std::vector<Descriptor> configurations(const Descriptor& graph,
                                                          cudnnBackendHeurMode_t mode,
                                                          const Descriptor* properties) {
  Descriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  if (properties) heuristic.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *properties);
  if (!heuristic.try_finalize()) return {};
  std::int64_t count = 0;
  const auto results = [&](void* to) {
    return cudnnBackendGetAttribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                    CUDNN_TYPE_BACKEND_DESCRIPTOR, to ? count : 0, &count, to);
  };
  if (results(nullptr) != CUDNN_STATUS_SUCCESS || count == 0) return {};
  std::vector<Descriptor> out;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (std::int64_t i = 0; i < count; ++i) {
    out.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    handles.push_back(out.back().get());
  }
  check(results(handles.data()), "its choice of engines");
  out.erase(out.begin() + count, out.end());
  return out;
}

}  // namespace detail

STRATA_COLD STRATA_INLINE std::optional<ConvolutionPlan> ConvolutionPlan::find(
    const ConvolutionProblem& problem, PlanTarget target) {
  std::vector<Descriptor> parts = detail::operations(problem);
  std::vector<cudnnBackendDescriptor_t> handles;
  for (const Descriptor& operation : parts) handles.push_back(operation.get());
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
            static_cast<std::int64_t>(handles.size()), handles.data());
  if (target.handle) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, target.handle);
  if (!graph.try_finalize()) return std::nullopt;
  parts.push_back(graph);

  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
    for (const Descriptor& configuration : detail::configurations(graph, mode, target.properties)) {
      const std::optional<Descriptor> engine = detail::engine_of(configuration);
      if (!engine || !detail::acceptable(*engine, problem.tf32)) continue;
      Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
      if (target.handle)
        plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, target.handle);
      else
        plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.properties);
      if (!plan.try_finalize()) continue;
      const std::int64_t workspace = plan.get_int(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
      if (workspace > problem.workspace_bytes) continue;
      parts.push_back(configuration);
      const bool bias =
          problem.pass == ConvolutionPass::forward_bias || problem.pass == ConvolutionPass::forward_bias_relu;
      ConvolutionPlan found(plan, bias, std::move(parts));
      found.workspace_bytes_ = workspace;
      found.name_ = concat("engine ", engine->get_int(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
      return found;
    }
  return std::nullopt;
}

STRATA_INLINE void ConvolutionPlan::execute(cudnnHandle_t handle, const float* x, const float* kernel,
                                            const float* bias, const float* y, void* workspace) const {
  const std::int64_t ids[] = {detail::x_id, detail::kernel_id, detail::y_id, detail::bias_id};
  const void* const pointers[] = {x, kernel, y, bias};
  const std::int64_t count = bias_ ? 4 : 3;
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids)
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointers)
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace)
      .finalize("its arguments");
  check(cudnnBackendExecute(handle, plan_.get(), pack.get()), "a convolution");
}

}}}  // namespace strata::STRATA_ABI::cuda
