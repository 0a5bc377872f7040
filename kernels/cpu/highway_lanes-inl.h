// HighwayLanes: the lane type (common/portable.h) of the instruction set being compiled, with what the table sampler
// needs besides: memory, gathers, comparisons and doubles. Included once per instruction set.
#include <hwy/highway.h>

// Instruction sets that have them; the others lack fma or are narrower.
#define DOPPEL_HAS_LANES (HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON)

#if defined(DOPPEL_HIGHWAY_LANES_TOGGLE) == defined(HWY_TARGET_TOGGLE)
#ifdef DOPPEL_HIGHWAY_LANES_TOGGLE
#undef DOPPEL_HIGHWAY_LANES_TOGGLE
#else
#define DOPPEL_HIGHWAY_LANES_TOGGLE
#endif

#if DOPPEL_HAS_LANES
HWY_BEFORE_NAMESPACE();
namespace doppel {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Vectors of latents (LatentVector) or parts of one, the wider of the two that there is.
struct HighwayLatents {
  using Tag = hn::CappedTag<float, kVectorLatents>;
  using Float = hn::Vec<Tag>;
  static constexpr int kLanes = hn::MaxLanes(Tag());

  static HWY_INLINE Float set(float x) { return hn::Set(Tag(), x); }
  static HWY_INLINE Float fused(Float a, Float b, Float c) { return hn::MulAdd(a, b, c); }
  static HWY_INLINE Float load(const float* from) { return hn::LoadU(Tag(), from); }
  static HWY_INLINE Float load(const uint16_t* from) {  // half precision
    const hn::Rebind<hwy::float16_t, Tag> half;
    return hn::PromoteTo(Tag(), hn::BitCast(half, hn::LoadU(hn::Rebind<uint16_t, Tag>(), from)));
  }
  static HWY_INLINE void store(Float x, float* to) { hn::StoreU(x, Tag(), to); }
};

struct HighwayLanes {
  using Latents = HighwayLatents;
  using FloatTag = hn::ScalableTag<float>;
  using IntTag = hn::ScalableTag<int32_t>;
  using UnsignedTag = hn::ScalableTag<uint32_t>;
  using DoubleTag = hn::ScalableTag<double>;
  using LongTag = hn::ScalableTag<int64_t>;
  using HalfFloatTag = hn::Half<FloatTag>;
  using HalfIntTag = hn::Half<IntTag>;
  using Float = hn::Vec<FloatTag>;
  using Int = hn::Vec<IntTag>;
  using Wide = hn::Vec<hn::ScalableTag<uint64_t>>;
  using Double = hn::Vec<DoubleTag>;
  using Long = hn::Vec<LongTag>;
  static constexpr int kLanes = HWY_LANES(float);
  static constexpr int kDoubleLanes = kLanes / 2;

  // Even and odd rows apart, each word in the low half of 64 bits: a product needs no shuffle, and what is left in the
  // high halves is never read.
  struct Words {
    Wide even, odd;
  };

  static HWY_INLINE Float set(float x) { return hn::Set(FloatTag(), x); }
  static HWY_INLINE Int set_int(int32_t i) { return hn::Set(IntTag(), i); }
  static HWY_INLINE Words set_words(uint32_t w) {
    const auto wide = hn::BitCast(hn::ScalableTag<uint64_t>(), hn::Set(UnsignedTag(), w));
    return {wide, wide};
  }
  static HWY_INLINE Words words_of_int(Int i) {
    const auto wide = hn::BitCast(hn::ScalableTag<uint64_t>(), i);
    return {wide, hn::ShiftRight<32>(wide)};
  }
  static HWY_INLINE Words consecutive_words(uint32_t first) {
    return words_of_int(hn::BitCast(IntTag(), hn::Iota(UnsignedTag(), first)));
  }

  static HWY_INLINE Float subtract(Float a, Float b) { return hn::Sub(a, b); }
  static HWY_INLINE Float multiply(Float a, Float b) { return hn::Mul(a, b); }
  static HWY_INLINE Float fused(Float a, Float b, Float c) { return hn::MulAdd(a, b, c); }
  static HWY_INLINE Float square_root(Float a) { return hn::Sqrt(a); }
  static HWY_INLINE Float to_float(Int i) { return hn::ConvertTo(FloatTag(), i); }
  static HWY_INLINE Float float_of_bits(Int i) { return hn::BitCast(FloatTag(), i); }
  static HWY_INLINE Int bits_of(Float x) { return hn::BitCast(IntTag(), x); }
  static HWY_INLINE Int add_int(Int a, Int b) { return hn::Add(a, b); }
  static HWY_INLINE Int subtract_int(Int a, Int b) { return hn::Sub(a, b); }
  static HWY_INLINE Int and_int(Int a, Int b) { return hn::And(a, b); }
  static HWY_INLINE Int or_int(Int a, Int b) { return hn::Or(a, b); }
  static HWY_INLINE Int exclusive_or_int(Int a, Int b) { return hn::Xor(a, b); }
  template <int kBits>
  static HWY_INLINE Int shift_left(Int a) {
    return hn::ShiftLeft<kBits>(a);
  }
  static HWY_INLINE Int shift_left(Int a, Int bits) { return hn::Shl(a, bits); }
  template <int kBits>
  static HWY_INLINE Int shift_right(Int a) {
    return hn::BitCast(IntTag(), hn::ShiftRight<kBits>(hn::BitCast(UnsignedTag(), a)));
  }
  template <int kBits>
  static HWY_INLINE Int shift_right_signed(Int a) {
    return hn::ShiftRight<kBits>(a);
  }
  static HWY_INLINE Float flip_sign(Float x, Int sign_bit) { return hn::Xor(x, hn::BitCast(FloatTag(), sign_bit)); }
  static HWY_INLINE Float if_negative(Int condition, Float yes, Float no) {
    return hn::IfNegativeThenElse(hn::BitCast(FloatTag(), condition), yes, no);
  }

