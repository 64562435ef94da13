#include <catch2/catch.hpp>

#define main small_convnet_main
#include "../../examples/small_convnet.cpp"
#undef main

#include <map>
#include <set>

#include <support/skip.hpp>
#include <support/temporary_directory.hpp>

#include "example.hpp"

using Catch::Contains;

namespace {

/// A page read strictly: every element is closed, every attribute quoted, every & begins an entity.
class Page {
 public:
  explicit Page(std::string html) : html_(std::move(html)) {
    REQUIRE(take("<!DOCTYPE html>"));
    std::vector<std::string> open;
    while (at_ < html_.size()) {
      if (take("</")) {
        REQUIRE_FALSE(open.empty());
        REQUIRE(name() == open.back());
        open.pop_back();
        REQUIRE(take(">"));
      } else if (take("<")) {
        Element element{name(), {}};
        while (take(" ")) {
          const std::string key = name();
          REQUIRE(take("=\""));
          REQUIRE(element.attributes.emplace(key, text("\"")).second);
          REQUIRE(take("\""));
        }
        const bool empty = take("/>");
        if (!empty) REQUIRE(take(">"));
        if (!empty) open.push_back(element.name);
        if (element.name == "style") at_ = html_.find("</style>", at_);
        elements_.push_back(std::move(element));
      } else {
        text_ += text("<");
      }
    }
    REQUIRE(open.empty());
  }

  struct Element {
    std::string name;
    std::map<std::string, std::string> attributes;
  };
  std::vector<Element> all(const std::string& name) const {
    std::vector<Element> out;
    for (const Element& element : elements_)
      if (element.name == name) out.push_back(element);
    return out;
  }
  /// All that stands between the tags.
  const std::string& text() const { return text_; }

 private:
  bool take(std::string_view what) {
    if (html_.compare(at_, what.size(), what) != 0) return false;
    at_ += what.size();
    return true;
  }
  std::string name() {
    const std::size_t begin = at_;
    while (at_ < html_.size() && (std::isalnum(static_cast<unsigned char>(html_[at_])) || html_[at_] == '-'))
      ++at_;
    REQUIRE(at_ > begin);
    return html_.substr(begin, at_ - begin);
  }
  std::string text(std::string_view end) {
    std::string out;
    while (at_ < html_.size() && html_[at_] != end[0]) {
      REQUIRE((html_[at_] != '<' && html_[at_] != '>'));
      if (html_[at_] != '&') {
        out += html_[at_++];
        continue;
      }
      bool known = false;
      for (const auto& [entity, c] : {std::pair{"&amp;", '&'}, std::pair{"&lt;", '<'}, std::pair{"&gt;", '>'},
                                      std::pair{"&quot;", '"'}, std::pair{"&#39;", '\''}})
        if (!known && take(entity)) known = true, out += c;
      REQUIRE(known);
    }
    return out;
  }

  std::string html_, text_;
  std::size_t at_ = 0;
  std::vector<Element> elements_;
};

/// The pictures of a page, decoded.
std::vector<Tensor<std::uint8_t>> pictures(const Page& page) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<Tensor<std::uint8_t>> out;
  for (const auto& element : page.all("img")) {
    const std::string& source = element.attributes.at("src");
    REQUIRE_THAT(source, Catch::StartsWith("data:image/"));
    CHECK_FALSE(element.attributes.at("alt").empty());
    std::vector<std::uint8_t> bytes;
    unsigned bits = 0, count = 0;
    for (std::size_t i = source.find(',') + 1; i < source.size() && source[i] != '='; ++i) {
      REQUIRE(digits.find(source[i]) != digits.npos);
      bits = bits << 6 | static_cast<unsigned>(digits.find(source[i]));
      if ((count += 6) >= 8) bytes.push_back(static_cast<std::uint8_t>(bits >> (count -= 8)));
    }
    out.push_back(decode_image(bytes));
    CHECK(element.attributes.at("width") == std::to_string(out.back().shape()[1]));
    CHECK(element.attributes.at("height") == std::to_string(out.back().shape()[0]));
  }
  return out;
}

