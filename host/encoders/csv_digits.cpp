// One 64-bit lane a number: its eight digits, a byte each, are found by multiplications in all lanes at once, then the
// lane is shifted left by the leading zeros, opened for the dot and moved up for the sign. The same steps as
// write_decimal's, which takes a number at a time.
#include "host/encoders/csv_digits.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/encoders/csv_digits.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace doppel {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR
// No vectors, no gain: the caller's own loop does it.
bool format(const int32_t*, int64_t, int, bool, char, const CellSlots&) {
  return false;
}
#else
namespace hn = hwy::HWY_NAMESPACE;
using Lanes = hn::ScalableTag<uint64_t>;
using Vector = hn::Vec<Lanes>;
constexpr Lanes kLanes;

constexpr uint64_t kOnes = 0x0101010101010101ull;  // a byte's lowest bit in every byte

// The digits of value < 10^8, the first in the lowest byte.
HWY_INLINE Vector eight_digits(Vector value) {
  const hn::Repartition<uint32_t, Lanes> in32;
  const hn::Repartition<uint16_t, Lanes> in16;
  const auto even_product = [&](Vector lanes, uint32_t factor)
                                HWY_ATTR { return hn::MulEven(hn::BitCast(in32, lanes), hn::Set(in32, factor)); };
  const Vector high = hn::ShiftRight<45>(even_product(value, 3518437209u));  // value / 10000
  const Vector low = hn::Sub(value, even_product(high, 10000));
  const auto pairs = hn::BitCast(in16, hn::Or(high, hn::ShiftLeft<32>(low)));
  const auto hundreds = hn::ShiftRight<3>(hn::MulHigh(pairs, hn::Set(in16, 5243)));  // x / 100 for x < 10^4
  const auto rests = hn::Sub(pairs, hn::Mul(hundreds, hn::Set(in16, 100)));
  const auto twos = hn::Or(hundreds, hn::BitCast(in16, hn::ShiftLeft<16>(hn::BitCast(in32, rests))));
  const auto tens = hn::MulHigh(twos, hn::Set(in16, 6554));  // x / 10 for x < 100
  const auto units = hn::Sub(twos, hn::Mul(tens, hn::Set(in16, 10)));
  return hn::BitCast(kLanes, hn::Or(tens, hn::ShiftLeft<8>(units)));
}

// How many of each lane's bytes are odd.
HWY_INLINE Vector odd_bytes(Vector lanes) {
  const hn::Repartition<uint8_t, Lanes> in8;
  return hn::SumsOf8(hn::BitCast(in8, hn::And(lanes, hn::Set(kLanes, kOnes))));
}

struct Texts {
  Vector low, high, length;  // bytes 0 to 7, bytes 8 to 15, without separator
};

template <bool kHasDot, bool kKeepsZeros>
HWY_INLINE Texts texts_of(Vector magnitude, Vector is_negative, int decimals) {
  const Vector digits = eight_digits(magnitude);
  // The top bit of each byte whose digit is not zero, and of the digit before the dot, which stays whatever it is.
  const Vector significant = hn::And(hn::Add(digits, hn::Set(kLanes, 0x7f * kOnes)), hn::Set(kLanes, 0x80 * kOnes));
  const Vector kept = hn::Or(significant, hn::Set(kLanes, uint64_t{0x80} << (8 * (7 - decimals))));
  const Vector first = hn::And(kept, hn::Sub(hn::Zero(kLanes), kept));
  const Vector leading = hn::Sub(odd_bytes(hn::Sub(first, hn::Set(kLanes, 1))), hn::Set(kLanes, 1));
  Vector low = hn::Shr(hn::Or(digits, hn::Set(kLanes, '0' * kOnes)), hn::ShiftLeft<3>(leading));
  Vector high = hn::Zero(kLanes);
  Vector length = hn::Sub(hn::Set(kLanes, 8), leading);
  if constexpr (kHasDot) {
    const Vector whole = hn::Sub(length, hn::Set(kLanes, static_cast<uint64_t>(decimals)));  // digits before the dot
    const Vector dot = hn::Shl(hn::Set(kLanes, 1), hn::ShiftLeft<3>(whole));
    const Vector before_dot = hn::And(low, hn::Sub(dot, hn::Set(kLanes, 1)));
    const Vector after_dot = hn::Sub(low, before_dot);
    high = hn::ShiftRight<56>(after_dot);
    low = hn::Or(hn::Or(before_dot, hn::ShiftLeft<8>(after_dot)),
                 hn::And(hn::Sub(hn::ShiftLeft<8>(dot), dot), hn::Set(kLanes, '.' * kOnes)));
    length = hn::Add(length, hn::Set(kLanes, 1));
    if constexpr (!kKeepsZeros) {
      // Digits up to the last that is not zero: its flag spread to all before it.
      Vector flags = hn::Or(significant, hn::ShiftRight<8>(significant));
      flags = hn::Or(flags, hn::ShiftRight<16>(flags));
      flags = hn::Or(flags, hn::ShiftRight<32>(flags));
      const Vector last = odd_bytes(hn::ShiftRight<7>(flags));
      const auto has_fraction = hn::Gt(last, hn::Set(kLanes, static_cast<uint64_t>(8 - decimals)));
      length = hn::IfThenElse(has_fraction, hn::Sub(hn::Add(last, hn::Set(kLanes, 1)), leading), whole);
    }
  }
  // The sign moves all by a byte.
  const Vector sign_bits = hn::And(is_negative, hn::Set(kLanes, 8));
  high = hn::Or(hn::Shl(high, sign_bits), hn::Shr(hn::ShiftRight<1>(low), hn::Sub(hn::Set(kLanes, 63), sign_bits)));
  low = hn::Or(hn::Shl(low, sign_bits), hn::And(is_negative, hn::Set(kLanes, '-')));
  return {low, high, hn::Sub(length, is_negative)};
}

