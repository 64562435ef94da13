#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include <strata/core/parallel.hpp>
#include <strata/core/random.hpp>
#include <strata/data/directory.hpp>
#include <strata/io/file.hpp>

namespace strata { inline namespace STRATA_ABI {
namespace detail {

/// What both loaders have in common.
struct DirectoryOptions {
  std::string_view caller;
  LabelMode label_mode;
  std::vector<std::string> classes;
  bool class_folders;  ///< false: every file under the directory
  std::span<const std::string_view> extensions;
  bool follow_links;
  std::int64_t limit, batch_size;
  bool shuffle;
  std::uint64_t seed;
  double validation_split;
  Subset subset;
  bool split_by_class;  ///< the first of each class validate, else a draw from all files
  OnError on_error;
  std::size_t cache_bytes;
};

/// How a file becomes a sample.
struct PictureOptions {
  ColorMode color_mode;
  std::int64_t height, width;
  PillowFilter filter = PillowFilter::nearest;  // uint8 pictures
  bool keep_aspect_ratio = false;
  PixelScaling scaling = {};
  SampleStandardization standardization = {};
  Augmentation augmentation = {};
  TfInterpolation interpolation = TfInterpolation::bilinear;  // float pictures
  AspectRatio aspect_ratio = AspectRatio::stretch;
};

/// Samples of equal size, each stored at most once and read by any number of threads. The first so many that
/// fit the budget are kept; memory is touched only as they come.
class SampleCache {
 public:
  SampleCache(std::size_t samples, std::size_t sample_bytes, std::size_t budget)
      : sample_bytes_(sample_bytes), states_(std::min(samples, budget / sample_bytes)) {
    if (!states_.empty())
      bytes_ =
          Tensor<std::uint8_t>::uninitialized({static_cast<std::int64_t>(states_.size() * sample_bytes)});
  }

  bool load(std::size_t sample, void* to) const {
    if (sample >= states_.size() || states_[sample].load(std::memory_order_acquire) != stored) return false;
    std::memcpy(to, bytes_.data() + sample * sample_bytes_, sample_bytes_);
    return true;
  }
  void store(std::size_t sample, const void* from) {
    int expected = absent;
    if (sample >= states_.size() || !states_[sample].compare_exchange_strong(expected, writing)) return;
    std::memcpy(bytes_.data() + sample * sample_bytes_, from, sample_bytes_);
    states_[sample].store(stored, std::memory_order_release);
  }

 private:
  enum State : int { absent, writing, stored };
  std::size_t sample_bytes_;
  std::vector<std::atomic<int>> states_;
  Tensor<std::uint8_t> bytes_;
};

struct DirectoryFiles {
  std::vector<std::string> files, class_names;
  std::vector<std::int64_t> labels;
  std::vector<SkippedFile> unread = {};  // pictures of other kinds