  static HWY_INLINE void multiply_wide(Words a, uint32_t b, Words& high, Words& low) {
    const auto factor = hn::Set(UnsignedTag(), b);
    low.even = hn::MulEven(hn::BitCast(UnsignedTag(), a.even), factor);
    low.odd = hn::MulEven(hn::BitCast(UnsignedTag(), a.odd), factor);
    high.even = hn::ShiftRight<32>(low.even);
    high.odd = hn::ShiftRight<32>(low.odd);
  }
  static HWY_INLINE Words exclusive_or(Words a, Words b) { return {hn::Xor(a.even, b.even), hn::Xor(a.odd, b.odd)}; }
  static HWY_INLINE Words exclusive_or(Words a, Words b, Words c) {  // one operation of AVX-512
    return {hn::Xor3(a.even, b.even, c.even), hn::Xor3(a.odd, b.odd, c.odd)};
  }
  static HWY_INLINE Int int_of_words(Words w) {
    return hn::OddEven(hn::BitCast(IntTag(), hn::ShiftLeft<32>(w.odd)), hn::BitCast(IntTag(), w.even));
  }

  static HWY_INLINE void multiply_full(Int a, Int b, Int& high, Int& low) {  // unsigned
    using WideTag = hn::ScalableTag<uint64_t>;
    const auto even = hn::MulEven(hn::BitCast(UnsignedTag(), a), hn::BitCast(UnsignedTag(), b));
    const auto odd = hn::MulEven(hn::BitCast(UnsignedTag(), hn::ShiftRight<32>(hn::BitCast(WideTag(), a))),
                                 hn::BitCast(UnsignedTag(), hn::ShiftRight<32>(hn::BitCast(WideTag(), b))));
    low = hn::OddEven(hn::BitCast(IntTag(), hn::ShiftLeft<32>(odd)), hn::BitCast(IntTag(), even));
    high = hn::OddEven(hn::BitCast(IntTag(), odd), hn::BitCast(IntTag(), hn::ShiftRight<32>(even)));
  }
  // Unsigned x < bound ? the low half of `halves` : the high half, with its sign.
  static HWY_INLINE Int choose_half(Int x, Int bound, Int halves) {
    const auto less = hn::Lt(hn::BitCast(UnsignedTag(), x), hn::BitCast(UnsignedTag(), bound));
    return hn::ShiftRight<16>(hn::IfThenElse(hn::RebindMask(IntTag(), less), hn::ShiftLeft<16>(halves), halves));
  }
  static HWY_INLINE Int look_up(Int table, Int lane) {
    return hn::TableLookupLanes(table, hn::IndicesFromVec(IntTag(), lane));
  }

  // Memory: `load` and `store` need no alignment.
  static HWY_INLINE Float load(const float* from) { return hn::LoadU(FloatTag(), from); }
  static HWY_INLINE Int load_int(const int32_t* from) { return hn::LoadU(IntTag(), from); }
  static HWY_INLINE void store(Float x, float* to) { hn::StoreU(x, FloatTag(), to); }
  static HWY_INLINE void store(Int x, int32_t* to) { hn::StoreU(x, IntTag(), to); }
  static HWY_INLINE void store(Double x, double* to) { hn::StoreU(x, DoubleTag(), to); }
  static HWY_INLINE void store(Long x, int64_t* to) { hn::StoreU(x, LongTag(), to); }
  // Four vectors from kLanes records of four floats: loads and a transposition. Gather instructions lose to it: on Zen
  // 3 a gather of eight takes as long as 24 loads.
  static HWY_INLINE void load_records(const float* const records[kLanes], Float fields[4]) {
    for (int i = 0; i < 4; ++i) fields[i] = load_every_fourth(FloatTag(), records + i);
    transpose_blocks(fields);
  }
  // The reverse, to records `stride` floats apart.
  static HWY_INLINE void store_records(Float fields[4], float* records, int64_t stride) {
    transpose_blocks(fields);
    for (int i = 0; i < 4; ++i) store_every_fourth(FloatTag(), fields[i], records + i * stride, stride);
  }
  // kLanes pairs of integers.
  static HWY_INLINE void load_pairs(const int32_t* from, Int& first, Int& second) {
    const auto low = hn::LoadU(IntTag(), from), high = hn::LoadU(IntTag(), from + kLanes);
    first = hn::ConcatEven(IntTag(), high, low);
    second = hn::ConcatOdd(IntTag(), high, low);
  }

