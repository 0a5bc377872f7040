// One 64-bit lane a number: its eight digits, a byte each, are found by multiplications in all lanes at once, then the
// lane is shifted left by the leading zeros, opened for the dot and moved up for the sign. The same steps as
// write_decimal's, which takes a number at a time.
#include "host/encoders/csv_digits.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/encoders/csv_digits.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstring>

#include "host/encoders/csv_lanes-inl.h"

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
struct Texts {
  Vector low, high, length;  // bytes 0 to 7, bytes 8 to 15, without separator
};

template <bool kHasDot, bool kKeepsZeros>
HWY_INLINE Texts texts_of(Vector magnitude, Vector is_negative, int decimals) {
  const Vector digits = eight_digits(magnitude);
  const Vector significant = nonzero_digits(digits);
  // The digit before the dot stays, whatever it is.
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
      const Vector last = bytes_to_last(significant);
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
  HWY_ALIGN uint64_t low[kMostLanes], high[kMostLanes], length[kMostLanes];
  const hn::RebindToSigned<Lanes> signed_lanes;
  const hn::Rebind<int32_t, Lanes> narrow;
  const auto lanes = static_cast<int64_t>(hn::Lanes(kLanes));
  char* text = slots.text;
  uint8_t* lengths = slots.lengths;
  for (int64_t row = 0; row < rows; row += lanes) {
    const int64_t count = HWY_MIN(lanes, rows - row);
    const auto wide = hn::PromoteTo(signed_lanes, load_some(narrow, values + row, count));
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
