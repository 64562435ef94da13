#include <cudnn.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/fake_cuda/convolution.hpp"
#include "support/fake_cuda/device.hpp"

using namespace fake_cuda;

struct cudnnContext {
  cudaStream_t stream = nullptr;
};

namespace {

using Int = std::int64_t;
using Type = cudnnBackendDescriptorType_t;
using Name = cudnnBackendAttributeName_t;

/// A descriptor's content; descriptors that are attributes of others live on in them.
struct Node {
  struct Attribute {
    cudnnBackendAttributeType_t type;
    Int count;
    std::vector<std::byte> values;
    std::vector<std::shared_ptr<const Node>> nodes;
  };

  Type type;
  bool finalized = false;
  std::map<Name, Attribute> attributes = {};

  bool has(Name name) const { return attributes.count(name) != 0; }
  template <class T>
  T value(Name name, Int i = 0) const {
    T out;
    std::memcpy(&out, attributes.at(name).values.data() + static_cast<std::size_t>(i) * sizeof out,
                sizeof out);
    return out;
  }
  const Node& node(Name name, Int i = 0) const {
    return *attributes.at(name).nodes.at(static_cast<std::size_t>(i));
  }
  Int count(Name name) const { return attributes.at(name).count; }

  template <class T>
  void put(Name name, cudnnBackendAttributeType_t as, const T* from, Int n) {
    const auto* const begin = reinterpret_cast<const std::byte*>(from);
    attributes[name] = {as, n, {begin, begin + static_cast<std::size_t>(n) * sizeof(T)}, {}};
  }
  void put(Name name, std::shared_ptr<const Node> other) {
    attributes[name] = {CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, {}, {std::move(other)}};
  }
};
using NodePtr = std::shared_ptr<const Node>;

std::shared_ptr<Node>& node_of(cudnnBackendDescriptor_t descriptor) {
  return *static_cast<std::shared_ptr<Node>*>(descriptor);
}

/// What a descriptor may have, and how many of it at most.
struct Rule {
  Type owner;
  Name name;
  cudnnBackendAttributeType_t type;
  Int least, most;
  bool required = true;
};

constexpr Int many = 1 << 20;
constexpr auto tensor_type = CUDNN_BACKEND_TENSOR_DESCRIPTOR;
constexpr auto convolution_type = CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR;
constexpr auto forward_type = CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
constexpr auto data_type = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
constexpr auto filter_type = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR;
constexpr auto function_type = CUDNN_BACKEND_POINTWISE_DESCRIPTOR;
constexpr auto pointwise_type = CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR;
constexpr auto graph_type = CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR;
constexpr auto heuristic_type = CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR;
constexpr auto configuration_type = CUDNN_BACKEND_ENGINECFG_DESCRIPTOR;
constexpr auto engine_type = CUDNN_BACKEND_ENGINE_DESCRIPTOR;
constexpr auto plan_type = CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR;
constexpr auto pack_type = CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR;
constexpr auto properties_type = CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR;
constexpr auto node_type = CUDNN_TYPE_BACKEND_DESCRIPTOR;

constexpr Rule rules[] = {
    {tensor_type, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, 1},
    {tensor_type, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, 4},
    {tensor_type, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, 4},
    {tensor_type, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, 1},
    {tensor_type, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, 1},
    {tensor_type, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, 1, false},
    {convolution_type, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, 1},
    {convolution_type, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, 1},
    {convolution_type, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, 1},
    {convolution_type, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, 2},
    {convolution_type, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, 2},
    {convolution_type, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, 2},
    {convolution_type, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, 2},
    {forward_type, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, node_type, 1, 1},
    {forward_type, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, node_type, 1, 1},
    {forward_type, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, node_type, 1, 1},
    {forward_type, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, node_type, 1, 1},
    {forward_type, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, 1},
    {forward_type, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, 1},
    {data_type, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, node_type, 1, 1},
    {data_type, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, node_type, 1, 1},
    {data_type, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, node_type, 1, 1},
    {data_type, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, node_type, 1, 1},
    {data_type, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_TYPE_FLOAT, 1, 1},
    {data_type, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, CUDNN_TYPE_FLOAT, 1, 1},
    {filter_type, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, node_type, 1, 1},
    {filter_type, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, node_type, 1, 1},
    {filter_type, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, node_type, 1, 1},
    {filter_type, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, node_type, 1, 1},
    {filter_type, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_TYPE_FLOAT, 1, 1},
    {filter_type, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, CUDNN_TYPE_FLOAT, 1, 1},
    {function_type, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, 1},
    {function_type, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, 1},
    {function_type, CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, 1, 1, false},
    {pointwise_type, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, node_type, 1, 1},
    {pointwise_type, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, node_type, 1, 1},
    {pointwise_type, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, node_type, 1, 1, false},
    {pointwise_type, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, node_type, 1, 1},
    {graph_type, CUDNN_ATTR_OPERATIONGRAPH_OPS, node_type, 1, many},
    {graph_type, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, 1, false},
    {heuristic_type, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, node_type, 1, 1},
    {heuristic_type, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, 1},
    {heuristic_type, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, node_type, 1, 1, false},
    {heuristic_type, CUDNN_ATTR_ENGINEHEUR_RESULTS, node_type, 0, many, false},
    {configuration_type, CUDNN_ATTR_ENGINECFG_ENGINE, node_type, 1, 1},
    {engine_type, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, node_type, 1, 1},
    {engine_type, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, 1},
    {engine_type, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, 0, many, false},
    {engine_type, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, 0, many, false},
    {plan_type, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, node_type, 1, 1},
    {plan_type, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, 1, false},
    {plan_type, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, node_type, 1, 1, false},
    {plan_type, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, 1, false},
    {pack_type, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 1, many},
    {pack_type, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 1, many},
    {pack_type, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, 1},
    {properties_type, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, 1, false},
    {properties_type, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 1, many, false},
};

const Rule* rule_of(Type owner, Name name) {
  for (const Rule& rule : rules)
    if (rule.owner == owner && rule.name == name) return &rule;
  return nullptr;
}

std::size_t bytes_of(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
      return 1;
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
      return 8;
    default:
      return 4;  // enumerations
  }
}

