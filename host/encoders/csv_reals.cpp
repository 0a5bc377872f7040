// One 64-bit lane a number, x = c 2^q with c < 2^24. As in Schubfach (Raffaello Giulietti, "The Schubfach way to render
// doubles", 2020), with 10^-n <= 2^q < 10^(1-n) the numbers that read back as x span between 1 and 10 units of 10^-n,
// so the shortest decimal is the one multiple of ten units among them, else the nearest multiple of one unit. For the
// magnitudes taken here 0 <= n <= 11 and x 10^n = c 5^n / 2^t, t = -q - n >= 0, where c 5^n < 2^50: one multiplication
// of 32-bit factors is exact, and no power of ten needs to be rounded. Twice the distances to a multiple of a unit are
// even in units of 2^-t, while the span's 5^n is odd: whether its ends belong to it never matters. Below a power of two
// the span is half as wide, which changes the text of none of the 37 powers in this range.
// One core, normal values, AVX2: 8 ns a number with its place in the slot; std::to_chars takes 41 ns,
// libdragonbox 1.1.3 12 ns for the decimal alone and 24 ns for a (scientific) text.
#include "host/encoders/csv_reals.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/encoders/csv_reals.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <array>
#include <cstring>

#include "host/encoders/csv_cells.h"
#include "host/encoders/csv_lanes-inl.h"

#ifndef DOPPEL_CSV_REALS_TABLES
#define DOPPEL_CSV_REALS_TABLES
namespace doppel {
namespace {

constexpr int kFirstExponent = 114, kLastExponent = 150;  // biased: 2^-13 <= |x| < 2^24
constexpr uint64_t kDigits = 9;                           // c 5^n / 2^t < 10 * 2^24
constexpr uint64_t kFewestDigits = 7;                     // ... and >= 2^23
constexpr uint64_t kMostDecimals = 11;

// What an exponent says, packed for a gather: 5^n in the lower half, then a byte each of t, n and `least`. If fewer
// than `least` of the nine digits are left when the zeros at the end are gone, write_real decides: it takes the
// scientific notation where that is shorter, 1e-04 but 0.00012, 1e+05 but 120000.
constexpr uint64_t packed_scale(int exponent) {
  if (exponent == 0) return uint64_t{kDigits - 1} << 40 | uint64_t{255} << 48;  // zero: a digit before the dot
  if (exponent < kFirstExponent || exponent > kLastExponent) return uint64_t{255} << 48;
  const int q = exponent - 150;
  uint64_t five = 1, ten = 1, n = 0;
  for (; ten < uint64_t{1} << -q; ten *= 10, five *= 5) ++n;
  const uint64_t t = static_cast<uint64_t>(-q) - n;
  // x < 2^-10 exactly where n = 11: a single digit after three zeros. Otherwise five zeros before the dot.
  const uint64_t least = n == kMostDecimals ? 3 : n < 5 ? 5 - n : 0;
  return five | t << 32 | n << 40 | least << 48;
}

constexpr auto kScales = [] {
  std::array<uint64_t, 256> scales{};
  for (int exponent = 0; exponent < 256; ++exponent) scales[static_cast<size_t>(exponent)] = packed_scale(exponent);
  return scales;
}();

// Where the bytes of a text come from: nine digits, zeros, sign and dot are lined up in sixteen bytes.
constexpr uint64_t kUpperHalf = 0x2e2d303030303030ull;  // the last digit is added to the first byte
constexpr uint8_t kZeroByte = 9, kSignByte = 14, kDotByte = 15;

struct alignas(16) Pattern {
  uint8_t from[16];
};

constexpr Pattern pattern_of(int decimals, int digits, bool negative) {
  Pattern pattern{};
  size_t size = 0;
  if (negative) pattern.from[size++] = kSignByte;
  for (int place = digits > decimals ? digits - 1 : decimals; place >= 0; --place) {  // of the power of ten
    pattern.from[size++] = place < 9 ? static_cast<uint8_t>(8 - place) : kZeroByte;
    if (place == decimals) pattern.from[size++] = kDotByte;
  }
  while (size < 16) pattern.from[size++] = kZeroByte;
  return pattern;
}

// At 6 n + 2 (digits - kFewestDigits) + negative.
constexpr auto kPatterns = [] {
  std::array<Pattern, 6 * (kMostDecimals + 1)> patterns{};
  for (size_t index = 0; index < patterns.size(); ++index)
    patterns[index] =
        pattern_of(static_cast<int>(index / 6), static_cast<int>(kFewestDigits + index % 6 / 2), index % 2);
  return patterns;
}();

}  // namespace
}  // namespace doppel
#endif

