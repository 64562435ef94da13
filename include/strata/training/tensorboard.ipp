#pragma once

#include <unistd.h>

#include <algorithm>
#include <ctime>

#include <strata/data/image.hpp>
#include <strata/io/file.hpp>
#include <strata/model/weights.hpp>
#include <strata/training/fit.hpp>
#include <strata/training/tensorboard.hpp>

namespace strata { inline namespace STRATA_ABI {

namespace detail {

STRATA_COLD STRATA_INLINE double monotonic_seconds() {
  std::timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Adds a node for every layer to a tf.GraphDef and returns those of the outputs. `inputs` are the nodes that
/// stand for the inputs of a model within another, whose name the prefix is.
template <class T>
STRATA_COLD std::vector<std::string> add_graph_nodes(const Graph<T>& graph, const std::string& prefix,
                                                     const std::vector<std::string>& inputs,
                                                     ProtobufMessage& to) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const auto& node = graph.nodes()[i];
    const auto given = std::find(graph.inputs().begin(), graph.inputs().end(), static_cast<int>(i));
    if (const auto at = static_cast<std::size_t>(given - graph.inputs().begin()); at < inputs.size()) {
      names.push_back(inputs[at]);
      continue;
    }
    std::vector<std::string> from;
    for (const int input : node.inputs) from.push_back(names[static_cast<std::size_t>(input)]);
    std::string name = prefix + node.layer->name();
    if (node.call > 0) name += concat("/call_", node.call);
    if (const auto* model = dynamic_cast<const ModelImpl<T>*>(node.layer.get())) {
      names.push_back(add_graph_nodes(model->graph(), name + "/", from, to).at(0));
      continue;
    }
    ProtobufMessage out;
    out.bytes(1, name).bytes(2, node.layer->class_name());
    for (const std::string& input : from) out.bytes(3, input);
    const auto attribute = [&](std::string_view key, const ProtobufMessage& value) {
      out.message(5, ProtobufMessage().bytes(1, key).message(2, value));
    };
    ProtobufMessage shape;
    shape.message(2, ProtobufMessage().number(1, -1));  // the batch
    for (const std::int64_t extent : node.shape) shape.message(2, ProtobufMessage().number(1, extent));
    attribute("_output_shapes", ProtobufMessage().message(1, ProtobufMessage().message(7, shape)));
    if (const Json config = node.layer->config(); config.is_object())
      for (const auto& [key, value] : config.as_object())
        attribute(key, ProtobufMessage().bytes(2, value.dump()));
    std::int64_t parameters = 0;
    for (const auto& weight : node.layer->weights()) parameters += weight->shape().size();
    attribute("parameters", ProtobufMessage().number(3, parameters));
    attribute("trainable", ProtobufMessage().number(5, node.layer->trainable()));
    to.message(1, out);
    names.push_back(std::move(name));
  }
  std::vector<std::string> outputs;
  for (const int output : graph.outputs()) outputs.push_back(names[static_cast<std::size_t>(output)]);
  return outputs;
}

STRATA_COLD STRATA_INLINE ProtobufMessage pictures_summary(std::string_view tag,
                                                           TensorView<const std::uint8_t> pictures) {
  std::vector<std::string> files;
  for (std::int64_t i = 0; i < pictures.shape()[0]; ++i)
    files.push_back(encode_png(
        TensorView<const std::uint8_t>(pictures.slice(i, i + 1).data(), pictures.shape().without_batch())));
  return image_summary(tag, pictures.shape()[2], pictures.shape()[1], files);
}

/// A weight as the pictures that Keras makes of it, at most three: one column of a vector, a matrix, each
/// kernel of a convolution with one channel on one side, or the kernel's rows where 1, 3 or 4 filters pass
/// for channels. Of rank 0 where it makes none.
template <class T>
STRATA_COLD Tensor<std::uint8_t> weight_pictures(const Tensor<T>& weight) {
  std::vector<std::int64_t> extents;
  for (const std::int64_t extent : weight.shape())
    if (extent != 1) extents.push_back(extent);
  const std::size_t rank = extents.size();
  if (rank == 0 || rank > 4) return {};
  bool transposed = false;
  std::int64_t n = 1, height = extents[0], width = 1, channels = 1;
  if (rank == 2) {
    transposed = extents[0] > extents[1];
    height = extents[transposed], width = extents[!transposed];
  } else if (rank == 3) {
    transposed = true;
    n = extents[2], height = extents[0], width = extents[1];
  } else if (rank == 4) {
    n = extents[0], height = extents[1], width = extents[2], channels = extents[3];
  }
  if (channels != 1 && channels != 3 && channels != 4) return {};
  Tensor<std::uint8_t> out({std::min<std::int64_t>(n, 3), height, width, channels});
  const std::int64_t inner = transposed ? extents.back() : 1, outer = weight.size() / inner;
  for (std::int64_t i = 0; i < out.size(); ++i) {
    const std::int64_t from = transposed ? i % outer * inner + i / outer : i;
    const float value = static_cast<float>(weight.data()[from]) * 255.5F;
    out.data()[i] = static_cast<std::uint8_t>(value > 0 ? std::min(value, 255.0F) : 0.0F);
  }
  return out;
}

}  // namespace detail

STRATA_COLD STRATA_INLINE UpdateFrequency::UpdateFrequency(const char* name)
    : batches_(std::string_view(name) == "batch") {
  require<ConfigError>(batches_ == 1 || std::string_view(name) == "epoch",
                       "[tensorboard] expected an update_freq of 'epoch', 'batch' or a number of batches, ",
                       "found '", name, "'");
}
STRATA_COLD STRATA_INLINE UpdateFrequency::UpdateFrequency(std::nullptr_t, std::int64_t batches)
    : batches_(batches) {
  require<ConfigError>(batches > 0, "[tensorboard] expected an update_freq of 1 batch or more, found ",
                       batches);
}

template <class T>
STRATA_COLD TensorBoardImpl<T>::TensorBoardImpl(TensorBoardOptions options) : options_(std::move(options)) {
  require<ConfigError>(!options_.log_dir.empty(), "[tensorboard] expected a log_dir, found none");
  require<ConfigError>(options_.histogram_freq >= 0,
                       "[tensorboard] expected a histogram_freq of 0 or more, found ",
                       options_.histogram_freq);
  require<ConfigError>(!options_.write_images || options_.histogram_freq > 0,
                       "[tensorboard] write_images writes beside histograms: expected a histogram_freq of 1 ",
                       "or more, found 0");
}

template <class T>
STRATA_COLD void TensorBoardImpl<T>::add_images(std::string_view tag, TensorView<const std::uint8_t> pictures,
                                                std::int64_t step) {
  const Shape shape = pictures.shape().rank() == 3 ? pictures.shape().with_batch(1) : pictures.shape();
  require<ShapeError>(
      shape.rank() == 4 && shape.size() > 0 && (shape[3] == 1 || shape[3] == 3 || shape[3] == 4),
      "[tensorboard] expected pictures [n,height,width,channels] of 1, 3 or 4 channels for '", tag,
      "', found ", pictures.shape());
  ProtobufMessage summary =
      detail::pictures_summary(tag, TensorView<const std::uint8_t>(pictures.data(), shape));
  if (train_)
    train_->add(step, summary);
  else
    images_.emplace_back(step, std::move(summary));
}

template <class T>
STRATA_COLD std::string TensorBoardImpl<T>::path(const char* folder) const {
  return concat(options_.log_dir, "/", folder, "/", run_, ".", part_, ".v2");
}

template <class T>
STRATA_COLD void TensorBoardImpl<T>::on_train_begin(BasicFitState<T>&) {
  train_.reset();
  validation_.reset();
  make_directories(options_.log_dir + "/train");
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) != 0 || !*host) host[0] = '-';
  part_ = 0;
  int number = 0;  // tells trainings of one second apart
  do run_ = concat("events.out.tfevents.", std::time(nullptr), ".", host, ".", ::getpid(), ".", number++);
  while (file_exists(path("train")));
  graph_ = options_.write_graph;
  first_batch_ = -1;
}