thread_local char last_message[256] = "";

cudnnStatus_t refuse(cudnnStatus_t status, const char* message) {
  std::snprintf(last_message, sizeof last_message, "%s", message);
  return status;
}

Tensor tensor_of(const Node& node) {
  Tensor out;
  for (Int i = 0; i < 4; ++i) {
    out.size[static_cast<std::size_t>(i)] = node.value<Int>(CUDNN_ATTR_TENSOR_DIMENSIONS, i);
    out.stride[static_cast<std::size_t>(i)] = node.value<Int>(CUDNN_ATTR_TENSOR_STRIDES, i);
  }
  out.id = node.value<Int>(CUDNN_ATTR_TENSOR_UNIQUE_ID);
  out.alignment = node.value<Int>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
  out.is_virtual = node.has(CUDNN_ATTR_TENSOR_IS_VIRTUAL) && node.value<bool>(CUDNN_ATTR_TENSOR_IS_VIRTUAL);
  return out;
}

/// Of a convolution's operation: its attributes are numbered alike for all three.
Convolution convolution_of(Pass pass, const Node& node, Name function, Name x, Name w, Name y, Name alpha,
                           Name beta) {
  Convolution out;
  out.pass = pass;
  const Node& f = node.node(function);
  for (Int i = 0; i < 2; ++i) {
    const auto axis = static_cast<std::size_t>(i);
    out.pad[axis] = f.value<Int>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, i);
    out.stride[axis] = f.value<Int>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, i);
    out.dilation[axis] = f.value<Int>(CUDNN_ATTR_CONVOLUTION_DILATIONS, i);
  }
  out.x = tensor_of(node.node(x)), out.w = tensor_of(node.node(w)), out.y = tensor_of(node.node(y));
  out.alpha = node.value<float>(alpha), out.beta = node.value<float>(beta);
  return out;
}

