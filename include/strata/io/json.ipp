#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>

#include <strata/io/json.hpp>
#include <strata/io/utf8.hpp>

namespace strata { inline namespace STRATA_ABI {

// By hand: libstdc++ 12 destroys a variant of these types that it never made where copying one throws.
STRATA_INLINE Json::Json(const Json& other) {
  std::visit(
      [this](const auto& value) {
        auto copy = value;
        value_ = std::move(copy);
      },
      other.value_);
}
STRATA_INLINE Json::Json(Json&&) noexcept = default;
STRATA_INLINE Json& Json::operator=(const Json& other) {
  return *this = Json(other);
}
STRATA_INLINE Json& Json::operator=(Json&&) noexcept = default;
STRATA_INLINE Json::~Json() = default;
STRATA_INLINE bool Json::operator==(const Json& other) const {
  return value_ == other.value_;
}

/// Recursive descent over the text.
class Json::Parser {
 public:
  Parser(std::string_view text, std::string_view source) : text_(text), source_(source) {}

  Json document() {
    Json out = value(0);
    skip_space();
    if (at_ < text_.size()) fail("the end of the text");
    return out;
  }

  void members(FunctionRef<void(std::string, std::string_view)> visit) {
    keep_ = false;
    skip_space();
    if (peek() != '{') fail("an object");
    ++at_;
    if (!take('}')) {
      do {
        std::string name = key();
        skip_space();
        const std::size_t begin = at_;
        value(1);
        visit(std::move(name), text_.substr(begin, at_ - begin));
      } while (take(','));
      if (!take('}')) fail("',' or '}'");
    }
    skip_space();
    if (at_ < text_.size()) fail("the end of the text");
  }

 private:
  static constexpr int max_depth = 128;

  [[noreturn]] void fail(std::string_view expected) const {
    fail_at(at_, concat("expected ", expected, ", found ", found()));
  }
  [[noreturn]] void fail_at(std::size_t at, std::string_view message) const {
    const std::string_view before = text_.substr(0, at);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const std::size_t start = before.rfind('\n') + 1;  // npos + 1 is 0
    throw DataError(concat("[json] ", source_, ":", line, ":", at - start + 1, ": ", message));
  }
  std::string found() const {
    if (at_ >= text_.size()) return "the end of the text";
    const auto c = static_cast<unsigned char>(text_[at_]);
    if (c > 0x20 && c < 0x7F) return concat("'", text_.substr(at_, 1), "'");
    return concat("byte ", static_cast<int>(c));
  }

  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool take_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  Json value(int depth) {
    skip_space();
    switch (peek()) {
      case '{':
      case '[':
        if (depth >= max_depth) fail_at(at_, concat("more than ", max_depth, " levels"));
        return text_[at_] == '{' ? object(depth) : array(depth);
      case '"':
        return Json(string());
      case 't':
        if (take_word("true")) return Json(true);
        break;
      case 'f':
        if (take_word("false")) return Json(false);
        break;
      case 'n':
        if (take_word("null")) return Json();
        break;
      default:
        if (peek() == '-' || is_digit()) return number();
    }
    fail("a value");
  }

  Json object(int depth) {
    const std::size_t begin = at_++;
    Object members;
    if (!take('}')) {
      do {
        std::string name = key();
        Json item = value(depth + 1);
        if (keep_) members.emplace_back(std::move(name), std::move(item));
      } while (take(','));
      if (!take('}')) fail("',' or '}'");
    }
    std::vector<std::string_view> keys;
    for (const Member& member : members) keys.push_back(member.first);
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end())
      fail_at(begin, concat("expected keys that differ, found \"", *twice, "\" twice"));
    return Json(std::move(members));
  }

  std::string key() {
    skip_space();
    if (peek() != '"') fail("a key in quotes");
    std::string out = string();
    if (!take(':')) fail("':'");
    return out;
  }

  Json array(int depth) {
    ++at_;
    Array items;
    if (!take(']')) {
      do {
        Json item = value(depth + 1);
        if (keep_) items.push_back(std::move(item));
      } while (take(','));
      if (!take(']')) fail("',' or ']'");
    }
    return Json(std::move(items));
  }

  bool is_digit() const { return peek() >= '0' && peek() <= '9'; }
  void digits() {
    if (!is_digit()) fail("a digit");
    while (is_digit()) ++at_;
  }

  Json number() {
    const std::size_t begin = at_;
    bool whole = true;
    if (peek() == '-') ++at_;
    if (peek() == '0')
      ++at_;  // no leading zeros: "01" is not a number
    else
      digits();
    if (peek() == '.') whole = false, ++at_, digits();
    if (peek() == 'e' || peek() == 'E') {
      whole = false;
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      digits();
    }
    const char* first = text_.data() + begin;
    const char* last = text_.data() + at_;
    std::int64_t integer = 0;
    if (whole && std::from_chars(first, last, integer).ec == std::errc() && (integer != 0 || *first != '-'))
      return Json(integer);
    double real = 0;
    if (std::from_chars(first, last, real).ec != std::errc())
      fail_at(begin, "expected a number in the range of a double");
    return Json(real);
  }