template <bool kHasDot, bool kKeepsZeros>
bool format_lanes(const int32_t* values, int64_t rows, int decimals, char separator, const CellSlots& slots) {
  constexpr size_t kMost = HWY_MAX_BYTES / sizeof(uint64_t);
  HWY_ALIGN uint64_t low[kMost], high[kMost], length[kMost];
  const hn::RebindToSigned<Lanes> signed_lanes;
  const hn::Rebind<int32_t, Lanes> narrow;
  const auto lanes = static_cast<int64_t>(hn::Lanes(kLanes));
  char* text = slots.text;
  uint8_t* lengths = slots.lengths;
  for (int64_t row = 0; row < rows; row += lanes) {
    const int64_t count = HWY_MIN(lanes, rows - row);
    int32_t last[kMost] = {};
    const int32_t* from = values + row;
    if (count < lanes)
      from = static_cast<const int32_t*>(std::memcpy(last, from, static_cast<size_t>(count) * sizeof(int32_t)));
    const auto wide = hn::PromoteTo(signed_lanes, hn::LoadU(narrow, from));
    const Vector magnitude = hn::BitCast(kLanes, hn::Abs(wide));
    const Vector is_negative = hn::BitCast(kLanes, hn::BroadcastSignBit(wide));
    if (!hn::AllFalse(kLanes, hn::Gt(magnitude, hn::Set(kLanes, 99'999'999)))) return false;
    const Texts texts = texts_of<kHasDot, kKeepsZeros>(magnitude, is_negative, decimals);
    hn::Store(texts.low, kLanes, low);
    hn::Store(texts.high, kLanes, high);
    hn::Store(texts.length, kLanes, length);
    for (int64_t lane = 0; lane < count; ++lane, text += slots.row_bytes, lengths += slots.length_stride) {
      std::memcpy(text, &low[lane], 8);
      std::memcpy(text + 8, &high[lane], 8);
      text[length[lane]] = separator;
      *lengths = static_cast<uint8_t>(length[lane] + 1);
    }
  }
  return true;
}

bool format(const int32_t* values, int64_t rows, int decimals, bool keeps_zeros, char separator,
            const CellSlots& slots) {
  if (decimals == 0) return format_lanes<false, true>(values, rows, 0, separator, slots);
  if (keeps_zeros) return format_lanes<true, true>(values, rows, decimals, separator, slots);
  return format_lanes<true, false>(values, rows, decimals, separator, slots);
}
#endif

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace doppel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace doppel {

HWY_EXPORT(format);

bool format_short_numbers(const int32_t* values, int64_t rows, int decimals, bool keeps_trailing_zeros, char separator,
                          const CellSlots& slots) {
  return HWY_DYNAMIC_DISPATCH(format)(values, rows, decimals, keeps_trailing_zeros, separator, slots);
}

}  // namespace doppel
#endif
