// PlainLanes with what the table sampler needs besides: the scalar path of machines without the vector instructions
// built for, and the odd row elsewhere. std::fma is exactly rounded with or without hardware.
#pragma once

#include "kernels/common/half.h"
#include "kernels/common/portable.h"

namespace doppel {

struct PlainCpuLanes : PlainLanes {
  using Latents = PlainCpuLanes;  // vectors of latents, or parts of one
  using Double = double;
  using Long = int64_t;
  static constexpr int kDoubleLanes = 1;

  using PlainLanes::fused;

  static Words words_of_int(Int i) { return static_cast<uint32_t>(i); }
  static Words consecutive_words(uint32_t first) { return first; }

  static Float load(const float* from) { return *from; }
  static Float load(const uint16_t* from) { return float_of_half(*from); }
  static Int load_int(const int32_t* from) { return *from; }
  template <class Value>
  static void store(Value x, Value* to) {
    *to = x;
  }
  static void load_records(const float* const records[1], Float fields[4]) {
    std::memcpy(fields, records[0], 4 * sizeof(float));
  }
  static void store_records(const Float fields[4], float* records, int64_t) {
    std::memcpy(records, fields, 4 * sizeof(float));
  }
  static void load_pairs(const int32_t* from, Int& first, Int& second) {
    first = from[0];
    second = from[1];
  }

  using PlainLanes::shift_left;
  static Int shift_left(Int a, Int bits) { return static_cast<int32_t>(static_cast<uint32_t>(a) << bits); }

  static Int or_int(Int a, Int b) { return a | b; }
  static Int exclusive_or_int(Int a, Int b) { return a ^ b; }
  static void multiply_full(Int a, Int b, Int& high, Int& low) {
    const uint64_t product = uint64_t{static_cast<uint32_t>(a)} * static_cast<uint32_t>(b);
    high = static_cast<int32_t>(product >> 32);
    low = static_cast<int32_t>(static_cast<uint32_t>(product));
  }
  static Int choose_half(Int x, Int bound, Int halves) {
    const bool less = static_cast<uint32_t>(x) < static_cast<uint32_t>(bound);
    return static_cast<int16_t>(static_cast<uint32_t>(halves) >> (less ? 0 : 16));
  }
  static Int look_up(Int table, Int) { return table; }  // the only lane

  static Int truncate(Float x) { return static_cast<int32_t>(x); }
  template <class Value>
  static Value at_least(Value x, Value low) {
    return x < low ? low : x;
  }
  template <class Value>
  static Value at_most(Value x, Value high) {
    return x > high ? high : x;
  }
  static Int if_at_least(Float x, Float bound, Int yes, Int no) { return x >= bound ? yes : no; }
  static uint32_t bits_where_less(Float x, Float bound) { return x < bound ? 1 : 0; }
  static uint32_t bits_where_negative(Int x) { return x < 0 ? 1 : 0; }

  static Double set_double(double x) { return x; }
  static Double widen(const float* from) { return *from; }
  static Double fused(Double a, Double b, Double c) { return std::fma(a, b, c); }
  static Double round(Double x) { return std::nearbyint(x); }  // ties to even: nobody changes the rounding mode
  static Long truncate(Double x) { return static_cast<int64_t>(x); }
  static void store_narrow(Double x, int32_t* to) { *to = static_cast<int32_t>(x); }
};

}  // namespace doppel