std::optional<Convolution> convolution_of(const Node& node) {
  switch (node.type) {
    case forward_type:
      return convolution_of(
          Pass::forward, node, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA);
    case data_type:
      return convolution_of(
          Pass::backward_data, node, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA);
    case filter_type:
      return convolution_of(
          Pass::backward_filter, node, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA);
    default:
      return std::nullopt;
  }
}

/// A graph's one convolution with what follows it; nothing where the graph is more than that.
std::optional<Convolution> program_of(const Node& graph) {
  std::optional<Convolution> out = convolution_of(graph.node(CUDNN_ATTR_OPERATIONGRAPH_OPS));
  if (!out) return std::nullopt;
  for (Int i = 1; i < graph.count(CUDNN_ATTR_OPERATIONGRAPH_OPS); ++i) {
    const Node& next = graph.node(CUDNN_ATTR_OPERATIONGRAPH_OPS, i);
    if (next.type != pointwise_type || out->pass != Pass::forward || !out->y.is_virtual) return std::nullopt;
    const Node& function = next.node(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    const auto mode = function.value<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
    const Tensor x = tensor_of(next.node(CUDNN_ATTR_OPERATION_POINTWISE_XDESC));
    const Tensor y = tensor_of(next.node(CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
    if (x.id != out->y.id || x.size != y.size || out->has_relu) return std::nullopt;
    if (mode == CUDNN_POINTWISE_ADD && next.has(CUDNN_ATTR_OPERATION_POINTWISE_BDESC) && !out->has_bias) {
      out->bias = tensor_of(next.node(CUDNN_ATTR_OPERATION_POINTWISE_BDESC));
      out->has_bias = true;
      if (out->bias.size != std::array<Int, 4>{1, y.c(), 1, 1}) return std::nullopt;
    } else if (mode == CUDNN_POINTWISE_RELU_FWD) {
      out->has_relu = true;
    } else {
      return std::nullopt;
    }
    out->y = y;
  }
  if (out->x.is_virtual || out->w.is_virtual || out->y.is_virtual || out->bias.is_virtual)
    return std::nullopt;
  return out;
}

const Node& graph_of(const Node& plan) {
  return plan.node(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)
      .node(CUDNN_ATTR_ENGINECFG_ENGINE)
      .node(CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
}

/// The one engine there is, set up for a graph.
NodePtr configuration_of(NodePtr graph) {
  const auto engine = std::make_shared<Node>(Node{engine_type, true});
  const Int index = 1;
  engine->put(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, std::move(graph));
  engine->put(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, &index, 1);
  const auto out = std::make_shared<Node>(Node{configuration_type, true});
  out->put(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  return out;
}

constexpr Int workspace_bytes = 1000;  // not needed, but overwritten

/// What finalizing adds to a node, or has against it.
cudnnStatus_t complete(Node& node) {
  if (node.type == tensor_type) {
    if (node.value<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE) != CUDNN_DATA_FLOAT)
      return refuse(CUDNN_STATUS_NOT_SUPPORTED, "tensors of float only");
    for (const Int size : tensor_of(node).size)
      if (size < 1) return refuse(CUDNN_STATUS_BAD_PARAM, "a tensor without elements");
  } else if (node.type == convolution_type) {
    if (node.attributes[CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS].values !=
        node.attributes[CUDNN_ATTR_CONVOLUTION_POST_PADDINGS].values)
      return refuse(CUDNN_STATUS_NOT_SUPPORTED, "padding that differs between the sides");
    if (node.value<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION)
      return refuse(CUDNN_STATUS_NOT_SUPPORTED, "cross-correlations only");
  } else if (const auto convolution = convolution_of(node)) {
    if (!convolution->consistent())
      return refuse(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, "tensors that do not fit");
  } else if (node.type == graph_type) {
    if (!program_of(node))
      return refuse(CUDNN_STATUS_NOT_SUPPORTED, "a graph beyond convolution, bias and relu");
  } else if (node.type == heuristic_type) {
    const auto graph = node.attributes[CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH].nodes[0];
    auto& results = node.attributes[CUDNN_ATTR_ENGINEHEUR_RESULTS] = {node_type, 0, {}, {}};
    if (engines_offered()) results.nodes = {configuration_of(graph)}, results.count = 1;
  } else if (node.type == plan_type) {
    node.put(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, &workspace_bytes, 1);
  } else if (node.type == pack_type) {
    if (node.count(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS) != node.count(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS))
      return refuse(CUDNN_STATUS_BAD_PARAM, "not a pointer for each tensor");
  } else if (node.type == properties_type && !node.has(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION)) {
    const char text[] = "{\"name\": \"Emulated card\"}";
    node.put(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, text, sizeof text);
  }
  return CUDNN_STATUS_SUCCESS;
}

/// The memory that a variant pack gives a tensor.
float* memory_of(const Node& pack, const Tensor& tensor) {
  for (Int i = 0; i < pack.count(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS); ++i)
    if (pack.value<Int>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, i) == tensor.id)
      return pack.value<float*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, i);
  return nullptr;
}

}  // namespace

std::size_t cudnnGetVersion() {
  return CUDNN_VERSION;
}
const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUCCESS:
      return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_BAD_PARAM:
      return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED:
      return "CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED";
    case CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER:
      return "CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER";
    case CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE:
      return "CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE";
    case CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH:
      return "CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH";
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    default:
      return "CUDNN_STATUS_INTERNAL_ERROR";
  }
}
void cudnnGetLastErrorString(char* message, std::size_t bytes) {
  if (bytes) std::snprintf(message, bytes, "%s", last_message);
}
cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  return entry<cudnnStatus_t>(__func__, [&] { return *handle = new cudnnContext, CUDNN_STATUS_SUCCESS; });
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  return entry<cudnnStatus_t>(__func__, [&] { return delete handle, CUDNN_STATUS_SUCCESS; });
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  return entry<cudnnStatus_t>(__func__, [&] {
    if (!valid_stream(stream)) return refuse(CUDNN_STATUS_BAD_PARAM, "not a stream of this device");
    return handle->stream = stream, CUDNN_STATUS_SUCCESS;
  });
}