template <class T>
STRATA_COLD EventFile& TensorBoardImpl<T>::train(BasicFitState<T>& state) {
  if (train_) return *train_;
  train_ = std::make_unique<EventFile>(path("train"));
  if (std::exchange(graph_, false)) {
    ProtobufMessage graph;
    detail::add_graph_nodes(state.model.model().graph(), "", {}, graph);
    train_->add_graph(graph);
  }
  for (const auto& [step, summary] : std::exchange(images_, {})) train_->add(step, summary);
  return *train_;
}
template <class T>
STRATA_COLD EventFile& TensorBoardImpl<T>::validation() {
  if (validation_) return *validation_;
  make_directories(options_.log_dir + "/validation");
  validation_ = std::make_unique<EventFile>(path("validation"));
  return *validation_;
}

template <class T>
STRATA_COLD void TensorBoardImpl<T>::on_train_batch_begin(BasicFitState<T>& state, std::int64_t batch) {
  train(state);  // a folder that cannot be written is told before the first step
  batch_began_ = detail::monotonic_seconds();
  if (first_batch_ >= 0) return;
  first_batch_ = batch;
  epoch_began_ = batch_began_;
}

template <class T>
STRATA_COLD void TensorBoardImpl<T>::on_train_batch_end(BasicFitState<T>& state, std::int64_t batch,
                                                        const Logs& logs) {
  const std::int64_t step = state.epoch * state.steps_per_epoch + batch + 1;
  const std::int64_t every = options_.update_freq.batches();
  if (every == 0 || step % every != 0) return;
  EventFile& file = train(state);
  for (const auto& [name, value] : logs) file.add(step, scalar_summary("batch_" + name, value));
  if (!options_.write_steps_per_second) return;
  const double seconds = detail::monotonic_seconds() - batch_began_;
  file.add(step, scalar_summary("batch_steps_per_second", 1 / seconds));
}