  void keep(const std::vector<std::size_t>& numbers) {
    DirectoryFiles kept{{}, class_names, {}};
    for (const std::size_t i : numbers) {
      kept.files.push_back(std::move(files[i]));
      kept.labels.push_back(labels[i]);
    }
    *this = std::move(kept);
  }
};

inline bool has_extension(std::string_view name, std::span<const std::string_view> extensions) {
  return std::any_of(extensions.begin(), extensions.end(), [&](std::string_view extension) {
    if (name.size() < extension.size()) return false;
    const std::string_view end = name.substr(name.size() - extension.size());
    return std::equal(end.begin(), end.end(), extension.begin(),
                      [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
  });
}

/// The picture files at and below a directory; a link back to a parent is not followed.
class FileList {
 public:
  explicit FileList(const DirectoryOptions& options) : options_(options) {}

  /// By folder path, then by name, both as bytes; to `unread` go pictures of kinds that are not read.
  std::vector<std::string> files(const std::string& directory, std::vector<SkippedFile>& unread) {
    add(directory);
    std::sort(folders_.begin(), folders_.end());
    std::sort(unread_.begin(), unread_.end());
    for (std::string& file : unread_) {
      std::string reason = concat("[", options_.caller, "] '", file, "' is of a kind that is not read");
      unread.push_back({std::move(file), std::move(reason)});
    }
    std::vector<std::string> out;
    for (const auto& [folder, names] : folders_)
      for (const std::string& name : names) out.push_back(folder + "/" + name);
    if (options_.limit > 0 && out.size() > static_cast<std::size_t>(options_.limit))
      out.resize(static_cast<std::size_t>(options_.limit));
    return out;
  }

 private:
  void add(const std::string& directory) {
    struct Free {
      void operator()(char* text) const { std::free(text); }
    };
    const std::unique_ptr<char, Free> resolved(::realpath(directory.c_str(), nullptr));
    const std::string real = resolved ? resolved.get() : directory;
    if (std::find(parents_.begin(), parents_.end(), real) != parents_.end()) return;
    parents_.push_back(real);
    std::vector<std::string> names;
    for (DirectoryEntry& entry : list_directory(directory)) {
      if (entry.is_directory && (options_.follow_links || !entry.is_link))
        add(directory + "/" + entry.name);
      else if (!entry.is_directory && has_extension(entry.name, options_.extensions))
        names.push_back(std::move(entry.name));
      else if (!entry.is_directory && has_extension(entry.name, pictures))
        unread_.push_back(directory + "/" + entry.name);
    }
    folders_.emplace_back(directory, std::move(names));
    parents_.pop_back();
  }

  static constexpr std::string_view pictures[] = {".webp", ".tif", ".tiff", ".heic", ".heif",
                                                  ".avif", ".jxl", ".jp2",  ".ppm"};
  const DirectoryOptions& options_;
  std::vector<std::string> unread_;
  std::vector<std::string> parents_;  // on the way down to where it is
  std::vector<std::pair<std::string, std::vector<std::string>>> folders_;
};

inline std::vector<std::string> list_classes(const std::string& directory, const DirectoryOptions& options) {
  std::vector<std::string> found;
  for (const DirectoryEntry& entry : list_directory(directory))
    if (entry.name[0] != '.' && entry.is_directory) found.push_back(entry.name);
  const auto listed = [](const std::vector<std::string>& names) {
    std::string out;
    for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
    return out.empty() ? "none" : out;
  };
  for (const std::string& name : options.classes) {
    require<ConfigError>(std::count(options.classes.begin(), options.classes.end(), name) == 1, "[",
                         options.caller, "] the class '", name, "' is named twice");
    require<DataError>(std::find(found.begin(), found.end(), name) != found.end(), "[", options.caller,
                       "] the class folder '", name, "' is not in '", directory, "'; found: ", listed(found));
  }
  if (!options.classes.empty()) found = options.classes;

  const std::size_t classes = found.size();
  require<DataError>(classes > 0, "[", options.caller, "] '", directory,
                     "' has no class folders: pictures are expected in one subfolder per class");
  require<DataError>(options.label_mode != LabelMode::binary || classes == 2, "[", options.caller,
                     "] binary labels need exactly two class folders in '", directory, "', found ", classes,
                     ": ", listed(found));
  require<DataError>(options.label_mode == LabelMode::none || classes > 1, "[", options.caller,
                     "] labels need at least two class folders in '", directory, "', found only '", found[0],
                     "'");
  return found;
}

inline DirectoryFiles list_pictures(const std::string& directory, const DirectoryOptions& options) {
  require<DataError>(directory_exists(directory), "[", options.caller, "] '", directory, "' ",
                     file_exists(directory) ? "is not a directory" : "does not exist");
  DirectoryFiles out;
  if (options.class_folders) out.class_names = list_classes(directory, options);
  const std::size_t folders = options.class_folders ? out.class_names.size() : 1;
  for (std::size_t label = 0; label < folders; ++label) {
    const std::string folder = options.class_folders ? directory + "/" + out.class_names[label] : directory;
    for (std::string& file : FileList(options).files(folder, out.unread)) {
      out.files.push_back(std::move(file));
      out.labels.push_back(static_cast<std::int64_t>(label));
    }
    require<DataError>(
        !out.labels.empty() && out.labels.back() == static_cast<std::int64_t>(label), "[", options.caller,
        "] there are no pictures (", options.extensions[0], ", ", options.extensions[1], ", ...) in '",
        folder, options.class_folders ? "'; name the class folders to use where this is none of them" : "'",
        out.unread.empty() ? "" : "; the first of another kind is '",
        out.unread.empty() ? "" : out.unread.front().file + "'");
  }
  return out;
}

/// Numbers of the files in the wanted subset, ascending.
inline std::vector<std::size_t> select_subset(const std::vector<std::int64_t>& labels,
                                              const DirectoryOptions& options) {
  const std::size_t count = labels.size();
  std::vector<bool> validates(count);
  if (options.split_by_class) {
    for (std::size_t begin = 0, end; begin < count; begin = end) {
      for (end = begin; end < count && labels[end] == labels[begin];) ++end;
      const auto first =
          static_cast<std::size_t>(options.validation_split * static_cast<double>(end - begin));
      std::fill_n(validates.begin() + static_cast<std::ptrdiff_t>(begin), first, true);
    }
  } else {
    // A stream of its own (path 1), so that the split is unrelated to the order of any pass.
    const auto order =
        RandomStream(options.seed, Purpose::shuffle, 1).permutation(static_cast<std::int64_t>(count));
    const auto last = static_cast<std::size_t>(options.validation_split * static_cast<double>(count));
    for (std::size_t i = count - last; i < count; ++i)
      validates[options.shuffle ? static_cast<std::size_t>(order[i]) : i] = true;
  }
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < count; ++i)
    if (validates[i] == (options.subset == Subset::validation)) chosen.push_back(i);
  return chosen;
}

class DirectorySource : public BatchSource {
 public:
  std::int64_t samples() const override { return order_.samples(); }
  std::int64_t batch_size() const override { return order_.batch_size(); }
  std::vector<std::string> class_names() const override { return listed_.class_names; }
  const DirectoryFiles& listed() const { return listed_; }
  const std::vector<SkippedFile>& skipped() const { return skipped_; }

 protected:
  DirectorySource(DirectoryFiles listed, std::vector<SkippedFile> skipped, const DirectoryOptions& options)
      : listed_(std::move(listed)),
        skipped_(std::move(skipped)),
        label_mode_(options.label_mode),
        order_(static_cast<std::int64_t>(listed_.files.size()), options.batch_size, options.shuffle,
               options.seed) {}

  Tensor<float> labels_of(const std::vector<DrawnSample>& drawn) const {
    const auto rows = static_cast<std::int64_t>(drawn.size());
    const auto classes = static_cast<std::int64_t>(listed_.class_names.size());
    if (label_mode_ == LabelMode::none) return {};
    Tensor<float> y(label_mode_ == LabelMode::sparse   ? Shape{rows}
                    : label_mode_ == LabelMode::binary ? Shape{rows, 1}
                                                       : Shape{rows, classes});
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t label =
          listed_.labels[static_cast<std::size_t>(drawn[static_cast<std::size_t>(i)].number)];
      if (label_mode_ == LabelMode::categorical)
        y.data()[i * classes + label] = 1;
      else
        y.data()[i] = static_cast<float>(label);
    }
    return y;
  }

  DirectoryFiles listed_;
  std::vector<SkippedFile> skipped_;
  LabelMode label_mode_;
  DrawOrder order_;
};

template <class T>
STRATA_COLD Tensor<T> load_picture(const std::string& file, const PictureOptions& picture) {
  const Tensor<std::uint8_t> pixels = read_image(
      file, picture.color_mode, std::same_as<T, float> ? ImageDecoder::tensorflow : ImageDecoder::pillow);
  if constexpr (std::same_as<T, float>)
    return resize_tf(pixels, picture.height, picture.width, picture.interpolation, false,
                     picture.aspect_ratio);
  else
    return resize_pillow(pixels, picture.height, picture.width, picture.filter, picture.keep_aspect_ratio);
}

template <class T>
class PictureSource final : public DirectorySource {
 public:
  /// `numbers` are the files' places in `cache`.
  PictureSource(DirectoryFiles listed, std::vector<SkippedFile> skipped, std::vector<std::size_t> numbers,
                std::unique_ptr<SampleCache> cache, const DirectoryOptions& options, PictureOptions picture)
      : DirectorySource(std::move(listed), std::move(skipped), options),
        picture_(std::move(picture)),
        numbers_(std::move(numbers)),
        cache_(std::move(cache)) {}

