#pragma once

#include <strata/core/error.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_COLD STRATA_INLINE void MessagePart::append_to(std::string& out) const {
  switch (kind_) {
    case Kind::text:
      out += text_;
      break;
    case Kind::integer:
      out += std::to_string(integer_);
      break;
    case Kind::natural:
      out += std::to_string(static_cast<std::uint64_t>(integer_));
      break;
    case Kind::real: {
      char text[32];
      __builtin_snprintf(text, sizeof text, "%.9g", real_);
      out += text;
      break;
    }
    case Kind::object:
      out += object_.to_string(object_.that);
      break;
  }
}

[[gnu::noinline]] STRATA_COLD STRATA_INLINE std::string detail::join(
    std::initializer_list<MessagePart> parts) {
  std::string out;
  for (const MessagePart& part : parts) part.append_to(out);
  return out;
}

STRATA_COLD STRATA_INLINE void detail::rethrow_device_error(std::string_view before, std::string_view after) {
  try {
    throw;
  } catch (const OutOfMemoryError& error) {
    throw OutOfMemoryError(concat(before, error.what(), after));
  } catch (const DeviceError& error) {
    throw DeviceError(concat(before, error.what(), after));
  }
}

}}  // namespace strata::STRATA_ABI
