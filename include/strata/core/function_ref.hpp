#pragma once

#include <type_traits>
#include <utility>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

template <class Signature>
class FunctionRef;

/// A borrowed callable: two pointers, no allocation. Valid while the callable it was made from lives.
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> && std::is_invocable_r_v<R, F&, Args...>)
      FunctionRef(F&& callable)  // implicit, so that lambdas pass as arguments
      : object_(const_cast<void*>(static_cast<const void*>(&callable))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}

  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

}}  // namespace strata::STRATA_ABI