HWY_BEFORE_NAMESPACE();
namespace doppel {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR
bool format(const float*, int64_t, char, const CellSlots&) {
  return false;
}
#else

// All bits where a < b, both below 2^63.
HWY_INLINE Vector is_less(Vector a, Vector b) {
  const hn::RebindToSigned<Lanes> as_signed;  // whose comparison is an instruction
  return hn::BitCast(kLanes, hn::VecFromMask(as_signed, hn::Lt(hn::BitCast(as_signed, a), hn::BitCast(as_signed, b))));
}

// (10 tens + unit) 10^-n
struct Decimal {
  Vector tens, unit;
};

HWY_INLINE Decimal shortest_decimal(Vector significand, Vector five, Vector t) {
  const Vector one = hn::Set(kLanes, 1);
  const Vector scaled = product(significand, five);  // x 10^n in units of 2^-t
  const Vector whole = hn::Shr(scaled, t);
  const Vector tens = hn::ShiftRight<35>(product(whole, 3435973837u));  // whole / 10
  const Vector ten_tens = product(tens, 10);
  // Twice the distances to the multiples of ten below and above.
  const Vector below = hn::ShiftLeft<1>(hn::Sub(scaled, hn::Shl(ten_tens, t)));
  const Vector above = hn::Sub(hn::Shl(hn::Set(kLanes, 20), t), below);
  const Vector takes_below = is_less(below, five), takes_above = is_less(above, five);
  // The nearest, of two as near the even one.
  const Vector half = hn::Sub(hn::Add(hn::Shl(one, t), hn::And(whole, one)), one);
  const Vector nearest = hn::Shr(hn::Add(hn::ShiftLeft<1>(scaled), half), hn::Add(t, one));
  return {hn::Sub(tens, takes_above), hn::AndNot(hn::Or(takes_below, takes_above), hn::Sub(nearest, ten_tens))};
}

struct Texts {
  Vector low, high;  // the bytes that the pattern picks from
  Vector pattern, length;
  Vector is_slow;  // all bits where write_real has to do it
};

HWY_INLINE Texts texts_of(Vector bits) {
  const hn::RebindToSigned<Lanes> as_signed;
  const auto set = [](uint64_t value) HWY_ATTR { return hn::Set(kLanes, value); };
  const Vector magnitude = hn::And(bits, set(0x7fffffff)), is_negative = hn::ShiftRight<31>(bits);
  const Vector scale = hn::GatherIndex(kLanes, kScales.data(), hn::BitCast(as_signed, hn::ShiftRight<23>(magnitude)));
  const Vector five = hn::And(scale, set(0xffffffff)), t = hn::And(hn::ShiftRight<32>(scale), set(255));
  const Vector n = hn::And(hn::ShiftRight<40>(scale), set(255)), least = hn::ShiftRight<48>(scale);
  const Vector significand = hn::Or(hn::And(bits, set(0x7fffff)), set(0x800000));
  const Decimal decimal = shortest_decimal(significand, five, t);

  const Vector low = eight_digits(decimal.tens);
  // The digits up to the last that is not zero. The first of the nine counts, whatever it is.
  const Vector behind_first = hn::Or(hn::ShiftRight<8>(low), hn::ShiftLeft<56>(decimal.unit));
  const Vector last = hn::Add(bytes_to_last(nonzero_digits(behind_first)), set(1));
  const Vector is_slow =
      hn::AndNot(hn::BitCast(kLanes, hn::VecFromMask(kLanes, hn::Eq(magnitude, set(0)))), is_less(last, least));

  const Vector more = hn::Add(hn::ShiftRight<63>(is_less(set(999'999), decimal.tens)),
                              hn::ShiftRight<63>(is_less(set(9'999'999), decimal.tens)));
  const Vector digits = hn::Add(set(kFewestDigits), more);
  const Vector whole = hn::IfVecThenElse(is_less(n, digits), hn::Sub(digits, n), set(1));
  const Vector end = hn::Add(last, n);  // nine more than the digits after the dot
  const Vector fraction = hn::And(is_less(set(kDigits), end), hn::Sub(end, set(kDigits - 1)));  // with dot
  const Vector patterns_before = hn::Add(hn::ShiftLeft<1>(hn::Add(hn::Add(n, hn::ShiftLeft<1>(n)), more)), is_negative);
  return {hn::Or(low, set('0' * kOnes)), hn::Add(decimal.unit, set(kUpperHalf)), patterns_before,
          hn::Add(hn::Add(whole, fraction), is_negative), is_slow};
}

bool format(const float* values, int64_t rows, char separator, const CellSlots& slots) {
  constexpr hn::Full128<uint8_t> kText;
  HWY_ALIGN uint64_t bytes[2 * kMostLanes], pattern[kMostLanes], length[kMostLanes], is_slow[kMostLanes];
  const hn::Rebind<float, Lanes> narrow;
  const hn::Rebind<uint32_t, Lanes> as_bits;
  const auto lanes = static_cast<int64_t>(hn::Lanes(kLanes));
  for (int64_t row = 0; row < rows; row += lanes) {
    const int64_t count = HWY_MIN(lanes, rows - row);
    const auto bits = hn::BitCast(as_bits, load_some(narrow, values + row, count));
    const Texts texts = texts_of(hn::PromoteTo(kLanes, bits));
    hn::StoreInterleaved2(texts.low, texts.high, kLanes, bytes);
    hn::Store(texts.pattern, kLanes, pattern);
    hn::Store(texts.length, kLanes, length);
    hn::Store(texts.is_slow, kLanes, is_slow);
    char* text = slots.text + static_cast<size_t>(row) * slots.row_bytes;
    uint8_t* lengths = slots.lengths + static_cast<size_t>(row) * slots.length_stride;
    for (int64_t lane = 0; lane < count; ++lane, text += slots.row_bytes, lengths += slots.length_stride) {
      const auto from = hn::Load(kText, reinterpret_cast<const uint8_t*>(bytes + 2 * lane));
      const auto order = hn::Load(kText, kPatterns[pattern[lane]].from);
      hn::StoreU(hn::TableLookupBytes(from, order), kText, reinterpret_cast<uint8_t*>(text));
      size_t size = length[lane];
      if (is_slow[lane] != 0) [[unlikely]]
        size = static_cast<size_t>(write_real(values[row + lane], text) - text);
      text[size] = separator;
      *lengths = static_cast<uint8_t>(size + 1);
    }
  }
  return true;
}
#endif

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace doppel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace doppel {

HWY_EXPORT(format);

bool format_float32s(const float* values, int64_t rows, char separator, const CellSlots& slots) {
  return HWY_DYNAMIC_DISPATCH(format)(values, rows, separator, slots);
}

}  // namespace doppel
#endif