void numbers_of(const Json& json, std::set<std::string>& out) {
  if (json.is_number()) out.insert(json.dump());
  if (json.is_array())
    for (const Json& item : json.as_array()) numbers_of(item, out);
  if (json.is_object())
    for (const auto& [name, item] : json.as_object()) numbers_of(item, out);
}

const char* const hostile = "<script>alert('x')</script> & \"quotes\"";

/// A run that nobody made.
examples::Report invented() {
  examples::Report report{
      .run_dir = std::string("runs/") + "a<b>&\"c\"'", .network = hostile, .device = hostile};
  report.config = Json::object({{"data", hostile}, {"epochs", 2}, {"augment", true}, {hostile, ""}});
  report.metrics = Json::parse(
      R"({"train": {"loss": 0.5, "accuracy": 0.75}, "validation": {"loss": 0.6, "accuracy": 0.7},
          "test": {"loss": 0.55, "accuracy": 0.7125, "accuracy_ci95": [0.6, 0.8]},
          "phases": {"<phase>": {"seconds": 1.5, "images_per_second": 100}}, "peak_memory_bytes": 123456789})");
  for (int epoch = 0; epoch < 3; ++epoch) {
    Logs logs;
    for (const char* name : {"loss", "accuracy", "val_loss", "val_accuracy"})
      logs.set(name, 0.5 + 0.1 * (epoch != 1));
    report.history.add(epoch, logs);
  }
  report.charts = examples::RunDirectory::charts(report.history);
  report.trained_weights = 1234567;
  report.weights = 12345678;
  report.test_pictures = 1000;
  return report;
}

}  // namespace

TEST_CASE("Bytes are written in base64") {
  for (const auto& [bytes, text] :
       {std::pair{"", ""}, std::pair{"f", "Zg=="}, std::pair{"fo", "Zm8="}, std::pair{"foo", "Zm9v"},
        std::pair{"foob", "Zm9vYg=="}, std::pair{"fooba", "Zm9vYmE="}, std::pair{"foobar", "Zm9vYmFy"},
        std::pair{"\xFF\xFE\xFB", "//77"}})
    CHECK(examples::base64(bytes) == text);
}

TEST_CASE("A report shows texts of users as they are and runs none of them") {
  examples::Report report = invented();
  report.wrong = 1;
  report.most_wrong = {{.picture = Tensor<std::uint8_t>({20, 30, 3}),
                        .heat_map = {},
                        .file = hostile,
                        .label = hostile,
                        .predicted = "<i>",
                        .label_score = 0.0001,
                        .predicted_score = 0.9999}};
  const std::string html = report_html(report);
  const Page page(html);
  CHECK(page.all("script").empty());
  CHECK(page.all("i").empty());
  std::size_t times = 0;
  for (std::size_t at = 0; (at = page.text().find(hostile, at)) != std::string::npos; ++at) ++times;
  CHECK(times == 8);  // network and device twice each, a flag's name, another's value, the file and the class
  CHECK_THAT(page.text(), Contains("a<b>&\"c\"'") && Contains("<i>") && Contains("<phase>"));
  CHECK(page.all("img").at(0).attributes.at("alt") == std::string(hostile) + ", taken for <i>");
  CHECK_THAT(page.text(), Contains("1,234,567") && Contains("12,345,678") && Contains("not given"));
  CHECK_THAT(page.text(), Contains("1 of 1,000 test pictures is taken for another class"));
  CHECK_THAT(page.text(), Contains("Best epoch2of 3"));
  CHECK(pictures(page).at(0) == Tensor<std::uint8_t>({20, 30, 3}));
}

TEST_CASE("A report without a mistake, and without augmentation, says so") {
  const Page page(report_html(invented()));
  CHECK_THAT(page.text(), Contains("All 1,000 test pictures are told right"));
  CHECK_THAT(page.text(), !Contains("Augmented"));
  CHECK(page.all("img").empty());
}

