// Numbers on the command line.
#include <gtest/gtest.h>

#include "host/numbers.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

TEST(Numbers, CountsAreTakenAsPeopleWriteThem) {
  EXPECT_EQ(parse_count("0"), 0);
  EXPECT_EQ(parse_count("1000"), 1000);
  EXPECT_EQ(parse_count("1_000_000"), 1'000'000);
  EXPECT_EQ(parse_count("10k"), 10'000);
  EXPECT_EQ(parse_count("10M"), 10'000'000);
  EXPECT_EQ(parse_count("2.5M"), 2'500'000);
  EXPECT_EQ(parse_count("3G"), 3'000'000'000);
  EXPECT_EQ(parse_count("1T"), 1'000'000'000'000);
  EXPECT_EQ(parse_count("1e9"), 1'000'000'000);
  EXPECT_EQ(parse_count("1.5E+3"), 1500);
  EXPECT_EQ(parse_count("2.000"), 2);
  EXPECT_EQ(parse_count("2^30"), int64_t{1} << 30);
  EXPECT_EQ(parse_count("1^1000000000000"), 1);
  EXPECT_EQ(parse_count("9223372036854775807"), INT64_MAX);
}

TEST(Numbers, OtherCountsAreRefused) {
  for (const char* text : {"",
                           "-1",
                           "+1",
                           "1.5",
                           "1e-3",
                           "1e19",
                           "1e99999999999",
                           "2^63",
                           "9223372036854775808",
                           "10X",
                           "k",
                           "1 000",
                           "1,000",
                           "_1",
                           "1_",
                           "1__0",
                           "1.2.3",
                           "0x10",
                           "2^",
                           "2^1.5",
                           "1.5^2",
                           "1e",
                           "inf",
                           "nan",
                           "9223372036854775807k",
                           "10KiB"}) {
    EXPECT_THROW(parse_count(text), UsageError) << text;
  }
}

TEST(Numbers, BytesHaveUnitsOf1024And1000) {
  EXPECT_EQ(parse_bytes("4096"), 4096);
  EXPECT_EQ(parse_bytes("512M"), int64_t{512} << 20);
  EXPECT_EQ(parse_bytes("2GiB"), int64_t{2} << 30);
  EXPECT_EQ(parse_bytes("2gb"), 2'000'000'000);
  EXPECT_EQ(parse_bytes("1.5GB"), 1'500'000'000);
  EXPECT_EQ(parse_bytes("1.3k"), 1331);  // rounded down
  EXPECT_EQ(parse_bytes("1e9"), 1'000'000'000);
  EXPECT_EQ(parse_bytes("2^30"), int64_t{1} << 30);
}

TEST(Numbers, OtherBytesAreRefused) {
  for (const char* text : {"", "M", "1X", "-1M", "1MBB", "10000000T", "1 M"}) {
    EXPECT_THROW(parse_bytes(text), UsageError) << text;
  }
}

}  // namespace
}  // namespace doppel