cudnnStatus_t cudnnBackendCreateDescriptor(Type type, cudnnBackendDescriptor_t* descriptor) {
  return entry<cudnnStatus_t>(__func__, [&] {
    *descriptor = new std::shared_ptr<Node>(std::make_shared<Node>(Node{type}));
    return CUDNN_STATUS_SUCCESS;
  });
}
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  return entry<cudnnStatus_t>(__func__, [&] { return delete &node_of(descriptor), CUDNN_STATUS_SUCCESS; });
}
cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, Name name,
                                       cudnnBackendAttributeType_t type, Int count, const void* values) {
  return entry<cudnnStatus_t>(__func__, [&] {
    Node& node = *node_of(descriptor);
    const Rule* const rule = rule_of(node.type, name);
    if (!rule) return refuse(CUDNN_STATUS_BAD_PARAM, "an attribute of another descriptor");
    if (rule->type != type)
      return refuse(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "an attribute of another type");
    if (count < rule->least || count > rule->most || !values || node.finalized)
      return refuse(CUDNN_STATUS_BAD_PARAM, "too few or many values, or the descriptor is finalized");
    if (type != node_type) {
      node.put(name, type, static_cast<const std::byte*>(values), count * static_cast<Int>(bytes_of(type)));
      node.attributes[name].count = count;
      return CUDNN_STATUS_SUCCESS;
    }
    Node::Attribute attribute{type, count, {}, {}};
    for (Int i = 0; i < count; ++i) {
      const auto& other = node_of(static_cast<const cudnnBackendDescriptor_t*>(values)[i]);
      if (!other->finalized)
        return refuse(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "an attribute is not finalized");
      attribute.nodes.push_back(other);
    }
    node.attributes[name] = std::move(attribute);
    return CUDNN_STATUS_SUCCESS;
  });
}
cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor, Name name,
                                       cudnnBackendAttributeType_t type, Int requested, Int* count,
                                       void* values) {
  return entry<cudnnStatus_t>(__func__, [&] {
    const Node& node = *node_of(descriptor);
    const Rule* const rule = rule_of(node.type, name);
    if (!rule) return refuse(CUDNN_STATUS_BAD_PARAM, "an attribute of another descriptor");
    if (rule->type != type)
      return refuse(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "an attribute of another type");
    if (!node.finalized)
      return refuse(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "the descriptor is not finalized");
    const auto found = node.attributes.find(name);
    *count = found == node.attributes.end() ? 0 : found->second.count;
    if (*count == 0 || requested == 0) return CUDNN_STATUS_SUCCESS;
    const Int given = std::min(requested, *count);
    if (type != node_type) {
      std::memcpy(values, found->second.values.data(), static_cast<std::size_t>(given) * bytes_of(type));
      return CUDNN_STATUS_SUCCESS;
    }
    for (Int i = 0; i < given; ++i) {  // into descriptors of the caller's
      std::shared_ptr<Node>& to = node_of(static_cast<const cudnnBackendDescriptor_t*>(values)[i]);
      const Node& from = node.node(name, i);
      if (to->type != from.type) return refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor of another type");
      *to = from;
    }
    return CUDNN_STATUS_SUCCESS;
  });
}
cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  return entry<cudnnStatus_t>(__func__, [&] {
    Node& node = *node_of(descriptor);
    for (const Rule& rule : rules)
      if (rule.owner == node.type && rule.required && !node.has(rule.name))
        return refuse(CUDNN_STATUS_BAD_PARAM, "an attribute is missing");
    const cudnnStatus_t status = complete(node);
    node.finalized = status == CUDNN_STATUS_SUCCESS;
    return status;
  });
}
cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan_descriptor,
                                  cudnnBackendDescriptor_t pack_descriptor) {
  return entry<cudnnStatus_t>(__func__, [&] {
    const Node &plan = *node_of(plan_descriptor), &pack = *node_of(pack_descriptor);
    if (!plan.finalized || !pack.finalized || plan.type != plan_type || pack.type != pack_type)
      return refuse(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "not a plan and its arguments");
    if (!valid_stream(handle->stream)) return refuse(CUDNN_STATUS_BAD_PARAM, "not a stream of this device");
    const Convolution convolution = *program_of(graph_of(plan));
    std::vector<std::pair<Tensor, float*>> tensors;
    for (const Tensor& tensor : {convolution.x, convolution.w, convolution.y, convolution.bias}) {
      float* const memory = tensor.id ? memory_of(pack, tensor) : nullptr;
      if (tensor.id && !memory) return refuse(CUDNN_STATUS_BAD_PARAM, "a tensor has no memory");
      if (reinterpret_cast<std::uintptr_t>(memory) % static_cast<std::uintptr_t>(tensor.alignment))
        return refuse(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER,
                      "a tensor's memory is not aligned as it says");
      tensors.emplace_back(tensor, memory);
    }
    void* const workspace = pack.value<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    enqueue(handle->stream, [convolution, tensors, workspace] {
      require_device(workspace, workspace_bytes, "a convolution's workspace");
      std::memset(workspace, 0xC7, workspace_bytes);
      for (const auto& [tensor, memory] : tensors)
        if (memory)
          require_device(memory, static_cast<std::size_t>(tensor.extent()) * sizeof(float),
                         "a convolution's tensor");
      convolution.run(tensors[0].second, tensors[1].second, tensors[3].second, tensors[2].second);
    });
    ++counts().convolutions;
    return CUDNN_STATUS_SUCCESS;
  });
}
