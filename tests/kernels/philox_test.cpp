// Philox against Random123's known answers, and the block form against the plain one.
#include "kernels/common/philox.h"

#include <gtest/gtest.h>

namespace doppel {
namespace {

using Counter = std::array<uint32_t, 4>;
using Key = std::array<uint32_t, 2>;

TEST(Philox, KnownAnswersOfRandom123) {  // kat_vectors of Random123 1.14, philox4x32 10
  EXPECT_EQ(philox(Counter{0, 0, 0, 0}, Key{0, 0}), (Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(Counter{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, Key{0xffffffff, 0xffffffff}),
            (Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(Counter{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, Key{0xa4093822, 0x299f31d0}),
            (Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// The textbook form: ten equal rounds.
Counter philox_by_the_book(Counter counter, Key key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key = {key[0] + 0x9E3779B9, key[1] + 0xBB67AE85};
  }
  return counter;
}

TEST(Philox, HoistedRoundsAgreeWithTheTextbookForm) {
  Counter counter{1, 2, 3, 4};
  for (int i = 0; i < 10000; ++i) {
    const Key key{counter[0] ^ 5, counter[3]};
    const Counter next = philox(counter, key);
    ASSERT_EQ(next, philox_by_the_book(counter, key));
    counter = next;
  }
}

}  // namespace
}  // namespace doppel