  std::string string() {
    const std::size_t begin = at_++;
    std::string out;
    for (;;) {
      if (at_ >= text_.size()) fail_at(begin, "the string does not end");
      const char c = text_[at_];
      if (c == '"') return ++at_, out;
      if (c == '\\') {
        escape(out);
      } else if (static_cast<unsigned char>(c) < 0x20) {
        fail("an escape for a control character");
      } else {
        const std::size_t length = utf8_length(text_, at_);
        if (length == 0) fail_at(at_, concat("expected UTF-8, found ", found()));
        out.append(text_, at_, length);
        at_ += length;
      }
    }
  }

  void escape(std::string& out) {
    constexpr std::string_view names = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    const std::size_t begin = at_++;
    const std::size_t index = at_ < text_.size() ? names.find(text_[at_]) : names.npos;
    if (index != names.npos) {
      out += meanings[index];
      ++at_;
    } else if (peek() == 'u') {
      ++at_;
      unsigned code = hex4();
      if (code >= 0xD800 && code < 0xDC00 && take_word("\\u")) {
        const unsigned low = hex4();
        if (low < 0xDC00 || low > 0xDFFF) fail_at(begin, "a high surrogate without a low one");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      }
      if (code >= 0xD800 && code < 0xE000) fail_at(begin, "a surrogate without its pair");
      append_utf8(out, code);
    } else {
      fail("an escape");
    }
  }

  unsigned hex4() {
    unsigned code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) fail("four hexadecimal digits");
      code = code * 16 + static_cast<unsigned>(digit);
    }
    return code;
  }

  static void append_utf8(std::string& out, unsigned code) {
    const auto put = [&](unsigned byte) { out += static_cast<char>(byte); };
    if (code < 0x80) return put(code);
    if (code < 0x800) {
      put(0xC0 | code >> 6);
    } else {
      if (code < 0x10000) {
        put(0xE0 | code >> 12);
      } else {
        put(0xF0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3F));
      }
      put(0x80 | (code >> 6 & 0x3F));
    }
    put(0x80 | (code & 0x3F));
  }

  std::string_view text_, source_;
  std::size_t at_ = 0;
  bool keep_ = true;  // what objects and arrays hold
};

class Json::Writer {
 public:
  explicit Writer(int indent) : indent_(indent) {}

  void value(const Json& json, int level) {
    if (json.is_null()) {
      out += "null";
    } else if (json.is_bool()) {
      out += json.as_bool() ? "true" : "false";
    } else if (json.is_int()) {
      out += std::to_string(json.as_int());
    } else if (json.is_number()) {
      number(json.as_double());
    } else if (json.is_string()) {
      string(json.as_string());
    } else if (json.is_array()) {
      // Lists of plain values (shapes, history) stay on one line.
      const Array& items = json.as_array();
      const bool flat = std::none_of(items.begin(), items.end(),
                                     [](const Json& item) { return item.is_array() || item.is_object(); });
      list('[', ']', items, level, flat, [&](const Json& item) { value(item, level + 1); });
    } else {
      list('{', '}', json.as_object(), level, false, [&](const Member& member) {
        string(member.first);
        out += indent_ ? ": " : ":";
        value(member.second, level + 1);
      });
    }
  }

  std::string out;

 private:
  template <class Items, class Write>
  void list(char open, char close, const Items& items, int level, bool flat, Write write) {
    out += open;
    bool first = true;
    for (const auto& item : items) {
      if (!first) out += flat && indent_ ? ", " : ",";
      first = false;
      if (!flat) new_line(level + 1);
      write(item);
    }
    if (!flat && !items.empty()) new_line(level);
    out += close;
  }
  void new_line(int level) {
    if (indent_ > 0) out.append(1, '\n').append(static_cast<std::size_t>(indent_ * level), ' ');
  }

  void number(double value) {
    require<DataError>(std::isfinite(value), "[json] expected a finite number, found ", value);
    char text[32];
    const char* end = std::to_chars(text, text + sizeof text, value).ptr;
    const std::string_view digits(text, static_cast<std::size_t>(end - text));
    out += digits;
    if (digits.find_first_of(".e") == digits.npos) out += ".0";  // reads back as a double
  }