TEST_CASE("A run's report holds its numbers and pictures, and nothing from elsewhere") {
  const TemporaryDirectory directory;
  for (const std::string edition : {"1", "2"}) {
    INFO("edition " << edition);
    const std::string folder = directory / ("run" + edition + "/");
    // Another epoch count than that of the first run: the second replaces all.
    for (const char* epochs : {"1", "2"})
      call(small_convnet, tiny_run(directory.path(), "run" + edition,
                                   {"--input-size", "96", "--edition", edition, "--augment", "--epochs",
                                    epochs, "--overwrite"}));
    const std::string html = read_file(folder + "report.html");
    const Page page(html);
    CHECK(html.size() < 2'000'000);
    CHECK_THAT(html, !Contains("http"));
    CHECK_THAT(html, !Contains("@import") && !Contains("url("));
    CHECK((page.all("script").empty() && page.all("link").empty() && page.all("iframe").empty()));
    CHECK(page.all("svg").size() == 2);
    CHECK_THAT(page.text(),
               Contains("of 2 by validation loss") && Contains("--input-size96") &&
                   Contains(edition == "1" ? "model of the last epoch" : "model of the best epoch"));

    std::set<std::string> expected, found;
    numbers_of(Json::parse(read_file(folder + "metrics.json")), expected);
    CHECK(expected.size() >= 10);
    for (const auto& element : page.all("data")) found.insert(element.attributes.at("value"));
    for (const std::string& number : expected) {
      INFO(number);
      CHECK(found.contains(number));
    }

    // Wrong pictures and their heat maps; three training pictures and five changes of each.
    const Classifier classifier = Classifier::load(folder + "deploy.safetensors");
    const char* const names[] = {"balloons", "kites"};
    std::size_t wrong = 0;
    for (std::size_t c = 0; c < 2; ++c)
      for (const char* file : {"000.jpg", "001.jpg"}) {
        const std::string path = concat("test/", names[c], "/", file);
        const bool is_wrong = classifier(directory / ("pictures/" + path)).top()[0].label != names[c];
        wrong += is_wrong;
        INFO(path);
        CHECK((page.text().find(path) != std::string::npos) == is_wrong);
      }
    const auto shown = pictures(page);
    REQUIRE(shown.size() == 2 * wrong + 3 * 6);
    for (const auto& picture : shown) CHECK(picture.shape() == Shape{96, 96, 3});
    for (std::size_t row = 0; row < 3; ++row)
      for (std::size_t i = 1; i < 6; ++i)
        CHECK_FALSE(shown[2 * wrong + 6 * row + i] == shown[2 * wrong + 6 * row + i - 1]);
  }
}

TEST_CASE("A browser shows a report whole, on a narrow screen too") {
  if (std::system("command -v chromium > /dev/null") != 0) STRATA_SKIP("chromium is not installed");
  const TemporaryDirectory directory;
  examples::Report report = invented();
  report.wrong = 3;
  for (int i = 0; i < 3; ++i)
    report.most_wrong.push_back({.picture = Tensor<std::uint8_t>({150, 150, 3}),
                                 .heat_map = Tensor<std::uint8_t>({150, 150, 3}),
                                 .file = std::string(80, 'x') + ".jpg",
                                 .label = "a_class_with_a_long_name_without_any_space",
                                 .predicted = "another"});
  report.augmented = {std::vector<Tensor<std::uint8_t>>(6, Tensor<std::uint8_t>({28, 28, 1}))};
  std::string html = report_html(report);
  // Tells what the browser made of the page; a window is not as narrow as a telephone, a frame is.
  html.insert(
      html.rfind("</body>"),
      "<script>addEventListener('load', () => parent.postMessage([document.documentElement.scrollWidth, "
      "[...document.images].filter(i => i.naturalWidth > 0 && i.clientWidth > 8).length, "
      "document.querySelectorAll('svg path').length > 0].join(' '), '*'))</script>");
  directory.write("report.html", html);
  for (const char* width : {"360", "1200"}) {
    const std::string frame =
        directory.write("frame.html", concat("<title></title><script>onmessage = e => document.title = "
                                             "e.data</script><iframe src=\"report.html\" width=\"",
                                             width, "\" height=\"800\" frameborder=\"0\"></iframe>"));
    const std::string dump = directory / "dump.html";
    const std::string command =
        concat("timeout 60 chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir=",
               directory / "profile", " --window-size=1400,900 --virtual-time-budget=5000 --dump-dom file://",
               frame, " > ", dump, " 2> ", directory / "errors");
    REQUIRE(std::system(command.c_str()) == 0);
    CHECK_THAT(read_file(dump), Contains(concat("<title>", width, " 12 true</title>")));
  }
}