template <class T>
STRATA_COLD void TensorBoardImpl<T>::on_epoch_end(BasicFitState<T>& state, int epoch, Logs& logs) {
  EventFile& file = train(state);
  const std::int64_t iterations = state.model.trainer().iterations();
  for (const auto& [name, value] : logs)
    if (name.starts_with("val_"))
      validation().add(iterations,
                       scalar_summary(concat("evaluation_", name.substr(4), "_vs_iterations"), value));
  Logs all = logs;
  all.set("learning_rate", state.model.optimizer().learning_rate());
  if (options_.write_steps_per_second && first_batch_ >= 0) {
    const double seconds = detail::monotonic_seconds() - epoch_began_;
    all.set("steps_per_second", static_cast<double>(state.step - first_batch_) / seconds);
  }
  first_batch_ = -1;
  for (const auto& [name, value] : all) {
    if (name.starts_with("val_"))
      validation().add(epoch, scalar_summary("epoch_" + name.substr(4), value));
    else
      file.add(epoch, scalar_summary("epoch_" + name, value));
  }
  if (options_.histogram_freq > 0 && epoch % options_.histogram_freq == 0) write_weights(state, epoch);
}

template <class T>
STRATA_COLD void TensorBoardImpl<T>::write_weights(BasicFitState<T>& state, int epoch) {
  EventFile& file = train(state);
  for (const auto& [name, weight] : named_weights<T>(state.model)) {
    const Tensor<T> values = weight->value().to(nullptr);
    file.add(epoch, histogram_summary(name + "/histogram", std::span<const T>(values.values())));
    if (!options_.write_images) continue;
    const Tensor<std::uint8_t> pictures = detail::weight_pictures(values);
    if (pictures.rank() == 4) file.add(epoch, detail::pictures_summary(name + "/image", pictures));
  }
}

template <class T>
STRATA_COLD void TensorBoardImpl<T>::on_train_end(BasicFitState<T>&) {
  train_.reset();
  validation_.reset();
}

template <class T>
STRATA_COLD BasicCallbackState<T> TensorBoardImpl<T>::state() const {
  return {Json::object({{"run", run_},
                        {"part", part_},
                        {"train_bytes", train_ ? train_->size() : 0},
                        {"validation_bytes", validation_ ? validation_->size() : 0}})};
}

template <class T>
STRATA_COLD void TensorBoardImpl<T>::load_state(const BasicCallbackState<T>& from) {
  const Json& values = from.values;
  run_ = values.get<std::string>("run");
  part_ = values.get<int>("part");
  const auto bytes = values.get<std::int64_t>("train_bytes");
  require<DataError>(run_.starts_with("events.out.tfevents.") && run_.find('/') == run_.npos && part_ >= 0,
                     "[tensorboard] '", run_, "' is not the name of a file of events");
  cut_event_file(path("train"), bytes);
  cut_event_file(path("validation"), values.get<std::int64_t>("validation_bytes"));
  if (part_ > 0 || bytes > 0) {  // they are in the first file
    graph_ = false;
    images_.clear();
  }
  ++part_;
}

#if !STRATA_HEADER_ONLY
template class TensorBoardImpl<float>;
template class TensorBoardImpl<double>;
#endif

}}  // namespace strata::STRATA_ABI