  void string(std::string_view text) {
    constexpr std::string_view hex = "0123456789abcdef", names = "\"\\bfnrt", meanings = "\"\\\b\f\n\r\t";
    out += '"';
    for (std::size_t i = 0; i < text.size();) {
      const char c = text[i];
      const std::size_t index = meanings.find(c), length = utf8_length(text, i);
      require<DataError>(length > 0, "[json] expected UTF-8, found byte ", static_cast<unsigned char>(c),
                         " at position ", i, " of a string");
      if (index != meanings.npos) {
        out += '\\';
        out += names[index];
      } else if (static_cast<unsigned char>(c) < 0x20) {
        out += "\\u00";
        out += hex[static_cast<unsigned char>(c) >> 4];
        out += hex[c & 15];
      } else {
        out += text.substr(i, length);
      }
      i += length;
    }
    out += '"';
  }

  int indent_;
};

STRATA_COLD STRATA_INLINE Json Json::object(std::initializer_list<Member> members) {
  Json out{Object()};
  for (const Member& member : members) {
    require<DataError>(!out.contains(member.first), "[json] the key \"", member.first, "\" is given twice");
    out[member.first] = member.second;
  }
  return out;
}

STRATA_COLD STRATA_INLINE Json Json::parse(std::string_view text, std::string_view source) {
  return Parser(text, source).document();
}

STRATA_COLD STRATA_INLINE void Json::for_members(std::string_view text, std::string_view source,
                                                 FunctionRef<void(std::string, std::string_view)> visit) {
  Parser(text, source).members(visit);
}

STRATA_COLD STRATA_INLINE std::string Json::dump(int indent) const {
  Writer writer(indent);
  writer.value(*this, 0);
  return std::move(writer.out);
}

STRATA_COLD STRATA_INLINE void Json::wrong_type(std::string_view expected) const {
  std::string found = is_array()     ? concat("an array of ", size())
                      : is_object()  ? concat("an object of ", size())
                      : is<double>() ? concat(as_double())
                                     : dump();
  if (found.size() > 80) found = found.substr(0, 77) + "...";
  throw DataError(concat("[json] expected ", expected, ", found ", found));
}
STRATA_COLD STRATA_INLINE void Json::rethrow_with_key(std::string_view key, const DataError& error) {
  constexpr std::string_view tag = "[json] ";
  std::string_view what = error.what();
  if (what.substr(0, tag.size()) == tag) what.remove_prefix(tag.size());
  throw DataError(concat(tag, "\"", key, "\": ", what));
}

template <class T>
STRATA_COLD const T& Json::expect(const char* expected) const {
  const T* value = std::get_if<T>(&value_);
  if (!value) wrong_type(expected);
  return *value;
}
STRATA_COLD STRATA_INLINE bool Json::as_bool() const {
  return expect<bool>("true or false");
}
STRATA_COLD STRATA_INLINE std::int64_t Json::as_int() const {
  if (const double* real = std::get_if<double>(&value_)) {
    if (std::trunc(*real) == *real && std::fabs(*real) < 0x1p63) return static_cast<std::int64_t>(*real);
  }
  return expect<std::int64_t>("an integer");
}
STRATA_COLD STRATA_INLINE double Json::as_double() const {
  if (is_int()) return static_cast<double>(std::get<std::int64_t>(value_));
  return expect<double>("a number");
}
STRATA_COLD STRATA_INLINE const std::string& Json::as_string() const {
  return expect<std::string>("a string");
}
STRATA_COLD STRATA_INLINE const Json::Array& Json::as_array() const {
  return expect<Array>("an array");
}
STRATA_COLD STRATA_INLINE const Json::Object& Json::as_object() const {
  return expect<Object>("an object");
}

STRATA_COLD STRATA_INLINE const Json* Json::find(std::string_view key) const {
  for (const Member& member : as_object())
    if (member.first == key) return &member.second;
  return nullptr;
}
STRATA_COLD STRATA_INLINE const Json& Json::at(std::string_view key) const {
  if (const Json* found = find(key)) return *found;
  std::string keys;
  for (const Member& member : as_object()) {
    if (keys.size() > 400) {
      keys += ", ...";
      break;
    }
    keys += concat(keys.empty() ? "" : ", ", "\"", member.first, "\"");
  }
  throw DataError(concat("[json] expected a member \"", key, "\", found ", keys.empty() ? "none" : keys));
}
STRATA_COLD STRATA_INLINE const Json& Json::at(std::size_t index) const {
  const Array& items = as_array();
  require<DataError>(index < items.size(), "[json] index ", index, " is outside an array of ", items.size());
  return items[index];
}

STRATA_COLD STRATA_INLINE Json& Json::operator[](std::string_view key) {
  if (is_null()) value_ = Object();
  expect<Object>("an object");
  Object& members = std::get<Object>(value_);
  for (Member& member : members)
    if (member.first == key) return member.second;
  return members.emplace_back(std::string(key), Json()).second;
}
STRATA_COLD STRATA_INLINE void Json::push_back(Json item) {
  if (is_null()) value_ = Array();
  expect<Array>("an array");
  std::get<Array>(value_).push_back(std::move(item));
}

}}  // namespace strata::STRATA_ABI