  Shape element_shape() const override {
    return {picture_.height, picture_.width, channels_of(picture_.color_mode)};
  }
  std::vector<std::int64_t> numbers(std::span<const std::int64_t> draws) const override {
    return picture_.augmentation ? std::vector<std::int64_t>() : order_.numbers(draws);
  }
  Batch gather(std::span<const std::int64_t> draws) const override {
    const std::vector<DrawnSample> chosen = order_.samples(draws);
    const std::int64_t size = element_shape().size();
    Tensor<T> pictures =
        Tensor<T>::uninitialized(element_shape().with_batch(static_cast<std::int64_t>(chosen.size())));
    T* to = pictures.data();
    for (const DrawnSample& sample : chosen) {
      const auto i = static_cast<std::size_t>(sample.number);
      if (!cache_->load(numbers_[i], to)) {
        const Tensor<T> loaded = load_picture<T>(listed_.files[i], picture_);
        std::copy_n(loaded.data(), size, to);
        cache_->store(numbers_[i], to);
      }
      to += size;
    }
    Batch out;
    if constexpr (std::same_as<T, float>)
      out.x = std::move(pictures);
    else
      out.pixels = std::move(pictures);
    out.scaling = picture_.scaling;
    out.standardization = picture_.standardization;
    out.warps = picture_.augmentation.warps(order_.seed(), chosen, picture_.height, picture_.width);
    out.sampling = picture_.augmentation.sampling();
    out.y = labels_of(chosen);
    return out;
  }
  Batch targets(std::span<const std::int64_t> draws) const override {
    Batch out;
    out.y = labels_of(order_.samples(draws));
    return out;
  }

