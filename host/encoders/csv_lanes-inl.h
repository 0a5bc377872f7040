// Decimal digits in lanes of 64 bits, a byte each, the first in the lowest byte. Included once per instruction set.
#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

#if defined(DOPPEL_CSV_LANES_TOGGLE) == defined(HWY_TARGET_TOGGLE)
#ifdef DOPPEL_CSV_LANES_TOGGLE
#undef DOPPEL_CSV_LANES_TOGGLE
#else
#define DOPPEL_CSV_LANES_TOGGLE
#endif

HWY_BEFORE_NAMESPACE();
namespace doppel {
namespace HWY_NAMESPACE {
#if HWY_TARGET != HWY_SCALAR

namespace hn = hwy::HWY_NAMESPACE;
using Lanes = hn::ScalableTag<uint64_t>;
using Vector = hn::Vec<Lanes>;
constexpr Lanes kLanes;
constexpr size_t kMostLanes = HWY_MAX_BYTES / sizeof(uint64_t);

constexpr uint64_t kOnes = 0x0101010101010101ull;  // a byte's lowest bit in every byte

// values[0 .. count), zeros in the lanes behind them.
template <class Tag, class Value>
HWY_INLINE hn::Vec<Tag> load_some(Tag tag, const Value* values, int64_t count) {
  if (count >= static_cast<int64_t>(hn::Lanes(tag))) return hn::LoadU(tag, values);
  Value last[kMostLanes] = {};
  std::memcpy(last, values, static_cast<size_t>(count) * sizeof(Value));
  return hn::LoadU(tag, last);
}

// The products of the lower 32 bits.
HWY_INLINE Vector product(Vector lanes, Vector factors) {
  const hn::Repartition<uint32_t, Lanes> in32;
  return hn::MulEven(hn::BitCast(in32, lanes), hn::BitCast(in32, factors));
}

HWY_INLINE Vector product(Vector lanes, uint32_t factor) {
  return product(lanes, hn::Set(kLanes, factor));
}

// The digits of value < 10^8.
HWY_INLINE Vector eight_digits(Vector value) {
  const hn::Repartition<uint32_t, Lanes> in32;
  const hn::Repartition<uint16_t, Lanes> in16;
  const Vector high = hn::ShiftRight<45>(product(value, 3518437209u));  // value / 10000
  const Vector low = hn::Sub(value, product(high, 10000));
  const auto pairs = hn::BitCast(in16, hn::Or(high, hn::ShiftLeft<32>(low)));
  const auto hundreds = hn::ShiftRight<3>(hn::MulHigh(pairs, hn::Set(in16, 5243)));  // x / 100 for x < 10^4
  const auto rests = hn::Sub(pairs, hn::Mul(hundreds, hn::Set(in16, 100)));
  const auto twos = hn::Or(hundreds, hn::BitCast(in16, hn::ShiftLeft<16>(hn::BitCast(in32, rests))));
  const auto tens = hn::MulHigh(twos, hn::Set(in16, 6554));  // x / 10 for x < 100
  const auto units = hn::Sub(twos, hn::Mul(tens, hn::Set(in16, 10)));
  return hn::BitCast(kLanes, hn::Or(tens, hn::ShiftLeft<8>(units)));
}

// The top bit of each byte whose digit is not zero.
HWY_INLINE Vector nonzero_digits(Vector digits) {
  return hn::And(hn::Add(digits, hn::Set(kLanes, 0x7f * kOnes)), hn::Set(kLanes, 0x80 * kOnes));
}

// How many of each lane's bytes are odd.
HWY_INLINE Vector odd_bytes(Vector lanes) {
  const hn::Repartition<uint8_t, Lanes> in8;
  return hn::SumsOf8(hn::BitCast(in8, hn::And(lanes, hn::Set(kLanes, kOnes))));
}

// The bytes of each lane up to the last one whose top bit is set: the bit is spread to all before it.
HWY_INLINE Vector bytes_to_last(Vector flags) {
  flags = hn::Or(flags, hn::ShiftRight<8>(flags));
  flags = hn::Or(flags, hn::ShiftRight<16>(flags));
  flags = hn::Or(flags, hn::ShiftRight<32>(flags));
  return odd_bytes(hn::ShiftRight<7>(flags));
}

#endif
}  // namespace HWY_NAMESPACE
}  // namespace doppel
HWY_AFTER_NAMESPACE();

#endif  // toggle
