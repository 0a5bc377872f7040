#include "engine/image/label_choice.h"

#include <gtest/gtest.h>

#include "engine/batch.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

const std::vector<std::string> kDigits = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
const std::vector<double> kShares = {.1, .3, 0, .1, .1, .1, .1, .1, .05, .05};

std::string refusal(const std::string& choice, const std::vector<std::string>& names) {
  try {
    choose_labels(choice, names, std::vector<double>(std::max<size_t>(names.size(), 1), 1.0));
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(LabelChoice, AsDataKeepsTheSharesAndBalancedMakesAllAlike) {
  EXPECT_EQ(choose_labels("as-data", kDigits, kShares), kShares);
  EXPECT_EQ(choose_labels("balanced", kDigits, kShares), std::vector<double>(10, 1.0));
}

TEST(LabelChoice, RangesAndListsTakeNamesInTheModelsOrder) {
  EXPECT_EQ(choose_labels("7", kDigits, kShares), (std::vector<double>{0, 0, 0, 0, 0, 0, 0, 1, 0, 0}));
  EXPECT_EQ(choose_labels("0..9", kDigits, kShares), std::vector<double>(10, 1.0));
  EXPECT_EQ(choose_labels("1..2,2,9", kDigits, kShares), (std::vector<double>{0, 1, 1, 0, 0, 0, 0, 0, 0, 1}));
}

TEST(LabelChoice, ANameThatLooksLikeARangeOrAListIsStillAName) {
  const std::vector<std::string> names = {"a", "a..c", "b,c", "c"};
  EXPECT_EQ(choose_labels("a..c", names, {}), (std::vector<double>{0, 1, 0, 0}));
  EXPECT_EQ(choose_labels("b,c", names, {}), (std::vector<double>{0, 0, 1, 0}));
  EXPECT_EQ(choose_labels("a,c", names, {}), (std::vector<double>{1, 0, 0, 1}));
}

TEST(LabelChoice, RefusesWhatNoModelCouldMean) {
  EXPECT_NE(refusal("10", kDigits).find("no label '10'"), std::string::npos);
  EXPECT_NE(refusal("9..0", kDigits).find("backwards"), std::string::npos);
  EXPECT_NE(refusal("", kDigits).find("no label ''"), std::string::npos);
  EXPECT_NE(refusal("1,,2", kDigits).find("no label ''"), std::string::npos);
  EXPECT_NE(refusal("3", {}).find("without labels"), std::string::npos);
  EXPECT_EQ(refusal("as-data", {}), "");
}

TEST(Batch, ImagesLieAlignedBehindTheColumns) {
  OutputSchema schema;
  schema.columns.emplace_back().schema.name = "label";
  EXPECT_EQ(Batch(schema, 3).images(), nullptr);
  schema.image = {3, 5, 7};
  Batch batch(schema, 3);
  EXPECT_EQ(Batch::bytes(schema, 3), size_t{64 + 320});  // 3 x 4 and 3 x 105, each to a multiple of 64
  const auto* images = reinterpret_cast<std::byte*>(batch.images());
  EXPECT_EQ(images - static_cast<std::byte*>(batch.buffer(0).values), 64);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(images) % 64, 0u);
}

}  // namespace
}  // namespace doppel