 private:
  PictureOptions picture_;
  std::vector<std::size_t> numbers_;
  std::unique_ptr<SampleCache> cache_;
};

inline void check_split(std::string_view caller, double validation_split, Subset subset) {
  require<ConfigError>(validation_split >= 0 && validation_split < 1, "[", caller,
                       "] expected a validation_split from 0 up to below 1, found ", validation_split);
  require<ConfigError>(validation_split != 0 || subset == Subset::all, "[", caller,
                       "] a subset needs a validation_split");
}

template <class T>
STRATA_COLD DirectoryDataset make_directory_dataset(const std::string& directory,
                                                    const DirectoryOptions& options,
                                                    const PictureOptions& picture) {
  check_split(options.caller, options.validation_split, options.subset);
  require<ConfigError>(
      options.validation_split == 0 || options.split_by_class || options.subset != Subset::all, "[",
      options.caller, "] validation_split needs a subset: training or validation");
  require<ConfigError>(options.limit >= 0, "[", options.caller,
                       "] expected a limit of 0 (none) or more, found ", options.limit);
  require<ConfigError>(
      picture.height >= 1 && picture.width >= 1 && picture.height <= 1 << 16 && picture.width <= 1 << 16, "[",
      options.caller, "] expected an image size of 1 to 65536, found ", picture.height, " x ", picture.width);

  DirectoryFiles listed = list_pictures(directory, options);
  const std::size_t count = listed.files.size();
  auto cache = std::make_unique<SampleCache>(
      count,
      static_cast<std::size_t>(picture.height * picture.width * channels_of(picture.color_mode)) * sizeof(T),
      options.cache_bytes);
  std::vector<std::size_t> numbers;
  std::vector<SkippedFile> skipped = std::move(listed.unread);
  const std::size_t unread = skipped.size();
  if (options.on_error == OnError::skip) {
    std::vector<std::string> reasons(count);
    ThreadPool pool;
    pool.run(static_cast<std::int64_t>(count), [&](std::int64_t task, int) {
      const auto i = static_cast<std::size_t>(task);
      try {
        cache->store(i, load_picture<T>(listed.files[i], picture).data());
      } catch (const DataError& error) {
        reasons[i] = error.what();
      }
    });
    for (std::size_t i = 0; i < count; ++i) {
      if (reasons[i].empty())
        numbers.push_back(i);
      else
        skipped.push_back({listed.files[i], reasons[i]});
    }
    listed.keep(numbers);
    for (std::size_t label = 0; label < std::max<std::size_t>(listed.class_names.size(), 1); ++label)
      require<DataError>(
          std::count(listed.labels.begin(), listed.labels.end(), label) > 0, "[", options.caller,
          "] none of the pictures of '", listed.class_names.empty() ? directory : listed.class_names[label],
          "' can be read; the first error: ", skipped.size() == unread ? "" : skipped[unread].reason);
  } else {
    for (std::size_t i = 0; i < count; ++i) {
      check_image_file(listed.files[i]);
      numbers.push_back(i);
    }
  }
  if (options.subset != Subset::all) {
    const std::vector<std::size_t> chosen = select_subset(listed.labels, options);
    require<DataError>(!chosen.empty(), "[", options.caller, "] the ",
                       options.subset == Subset::validation ? "validation" : "training", " subset of the ",
                       listed.files.size(), " files in '", directory, "' is empty (validation_split ",
                       options.validation_split, ")");
    listed.keep(chosen);
    std::vector<std::size_t> places;
    for (const std::size_t i : chosen) places.push_back(numbers[i]);
    numbers = std::move(places);
  }
  return DirectoryDataset(std::make_shared<PictureSource<T>>(
      std::move(listed), std::move(skipped), std::move(numbers), std::move(cache), options, picture));
}

}  // namespace detail

STRATA_COLD STRATA_INLINE
DirectoryDataset::DirectoryDataset(std::shared_ptr<const detail::DirectorySource> source)
    : Dataset(source), directory_(std::move(source)) {}
STRATA_COLD STRATA_INLINE const std::vector<std::string>& DirectoryDataset::files() const {
  return directory_->listed().files;
}
STRATA_COLD STRATA_INLINE const std::vector<std::int64_t>& DirectoryDataset::labels() const {
  return directory_->listed().labels;
}
STRATA_COLD STRATA_INLINE std::map<std::string, std::int64_t> DirectoryDataset::class_indices() const {
  std::map<std::string, std::int64_t> out;
  for (const std::string& name : directory_->listed().class_names)
    out.emplace(name, static_cast<std::int64_t>(out.size()));
  return out;
}
STRATA_COLD STRATA_INLINE const std::vector<SkippedFile>& DirectoryDataset::skipped() const {
  return directory_->skipped();
}

STRATA_COLD STRATA_INLINE DirectoryDataset
image_dataset_from_directory(const std::string& directory, const ImageDatasetFromDirectoryOptions& options) {
  static constexpr std::string_view extensions[] = {".jpg", ".jpeg", ".png", ".bmp", ".gif"};
  static constexpr std::string_view caller = "image_dataset_from_directory";
  require<ConfigError>(!(options.crop_to_aspect_ratio && options.pad_to_aspect_ratio), "[", caller,
                       "] only one of crop_to_aspect_ratio and pad_to_aspect_ratio can be true");
  const bool labels = options.label_mode != LabelMode::none;
  require<ConfigError>(labels || options.class_names.empty(), "[", caller,
                       "] class_names have no meaning without labels");
  return detail::make_directory_dataset<float>(
      directory,
      {.caller = caller,
       .label_mode = options.label_mode,
       .classes = options.class_names,
       .class_folders = labels,
       .extensions = extensions,
       .follow_links = options.follow_links,
       .limit = options.limit,
       .batch_size = options.batch_size,
       .shuffle = options.shuffle,
       .seed = options.seed,
       .validation_split = options.validation_split,
       .subset = options.subset,
       .split_by_class = false,
       .on_error = options.on_error,
       .cache_bytes = options.cache_bytes},
      {.color_mode = options.color_mode,
       .height = options.image_size[0],
       .width = options.image_size[1],
       .interpolation = options.interpolation,
       .aspect_ratio = options.crop_to_aspect_ratio  ? AspectRatio::crop
                       : options.pad_to_aspect_ratio ? AspectRatio::pad
                                                     : AspectRatio::stretch});
}

}}  // namespace strata::STRATA_ABI
