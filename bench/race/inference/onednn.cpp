// oneDNN: a primitive per layer, its activation fused, weights in the layout that it asks for, tensors in
// nhwc throughout.
#include <array>
#include <unordered_map>

#include <oneapi/dnnl/dnnl.hpp>

#include "../case.hpp"

namespace {

using namespace strata_bench;
using dnnl::memory;
using Tag = memory::format_tag;
using Type = memory::data_type;

class Network {
 public:
  explicit Network(const Case& race) : type_(race.precision == "bfloat16" ? Type::bf16 : Type::f32) {
    input_ = memory(desc(race.shape, Type::f32), engine_);
    std::copy(race.input.begin(), race.input.end(), floats(input_));
    std::int64_t largest = count_of(race.shape);
    for (const CaseLayer& layer : race.layers) largest = std::max(largest, count_of(layer.output));
    for (memory& buffer : buffers_) buffer = memory({{largest}, type_, Tag::a}, engine_);
    memory x = input_;
    if (type_ != Type::f32) {
      x = next(race.shape);
      add_reorder(input_, x);
    }
    for (const CaseLayer& layer : race.layers) {
      if (layer.kind == "flatten")  // nhwc lies as it is
        x = memory(desc(layer.output, type_), engine_, x.get_data_handle());
      else if (layer.kind == "pool")
        x = add_pool(layer, x);
      else
        x = layer.kind == "dense" ? add_dense(layer, x) : add_convolution(layer, x);
    }
    output_ = x;
    if (type_ != Type::f32) {
      output_ = memory(desc(race.layers.back().output, Type::f32), engine_);
      add_reorder(x, output_);
    }
  }

  void run() {
    for (auto& [primitive, arguments] : steps_) primitive.execute(stream_, arguments);
    stream_.wait();
  }

  std::span<const float> output() { return {floats(output_), output_.get_desc().get_size() / sizeof(float)}; }

 private:
  using Arguments = std::unordered_map<int, memory>;

  static float* floats(const memory& m) { return static_cast<float*>(m.get_data_handle()); }

  /// Of [n,h,w,c] or [n,features] as they lie in memory; oneDNN names extents in the order n, c, h, w.
  static memory::desc desc(const Extents& e, Type type) {
    return e.size() == 4 ? memory::desc({e[0], e[3], e[1], e[2]}, type, Tag::nhwc)
                         : memory::desc(e, type, Tag::ab);
  }

  /// One of two buffers in turn.
  memory next(const Extents& extents) {
    std::swap(buffers_[0], buffers_[1]);
    return {desc(extents, type_), engine_, buffers_[0].get_data_handle()};
  }

  void add_reorder(memory from, memory to) {
    steps_.emplace_back(dnnl::reorder(from, to), Arguments{{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
  }

  static dnnl::primitive_attr fused(const std::string& activation) {
    dnnl::primitive_attr out;
    if (activation == "linear") return out;
    if (activation != "relu" && activation != "leaky_relu")
      throw Unsupported("the program does not fuse " + activation);
    dnnl::post_ops after;
    after.append_eltwise(dnnl::algorithm::eltwise_relu, activation == "relu" ? 0.f : 0.1f, 0.f);
    out.set_post_ops(after);
    return out;
  }

  /// A layer of weights: `kernel` says how the case's lie.
  template <class Primitive>
  memory add(const typename Primitive::primitive_desc& chosen, const CaseLayer& layer,
             const memory::desc& kernel, memory x) {
    memory given(kernel, engine_), weights(chosen.weights_desc(), engine_), bias(chosen.bias_desc(), engine_),
        y = next(layer.output);
    std::copy(layer.kernel.begin(), layer.kernel.end(), floats(given));
    std::copy(layer.bias.begin(), layer.bias.end(), floats(bias));
    dnnl::reorder(given, weights).execute(stream_, given, weights);
    stream_.wait();
    steps_.emplace_back(
        Primitive(chosen),
        Arguments{{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_BIAS, bias}, {DNNL_ARG_DST, y}});
    return y;
  }

  memory add_convolution(const CaseLayer& layer, memory x) {
    const std::int64_t size = layer.size, in = layer.input[3], out = layer.output[3];
    const bool depthwise = layer.kind == "depthwise";
    const memory::dims extents =
        depthwise ? memory::dims{in, 1, 1, size, size} : memory::dims{out, in, size, size};
    const dnnl::convolution_forward::primitive_desc chosen(
        engine_, dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_auto, x.get_desc(),
        {extents, type_, Tag::any}, {{out}, Type::f32, Tag::a}, desc(layer.output, type_),
        {layer.stride, layer.stride}, {layer.padding_before(1), layer.padding_before(2)},
        {layer.padding_after(1), layer.padding_after(2)}, fused(layer.activation));
    return add<dnnl::convolution_forward>(chosen, layer,
                                          {extents, Type::f32, depthwise ? Tag::hwigo : Tag::hwio}, x);
  }

  memory add_dense(const CaseLayer& layer, memory x) {
    const memory::dims extents{layer.output[1], layer.input[1]};
    const dnnl::inner_product_forward::primitive_desc chosen(
        engine_, dnnl::prop_kind::forward_inference, x.get_desc(), {extents, type_, Tag::any},
        {{extents[0]}, Type::f32, Tag::a}, desc(layer.output, type_), fused(layer.activation));
    return add<dnnl::inner_product_forward>(chosen, layer, {extents, Type::f32, Tag::ba}, x);
  }

  memory add_pool(const CaseLayer& layer, memory x) {
    memory y = next(layer.output);
    const dnnl::pooling_forward::primitive_desc chosen(
        engine_, dnnl::prop_kind::forward_inference, dnnl::algorithm::pooling_max, x.get_desc(), y.get_desc(),
        {layer.stride, layer.stride}, {layer.size, layer.size}, {0, 0},
        {layer.padding_before(1), layer.padding_before(2)}, {layer.padding_after(1), layer.padding_after(2)});
    steps_.emplace_back(dnnl::pooling_forward(chosen), Arguments{{DNNL_ARG_SRC, x}, {DNNL_ARG_DST, y}});
    return y;
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  Type type_;
  std::array<memory, 2> buffers_;
  memory input_, output_;
  std::vector<std::pair<dnnl::primitive, Arguments>> steps_;
};

}  // namespace

int main(int argc, char** argv) {
  return contend(argc, argv, [](const std::string& folder, const std::string& output, int) {
    Network network(load_case(folder));
    network.run();
    write_floats(output, network.output());
    const dnnl_version_t& version = *dnnl::version();
    serve(std::to_string(version.major) + '.' + std::to_string(version.minor) + '.' +
              std::to_string(version.patch),
          [&] { network.run(); });
  });
}
