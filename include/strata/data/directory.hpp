#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <strata/data/augmentation.hpp>
#include <strata/data/dataset.hpp>
#include <strata/data/image.hpp>
#include <strata/data/resize.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Labels from class folders: [n,1] of 0 and 1, [n,classes] one-hot, [n] class numbers (Keras's "int" or
/// "sparse"), or none.
enum class LabelMode { binary, categorical, sparse, none };
using ClassMode = LabelMode;

/// The part of a directory that `validation_split` assigns.
enum class Subset { all, training, validation };

/// What happens to a file that is not a complete picture: an error that names it (at once where its first
/// bytes show it, else with its batch), or it is left out and reported by `skipped()`. Skipping decodes every
/// picture once, up front and on all CPUs.
enum class OnError { raise, skip };

struct SkippedFile {
  std::string file, reason;
};

namespace detail {
class DirectorySource;
}

/// Pictures in class folders. A shared handle like every Dataset.
class DirectoryDataset : public Dataset {
 public:
  explicit DirectoryDataset(std::shared_ptr<const detail::DirectorySource> source);

  /// Paths of the samples, by class, then folder, then file name; `labels` are their class numbers.
  const std::vector<std::string>& files() const;
  const std::vector<std::int64_t>& labels() const;
  std::map<std::string, std::int64_t> class_indices() const;
  /// Files left out by OnError::skip and, in front of them, pictures of kinds that are not read, such as
  /// WebP.
  const std::vector<SkippedFile>& skipped() const;

 private:
  std::shared_ptr<const detail::DirectorySource> directory_;
};

/// In the order of Keras's arguments; the last three are Strata's own.
struct ImageDatasetFromDirectoryOptions {
  LabelMode label_mode = LabelMode::sparse;
  std::vector<std::string> class_names =
      {};  ///< the class folders to use and their order; empty: all, sorted
  ColorMode color_mode = ColorMode::rgb;
  std::int64_t batch_size = 32;
  std::array<std::int64_t, 2> image_size = {256, 256};  ///< height, width
  bool shuffle = true;                                  ///< anew for every pass
  std::uint64_t seed = 0;
  double validation_split = 0;  ///< fraction of all files, drawn with `seed` (the last ones without shuffle)
  Subset subset = Subset::all;
  TfInterpolation interpolation = TfInterpolation::bilinear;
  bool follow_links = false;
  bool crop_to_aspect_ratio = false;
  bool pad_to_aspect_ratio = false;
  OnError on_error = OnError::raise;
  std::int64_t limit = 0;  ///< use only the first so many files of each class; 0: all
  std::size_t cache_bytes = std::size_t{512} << 20;  ///< memory for decoded pictures, kept between passes
};

/// keras.utils.image_dataset_from_directory: float pictures in [0,255], resized as TensorFlow does.
///
/// Every subfolder of `directory` whose name does not begin with a dot is a class; files ending in bmp, gif,
/// jpeg, jpg or png count, in subfolders too. Without labels all files under `directory` are taken, class
/// folders or not. Throws DataError for a missing directory, a class without pictures, a single class (two
/// are needed for binary labels) and damaged files; ConfigError for options that contradict each other.
DirectoryDataset image_dataset_from_directory(const std::string& directory,
                                              const ImageDatasetFromDirectoryOptions& options = {});

}}  // namespace strata::STRATA_ABI

#if STRATA_HEADER_ONLY
#include <strata/data/directory.ipp>
#endif
