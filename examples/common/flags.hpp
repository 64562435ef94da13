#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include <strata/core/error.hpp>
#include <strata/io/json.hpp>

namespace examples {

/// A command line that cannot be understood.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A run was stopped by SIGINT and is saved in `run_dir`.
struct Interrupted {
  std::string run_dir;
};

/// One flag with a value; a switch (bool) alone means yes. What the variable holds before parsing is the
/// default that --help shows.
struct Flag {
  std::string name;        ///< "--epochs"
  std::string value = {};  ///< what --help calls its value, "N"
  std::string help = {};
  std::variant<std::string*, std::int64_t*, std::uint64_t*, double*, bool*> variable = {};
  double least = std::numeric_limits<double>::lowest(), most = std::numeric_limits<double>::max();
  std::vector<std::string> choices = {};  ///< texts allowed; none: any
  bool given = false;
};

/// The flags without those of these names.
inline std::vector<Flag> without(std::vector<Flag> flags, const std::vector<std::string_view>& names) {
  for (const std::string_view name : names)
    std::erase_if(flags, [&](const Flag& flag) { return flag.name == name; });
  return flags;
}

class Flags {
 public:
  /// `operands` is what --help calls the words that belong to no flag, "MODEL PICTURES..."; "": none may
  /// stand.
  Flags(std::string program, std::string purpose, std::vector<Flag> flags, std::string operands = "")
      : program_(std::move(program)),
        purpose_(std::move(purpose)),
        flags_(std::move(flags)),
        usage_(std::move(operands)) {}

  /// The words that belong to no flag.
  const std::vector<std::string>& operands() const { return operands_; }

  /// Sets the variables from `--name value` and `--name=value`. Returns false where --help was asked for.
  /// Throws UsageError.
  bool parse(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      const std::string_view word = argv[i];
      if (word == "--help" || word == "-h") return false;
      if (!usage_.empty() && !word.starts_with("--")) {
        operands_.emplace_back(word);
        continue;
      }
      const std::size_t equals = word.find('=');
      Flag& flag = find(word.substr(0, equals));
      const bool alone = equals == word.npos, is_switch = std::holds_alternative<bool*>(flag.variable);
      if (alone && !is_switch && i + 1 == argc) throw UsageError(flag.name + " needs a value");
      set(flag, !alone ? word.substr(equals + 1) : is_switch ? "yes" : argv[++i]);
    }
    return true;
  }

  bool given(std::string_view name) { return find(name).given; }

  /// The values by name, "batch_size"; whole numbers that a JSON number cannot hold as text.
  strata::Json json() const {
    strata::Json out = strata::Json::object();
    for (const Flag& flag : flags_) {
      const std::string name = key(flag);
      std::visit(
          [&](const auto* variable) {
            if constexpr (std::is_same_v<decltype(variable), const std::uint64_t*>)
              out[name] = strata::concat(*variable);
            else
              out[name] = *variable;
          },
          flag.variable);
    }
    return out;
  }

  /// Gives flags that were not given the values that `json` once told. Throws UsageError where one that was
  /// given, and is not among `free`, has another.
  void restore(const strata::Json& values, const std::string& source,
               const std::vector<std::string_view>& free) {
    const strata::Json now = json();
    for (Flag& flag : flags_) {
      const strata::Json* kept = values.find(key(flag));
      if (!kept || (flag.given && std::find(free.begin(), free.end(), flag.name) != free.end())) continue;
      const bool same = *kept == now.at(key(flag));
      if (flag.given && !same)
        throw UsageError(strata::concat(flag.name, " is ", now.at(key(flag)).dump(), ", but '", source,
                                        "' has ", kept->dump()));
      if (!same)
        set(flag, kept->is_string() ? kept->as_string()
                  : kept->is_bool() ? (kept->as_bool() ? "yes" : "no")
                                    : kept->dump());
      flag.given = true;
    }
  }