  static HWY_INLINE Int truncate(Float x) { return hn::ConvertTo(IntTag(), x); }
  // low > x ? low : x, and likewise: unlike maxNum they say which zero comes out.
  static HWY_INLINE Float at_least(Float x, Float low) { return hn::IfThenElse(hn::Lt(x, low), low, x); }
  static HWY_INLINE Float at_most(Float x, Float high) { return hn::IfThenElse(hn::Gt(x, high), high, x); }
  static HWY_INLINE Int if_at_least(Float x, Float bound, Int yes, Int no) {
    return hn::IfThenElse(hn::RebindMask(IntTag(), hn::Ge(x, bound)), yes, no);
  }
  // Bit i is 1 where x < bound in lane i.
  static HWY_INLINE uint32_t bits_where_less(Float x, Float bound) {
    return bits_of_mask(FloatTag(), hn::Lt(x, bound));
  }
  static HWY_INLINE uint32_t bits_where_negative(Int x) {
    return bits_of_mask(IntTag(), hn::Lt(x, hn::Zero(IntTag())));
  }

  // Doubles, kDoubleLanes at a time.
  static HWY_INLINE Double set_double(double x) { return hn::Set(DoubleTag(), x); }
  static HWY_INLINE Double widen(const float* from) {
    return hn::PromoteTo(DoubleTag(), hn::LoadU(HalfFloatTag(), from));
  }
  static HWY_INLINE Double fused(Double a, Double b, Double c) { return hn::MulAdd(a, b, c); }
  static HWY_INLINE Double at_least(Double x, Double low) { return hn::IfThenElse(hn::Lt(x, low), low, x); }
  static HWY_INLINE Double at_most(Double x, Double high) { return hn::IfThenElse(hn::Gt(x, high), high, x); }
  static HWY_INLINE Double round(Double x) { return hn::Round(x); }  // ties to even
  static HWY_INLINE Long truncate(Double x) { return hn::ConvertTo(LongTag(), x); }
  static HWY_INLINE void store_narrow(Double x, int32_t* to) {  // whole numbers that fit
    hn::StoreU(hn::DemoteTo(HalfIntTag(), x), HalfIntTag(), to);
  }

 private:
  // In every block of four lanes: lane i of vector j becomes lane j of vector i.
  static HWY_INLINE void transpose_blocks(Float v[4]) {
    const auto ab_low = hn::BitCast(DoubleTag(), hn::InterleaveLower(FloatTag(), v[0], v[1]));
    const auto cd_low = hn::BitCast(DoubleTag(), hn::InterleaveLower(FloatTag(), v[2], v[3]));
    const auto ab_high = hn::BitCast(DoubleTag(), hn::InterleaveUpper(FloatTag(), v[0], v[1]));
    const auto cd_high = hn::BitCast(DoubleTag(), hn::InterleaveUpper(FloatTag(), v[2], v[3]));
    v[0] = hn::BitCast(FloatTag(), hn::InterleaveLower(DoubleTag(), ab_low, cd_low));
    v[1] = hn::BitCast(FloatTag(), hn::InterleaveUpper(DoubleTag(), ab_low, cd_low));
    v[2] = hn::BitCast(FloatTag(), hn::InterleaveLower(DoubleTag(), ab_high, cd_high));
    v[3] = hn::BitCast(FloatTag(), hn::InterleaveUpper(DoubleTag(), ab_high, cd_high));
  }
  template <class Tag>
  static HWY_INLINE uint32_t bits_of_mask(Tag tag, hn::Mask<Tag> mask) {
    uint8_t bytes[8] = {};
    hn::StoreMaskBits(tag, mask, bytes);
    uint32_t bits;
    std::memcpy(&bits, bytes, sizeof bits);
    return bits;
  }
  // records[0], records[4], ...: a block of 128 bits each.
  template <class Tag>
  static HWY_INLINE hn::Vec<Tag> load_every_fourth(Tag tag, const float* const* records) {
    if constexpr (hn::MaxLanes(Tag()) == 4) {
      return hn::LoadU(tag, records[0]);
    } else {
      const hn::Half<Tag> half;
      return hn::Combine(tag, load_every_fourth(half, records + hn::MaxLanes(half)), load_every_fourth(half, records));
    }
  }
  // The blocks of x to records, records + 4 * stride, ...
  template <class Tag>
  static HWY_INLINE void store_every_fourth(Tag tag, hn::Vec<Tag> x, float* records, int64_t stride) {
    if constexpr (hn::MaxLanes(Tag()) == 4) {
      hn::StoreU(x, tag, records);
    } else {
      const hn::Half<Tag> half;
      store_every_fourth(half, hn::LowerHalf(half, x), records, stride);
      store_every_fourth(half, hn::UpperHalf(half, x), records + hn::MaxLanes(half) * stride, stride);
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace doppel
HWY_AFTER_NAMESPACE();
#endif
#endif
