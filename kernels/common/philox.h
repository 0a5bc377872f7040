// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1,
// 2, 3" (SC 2011); bit for bit Random123's philox4x32 with 10 rounds. Portable code (portable.h).
//
//   philox_row(row, stream, key)        what all blocks of a row share
//   philox_block(row, block, key, out)  four words of one block, as random.h numbers them
//   philox_blocks_of_row(...)           of one row, a block a lane
//   philox(counter, key)                one block from any counter: a plain function for the host
//   philox_words(seed, row, block, stream)   the same, numbered as random.h does
//
// The first two of the ten rounds multiply only words that do not depend on the block, so a row that needs many blocks
// pays eight rounds a block.
#include "kernels/common/portable.h"

#if !defined(DOPPEL_PHILOX_ONCE)
#define DOPPEL_PHILOX_ONCE

#include <array>

namespace doppel {

struct PhiloxKey {
  uint32_t low = 0, high = 0;  // of the seed
};
DOPPEL_HOST_DEVICE PhiloxKey philox_key(uint64_t seed) {
  return {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
}

inline constexpr uint32_t kPhiloxMultiplier0 = 0xD2511F53u, kPhiloxMultiplier1 = 0xCD9E8D57u;
inline constexpr uint32_t kPhiloxWeyl0 = 0x9E3779B9u, kPhiloxWeyl1 = 0xBB67AE85u;

// The keys of the ten rounds, ready for the lanes: made once for many blocks.
template <class L>
struct PhiloxKeys {
  typename L::Words low[10], high[10];
};

template <class L>
struct PhiloxRow {
  typename L::Words high1, low1, low0;  // products of the first two rounds
  uint32_t row_high, stream;
};

}  // namespace doppel
#endif

#if defined(DOPPEL_SIMD) ? defined(DOPPEL_PHILOX_TOGGLE) == defined(HWY_TARGET_TOGGLE) : !defined(DOPPEL_PHILOX_TOGGLE)
#ifdef DOPPEL_PHILOX_TOGGLE
#undef DOPPEL_PHILOX_TOGGLE
#else
#define DOPPEL_PHILOX_TOGGLE
#endif

DOPPEL_PORTABLE_BEGIN

template <class L>
DOPPEL_PORTABLE PhiloxKeys<L> philox_keys(PhiloxKey key) {
  PhiloxKeys<L> keys;
  for (uint32_t round = 0; round < 10; ++round) {
    keys.low[round] = L::set_words(key.low + round * kPhiloxWeyl0);
    keys.high[round] = L::set_words(key.high + round * kPhiloxWeyl1);
  }
  return keys;
}

// row_low: the low words of kLanes row numbers that share one high word.
template <class L>
DOPPEL_PORTABLE PhiloxRow<L> philox_row(typename L::Words row_low, uint32_t row_high, uint32_t stream, PhiloxKey key) {
  PhiloxRow<L> row;
  typename L::Words high0;
  L::multiply_wide(row_low, kPhiloxMultiplier0, high0, row.low0);
  L::multiply_wide(L::exclusive_or(high0, L::set_words(stream ^ key.high)), kPhiloxMultiplier1, row.high1, row.low1);
  row.row_high = row_high;
  row.stream = stream;
  return row;
}

// kBlocks consecutive blocks side by side: independent chains for the processor to overlap.
template <class L, int kBlocks>
DOPPEL_PORTABLE void philox_blocks(const PhiloxRow<L>& row, uint32_t block, PhiloxKey key, const PhiloxKeys<L>& keys,
                                   typename L::Words out[kBlocks][4]) {
  using Words = typename L::Words;
  DOPPEL_UNROLL(4)
  for (int i = 0; i < kBlocks; ++i) {  // rounds 0 and 1: scalars where no lane differs
    const uint64_t product1 = static_cast<uint64_t>(kPhiloxMultiplier1) * (block + static_cast<uint32_t>(i));
    const uint32_t scalar0 = static_cast<uint32_t>(product1 >> 32) ^ row.row_high ^ key.low;
    const uint64_t product0 = static_cast<uint64_t>(kPhiloxMultiplier0) * scalar0;
    out[i][0] = L::exclusive_or(row.high1, L::set_words(static_cast<uint32_t>(product1) ^ (key.low + kPhiloxWeyl0)));
    out[i][1] = row.low1;
    out[i][2] =
        L::exclusive_or(row.low0, L::set_words(static_cast<uint32_t>(product0 >> 32) ^ (key.high + kPhiloxWeyl1)));
    out[i][3] = L::set_words(static_cast<uint32_t>(product0));
  }
  DOPPEL_UNROLL(8)
  for (int round = 2; round < 10; ++round) {
    DOPPEL_UNROLL(4)
    for (int i = 0; i < kBlocks; ++i) {
      Words high0, low0, high1, low1;
      L::multiply_wide(out[i][0], kPhiloxMultiplier0, high0, low0);
      L::multiply_wide(out[i][2], kPhiloxMultiplier1, high1, low1);
      out[i][0] = L::exclusive_or(high1, out[i][1], keys.low[round]);
      out[i][1] = low1;
      out[i][2] = L::exclusive_or(high0, out[i][3], keys.high[round]);
      out[i][3] = low0;
    }
  }
}

template <class L>
DOPPEL_PORTABLE void philox_block(const PhiloxRow<L>& row, uint32_t block, PhiloxKey key, const PhiloxKeys<L>& keys,
                                  typename L::Words out[4]) {
  typename L::Words blocks[1][4];
  philox_blocks<L, 1>(row, block, key, keys, blocks);
  for (int word = 0; word < 4; ++word) out[word] = blocks[0][word];
}

// Of one row, kLanes consecutive blocks from `block` on, one a lane.
template <class L>
DOPPEL_PORTABLE void philox_blocks_of_row(uint64_t row, uint32_t block, uint32_t stream, const PhiloxKeys<L>& keys,
                                          typename L::Words out[4]) {
  out[0] = L::set_words(static_cast<uint32_t>(row));
  out[1] = L::set_words(static_cast<uint32_t>(row >> 32));
  out[2] = L::consecutive_words(block);
  out[3] = L::set_words(stream);
  for (int round = 0; round < 10; ++round) {
    typename L::Words high0, low0, high1, low1;
    L::multiply_wide(out[0], kPhiloxMultiplier0, high0, low0);
    L::multiply_wide(out[2], kPhiloxMultiplier1, high1, low1);
    out[0] = L::exclusive_or(high1, out[1], keys.low[round]);
    out[1] = low1;
    out[2] = L::exclusive_or(high0, out[3], keys.high[round]);
    out[3] = low0;
  }
}

DOPPEL_PORTABLE_END
#endif

#if !defined(DOPPEL_SIMD) && !defined(DOPPEL_PHILOX_PLAIN_ONCE)
#define DOPPEL_PHILOX_PLAIN_ONCE
#include "kernels/random.h"

namespace doppel {

// Four words: Random123's philox4x32(counter, key).
inline std::array<uint32_t, 4> philox(const std::array<uint32_t, 4>& counter, const std::array<uint32_t, 2>& key) {
  const PhiloxKey words{key[0], key[1]};
  const auto row = portable::philox_row<PlainLanes>(counter[0], counter[1], counter[3], words);
  std::array<uint32_t, 4> out;
  portable::philox_block<PlainLanes>(row, counter[2], words, portable::philox_keys<PlainLanes>(words), out.data());
  return out;
}

inline std::array<uint32_t, 4> philox_words(uint64_t seed, uint64_t row, uint32_t block, Stream stream) {
  return philox({static_cast<uint32_t>(row), static_cast<uint32_t>(row >> 32), block, static_cast<uint32_t>(stream)},
                {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
}

}  // namespace doppel
#endif