  void print_help() const {
    std::printf("%s\n\nusage: bash examples/run %s %s[FLAGS]\n\n", purpose_.c_str(), program_.c_str(),
                usage_.empty() ? "" : (usage_ + " ").c_str());
    for (const Flag& flag : flags_) {
      std::string value = flag.value;
      for (const std::string& choice : flag.choices) value += (value.empty() ? "" : "|") + choice;
      const bool is_switch = std::holds_alternative<bool*>(flag.variable);
      const std::string standard = text(flag), head = flag.name + (is_switch ? "[=yes|no]" : " " + value);
      std::printf("  %-28s %s%s\n", head.c_str(), flag.help.c_str(),
                  standard.empty() ? "" : (" (default " + standard + ")").c_str());
    }
    std::printf("  %-28s this text\n", "--help");
  }

 private:
  Flag& find(std::string_view name) {
    for (Flag& flag : flags_)
      if (flag.name == name) return flag;
    throw UsageError(strata::concat("unknown flag '", name, "'"));
  }

  /// Its name in JSON: "batch_size" for --batch-size.
  static std::string key(const Flag& flag) {
    std::string name = flag.name.substr(2);
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
  }

  static void set(Flag& flag, std::string_view text) {
    flag.given = true;
    std::visit([&](auto* variable) { assign(flag, text, *variable); }, flag.variable);
  }
  static void assign(const Flag& flag, std::string_view text, std::string& variable) {
    std::string allowed;
    for (const std::string& choice : flag.choices) {
      if (choice == text) allowed.clear();
      if (choice == text) break;
      allowed += (allowed.empty() ? "" : " or ") + choice;
    }
    if (!allowed.empty())
      throw UsageError(strata::concat(flag.name, " takes ", allowed, ", found '", text, "'"));
    if (text.empty()) throw UsageError(flag.name + " takes a value, found ''");
    variable = text;
  }
  static void assign(const Flag& flag, std::string_view text, bool& variable) {
    variable = text == "yes";
    if (!variable && text != "no")
      throw UsageError(strata::concat(flag.name, " takes yes or no, found '", text, "'"));
  }
  template <class Number>
  static void assign(const Flag& flag, std::string_view text, Number& variable) {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    bool good = error == std::errc{} && end == text.data() + text.size();
    if constexpr (std::is_floating_point_v<Number>) good = good && std::isfinite(number);
    const Flag any;
    std::string range;
    if (flag.least != any.least) range += strata::concat(" of at least ", flag.least);
    if (flag.most != any.most) range += strata::concat(" and at most ", flag.most);
    const auto size = static_cast<double>(number);
    if (!good || size < flag.least || size > flag.most)
      throw UsageError(strata::concat(flag.name, " takes ",
                                      std::is_integral_v<Number> ? "a whole number" : "a number", range,
                                      ", found '", text, "'"));
    variable = number;
  }
  static std::string text(const Flag& flag) {
    if (const auto* on = std::get_if<bool*>(&flag.variable)) return **on ? "yes" : "no";
    return std::visit([](const auto* variable) { return strata::concat(*variable); }, flag.variable);
  }

  std::string program_, purpose_;
  std::vector<Flag> flags_;
  std::string usage_;
  std::vector<std::string> operands_;
};

/// Runs an example's body. Errors become one message on stderr; the result is the exit code: 2 for a wrong
/// command line, 130 where SIGINT ended the run, 1 for everything else that went wrong.
template <class Body>
int run(const char* program, Body body) {
  try {
    body();
    if (std::fflush(stdout) == 0) return 0;
    std::fprintf(stderr, "%s: the output cannot be written\n", program);
  } catch (const UsageError& error) {
    std::fprintf(stderr, "%s: %s; --help explains the flags\n", program, error.what());
    return 2;
  } catch (const Interrupted& interrupted) {
    std::fprintf(stderr, "\n%s: stopped and saved; to go on: bash examples/run %s --resume --run-dir '%s'\n",
                 program, program, interrupted.run_dir.c_str());
    return 130;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: there is not enough memory for this\n", program);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", program, error.what());
  }
  return 1;
}

}  // namespace examples
