// Makes train/, validation/ and test/ of a folder of pictures, as the book does with Kaggle's cats and dogs.
//
// Section 5.2.2 of Chollet, "Deep Learning with Python", 1st edition; with --edition 2 section 8.2.2 of the
// 2nd, which tests on twice as many pictures.

#include <array>
#include <filesystem>
#include <map>

#include <strata/data/image.hpp>
#include <strata/io/file.hpp>
#include <strata/io/json.hpp>

#include "common/flags.hpp"
#include "common/sample_pictures.hpp"

using namespace strata;
namespace fs = std::filesystem;

namespace {

constexpr const char* subsets[] = {"train", "validation", "test"};

struct Picture {
  std::string name, path;
  std::uint64_t number;  ///< at the end of its name: 12 of "cat.12.jpg"
};

/// The pictures of each class, in the order of their numbers.
using Classes = std::map<std::string, std::vector<Picture>>;

bool is_picture(const std::string& name) {
  std::string extension = fs::path(name).extension();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png" || extension == ".bmp" ||
         extension == ".gif";
}

/// Names without a number come last.
std::uint64_t number_of(const std::string& name) {
  const std::string stem = fs::path(name).stem();
  std::uint64_t number = 0;
  const char* end = stem.data() + stem.size();
  const auto digits = static_cast<std::size_t>(end - stem.data()) - 1 - stem.find_last_not_of("0123456789");
  const auto [stop, error] = std::from_chars(end - digits, end, number);
  return stop == end && error == std::errc{} ? number : std::numeric_limits<std::uint64_t>::max();
}

/// Pictures named as Kaggle's, "cat.0.jpg", or, where there are none, a folder per class.
Classes find_pictures(const std::string& data) {
  Classes classes;
  std::vector<std::string> folders;
  const auto add = [&](const std::string& label, const std::string& name, const std::string& path) {
    classes[label].push_back({name, path, number_of(name)});
  };
  for (const DirectoryEntry& entry : list_directory(data)) {
    if (entry.name[0] == '.') continue;
    if (entry.is_directory) folders.push_back(entry.name);
    if (entry.is_directory || !is_picture(entry.name)) continue;
    const std::string stem = fs::path(entry.name).stem();
    const std::size_t dot = stem.rfind('.');
    require<DataError>(dot != stem.npos && dot > 0 && number_of(entry.name) != ~std::uint64_t{0},
                       "expected names like cat.0.jpg in '", data, "', or a folder per class, found '",
                       entry.name, "'");
    add(stem.substr(0, dot), entry.name, data + "/" + entry.name);
  }
  if (classes.empty())
    for (const std::string& label : folders) {
      require<DataError>(label != "train" && label != "validation", "'", data, "' has a folder '", label,
                         "': --data takes the folder of the pictures, or of a folder per class");
      for (const DirectoryEntry& entry : list_directory(data + "/" + label))
        if (!entry.is_directory && is_picture(entry.name))
          add(label, entry.name, data + "/" + label + "/" + entry.name);
    }
  require<DataError>(classes.size() >= 2, "expected pictures of two classes or more in '", data,
                     "', named like cat.0.jpg or in a folder per class, found ",
                     classes.empty() ? "none" : "only '" + classes.begin()->first + "'");
  for (auto& [label, pictures] : classes)
    std::sort(pictures.begin(), pictures.end(), [](const Picture& a, const Picture& b) {
      return std::tie(a.number, a.name) < std::tie(b.number, b.name);
    });
  return classes;
}

/// The first `count` of them that begin like pictures; tells which do not.
std::vector<Picture> first_pictures(const std::string& label, const std::vector<Picture>& pictures,
                                    std::size_t count) {
  std::vector<Picture> out;
  std::size_t damaged = 0;
  for (const Picture& picture : pictures) {
    if (out.size() == count) break;
    try {
      check_image_file(picture.path);
      out.push_back(picture);
    } catch (const DataError& error) {
      std::printf("left out: %s\n", error.what());
      ++damaged;
    }
  }
  require<DataError>(out.size() == count, "expected ", count, " pictures of '", label, "', found ",
                     out.size(), damaged ? concat(" and ", damaged, " damaged files") : "",
                     "; --train, --validation and --test say how many are wanted");
  return out;
}

/// Whether it is a hard link; a copy where it cannot be one, or is not to be.
bool place(const std::string& from, const std::string& to, bool link) {
  std::error_code error;
  // A symbolic link is a picture somewhere else, whose folder may move: what it shows is linked.
  if (link) fs::create_hard_link(fs::canonical(from), to, error);
  if (link && !error) return true;
  fs::copy_file(from, to);
  return false;
}

/// Named as Kaggle names its own.
void draw_pictures(const std::string& folder) {
  make_directories(folder);
  for (const auto& [name, subject] : {std::pair{"balloon", sample_pictures::Subject::balloon},
                                      std::pair{"kite", sample_pictures::Subject::kite}})
    for (std::uint64_t i = 0; i < 20; ++i)
      write_jpeg(concat(folder, "/", name, ".", i, ".jpg"),
                 sample_pictures::draw(subject, 0, hash_name(name), i));
}

/// Where something lies there already it must be a subset, and to be replaced.
void check_place(const std::string& run_dir, bool overwrite) {
  if (!fs::exists(fs::symlink_status(run_dir)) || (fs::is_directory(run_dir) && fs::is_empty(run_dir)))
    return;
  if (!overwrite)
    throw examples::UsageError("'" + run_dir + "' exists; --run-dir names another, --overwrite replaces it");
  const bool ours = fs::is_directory(run_dir) && file_exists(run_dir + "/subset.json");
  if (ours)
    for (const DirectoryEntry& entry : list_directory(run_dir))
      if (const auto& name = entry.name;
          name != "subset.json" &&
          std::find(std::begin(subsets), std::end(subsets), name) == std::end(subsets))
        throw examples::UsageError("'" + run_dir + "' is not replaced: '" + name +
                                   "' in it is not of a subset");
  if (!ours) throw examples::UsageError("'" + run_dir + "' is not replaced: make_subset has not made it");
}

void make_subset(int argc, char** argv) {
  std::string data, run_dir = "runs/make_subset", edition = "1";
  std::array<std::int64_t, 3> counts{1000, 500, 500};
  bool copy = false, overwrite = false;
  examples::Flags flags(
      "make_subset",
      "Makes train/, validation/ and test/, each with a folder per class, of the first pictures of each "
      "class.",
      {{"--data", "DIR",
        "pictures named as Kaggle's, cat.0.jpg, or in a folder per class; without it some are drawn", &data},
       {.name = "--edition",
        .help = "of the book: the 2nd has --test 1000",
        .variable = &edition,
        .choices = {"1", "2"}},
       {"--train", "N", "pictures of each class, from number 0 on", &counts[0], 1, 1e9},
       {"--validation", "N", "those that follow", &counts[1], 1, 1e9},
       {"--test", "N", "and those behind them", &counts[2], 1, 1e9},
       {.name = "--copy",
        .help = "copies; else they are hard links, which take no room, where the disk is the same",
        .variable = &copy},
       {"--run-dir", "DIR", "the folder that is made", &run_dir},
       {.name = "--overwrite", .help = "replaces a subset that lies there", .variable = &overwrite}});
  if (!flags.parse(argc, argv)) return flags.print_help();
  if (edition == "2" && !flags.given("--test")) counts[2] = 1000;
  while (run_dir.size() > 1 && run_dir.ends_with('/')) run_dir.pop_back();
  check_place(run_dir, overwrite);

  // All is made beside it and put in its place when it is whole.
  const std::string partial = run_dir + ".partial", replaced = run_dir + ".replaced";
  struct Cleaner {
    std::string path;
    ~Cleaner() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  } const cleaner{partial};
  fs::remove_all(partial);
  make_directories(partial);
  const std::string drawn = partial + "/drawn", from = data.empty() ? drawn : data;
  if (data.empty()) {
    std::printf("No --data was given: 20 balloons and 20 kites are drawn\n");
    draw_pictures(drawn);
    for (const auto& [name, i, count] :
         {std::tuple{"--train", 0, 10}, {"--validation", 1, 5}, {"--test", 2, 5}})
      if (!flags.given(name)) counts[static_cast<std::size_t>(i)] = count;
  }

  const Classes classes = find_pictures(from);
  Json names = Json::array();
  std::size_t links = 0, copies = 0;
  for (const auto& [label, pictures] : classes) {
    names.push_back(label);
    std::size_t next = 0;
    const auto chosen =
        first_pictures(label, pictures, static_cast<std::size_t>(counts[0] + counts[1] + counts[2]));
    for (std::size_t subset = 0; subset < 3; ++subset) {
      const std::string folder = partial + "/" + subsets[subset] + "/" + label;
      make_directories(folder);
      const std::string first = chosen[next].name;
      for (std::int64_t i = 0; i < counts[subset]; ++i, ++next)
        ++(place(chosen[next].path, folder + "/" + chosen[next].name, !copy) ? links : copies);
      std::printf("%-12s %-12s %6lld: %s to %s\n", subsets[subset], label.c_str(),
                  static_cast<long long>(counts[subset]), first.c_str(), chosen[next - 1].name.c_str());
    }
  }
  fs::remove_all(drawn);
  Json config = flags.json();
  config["classes"] = std::move(names);
  config["version"] = STRATA_VERSION;
  write_file_atomically(partial + "/subset.json", config.dump(2) + "\n");
  const bool replaces = fs::exists(run_dir) && !fs::is_empty(run_dir);
  if (replaces) {
    fs::remove_all(replaced);
    fs::rename(run_dir, replaced);
  }
  fs::rename(partial, run_dir);
  if (replaces) fs::remove_all(replaced);
  std::printf(
      "\nIn %s: %zu hard links, %zu copies\nTo train on it: bash examples/run small_convnet --data %s\n",
      run_dir.c_str(), links, copies, run_dir.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return examples::run("make_subset", [&] { make_subset(argc, argv); });
}
