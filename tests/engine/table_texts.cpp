// Patterns of texts, and the keys and texts made from them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <random>
#include <regex>
#include <set>

#include "engine/table/patterns.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Patterns = std::vector<std::pair<std::string, int64_t>>;

std::shared_ptr<const TextSource> make(ColumnKind kind, const Patterns& patterns, uint32_t column = 0) {
  ColumnSchema schema;
  schema.name = "id";
  schema.kind = kind;
  return make_text_source(schema, {patterns, false, 0}, column);
}
std::string text(const TextSource& source, uint64_t seed, uint64_t row) {
  std::string out;
  source.append(seed, row, out);
  return out;
}
void expect_unique(const TextSource& source, uint64_t rows) {
  std::set<std::string> texts;
  for (uint64_t row = 0; row < rows; ++row) {
    const std::string made = text(source, 7, row);
    EXPECT_LE(made.size(), source.max_bytes());
    EXPECT_TRUE(texts.insert(made).second) << made << " again in row " << row;
  }
}

TEST(TablePatterns, WritesClassesWithCounts) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"DE-0815", "[A-Z]{2}-[0-9]{4}"},
      {"12345", "[1-9][0-9]{4}"},
      {"01234", "[0-9]{5}"},
      {"5", "[1-9]"},
      {"Mr. O'Neill", "[A-Z][a-z]\\. [A-Z]'[A-Z][a-z]{4}"},
      {"550e8400-e29b-41d4-a716-446655440000", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"},
      {"A7X9Q2", "[0-9A-Z]{6}"},
      {"aGVsbGQ", "[A-Za-z]{7}"},
      {"a.b@c.org", "[a-z]\\.[a-z]@[a-z]\\.[a-z]{3}"},
      {"+49 (30) 123", "\\+[0-9]{2} \\([0-9]{2}\\) [0-9]{3}"},
      {"M\xc3\xbcller", "[A-Z]\\p{Latin}[a-z]{4}"},
      {"\xe6\x9d\xb1\xe4\xba\xac", "\\p{Han}{2}"},
      {"\xd0\xb4\xd0\xb0", "\\p{Cyrillic}{2}"},
      {"a\xe2\x80\x93z", "[a-z]\xe2\x80\x93[a-z]"},
      {"{}", "\\{\\}"},
      {"", ""},
  };
  for (const auto& [example, pattern] : cases) EXPECT_EQ(pattern_of(example), pattern) << example;
}

// Whatever the bytes: no letter and no digit of the text is in the pattern, which can be read back.
TEST(TablePatterns, HoldNoLetterAndNoDigit) {
  const std::regex notation(R"(\\[\\^$.|?*+()\[\]{}]|\\p\{[A-Za-z]+\}|\[[^\]]*\]|\{[0-9]+\})");
  std::mt19937_64 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes;
    for (uint64_t length = 1 + random() % 40; length > 0; --length)
      bytes += static_cast<char>(random() % (round % 2 == 0 ? 256 : 128));
    const std::string pattern = pattern_of(bytes);
    ASSERT_NO_THROW(make(ColumnKind::kText, {{pattern, 1}})) << pattern;
    const std::string literals = std::regex_replace(pattern, notation, "");
    EXPECT_TRUE(std::none_of(literals.begin(), literals.end(), [](unsigned char c) { return std::isalnum(c); }))
        << pattern;
  }
}

TEST(TablePatterns, LongTextsAreCut) {
  EXPECT_EQ(pattern_of(std::string(5000, 'x')), "[a-z]{1000}");
}

TEST(TableTexts, FreeTextsHaveThePatternsInTheirShares) {
  const Patterns patterns = {{"[A-Z]{2}-[0-9]{4}", 750}, {"[a-z]{5} \\p{Greek}{3}", 250}};
  const auto source = make(ColumnKind::kText, patterns);
  constexpr int kRows = 20000;
  std::map<std::string, int> counts;
  for (int row = 0; row < kRows; ++row) ++counts[pattern_of(text(*source, 3, static_cast<uint64_t>(row)))];
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_NEAR(counts[patterns[0].first], 0.75 * kRows, 5 * std::sqrt(kRows * 0.75 * 0.25));
  EXPECT_EQ(source->max_bytes(), 12u);
}

TEST(TableTexts, DependOnSeedRowAndColumnOnly) {
  for (const ColumnKind kind : {ColumnKind::kText, ColumnKind::kKey}) {
    const Patterns patterns = {{"[a-z]{12}", 3}, {"[0-9]{9}", 1}};
    const auto source = make(kind, patterns, 4), again = make(kind, patterns, 4), other = make(kind, patterns, 5);
    for (const uint64_t row : {uint64_t{0}, uint64_t{1023}, uint64_t{1024}, uint64_t{1} << 40}) {
      EXPECT_EQ(text(*source, 1, row), text(*again, 1, row));
      EXPECT_NE(text(*source, 1, row), text(*source, 2, row));
      EXPECT_NE(text(*source, 1, row), text(*other, 1, row));
    }
  }
}

TEST(TableTexts, SequencesCountOn) {
  ColumnSchema schema;
  schema.kind = ColumnKind::kKey;
  const auto source = make_text_source(schema, {{}, true, -2}, 0);
  EXPECT_EQ(text(*source, 1, 0), "-2");
  EXPECT_EQ(text(*source, 1, 2), "0");
  EXPECT_EQ(text(*source, 1, 1'000'000'000'000), "999999999998");
  const auto last = make_text_source(schema, {{}, true, INT64_MAX}, 0);
  EXPECT_EQ(text(*last, 1, 1), "9223372036854775808");
}

TEST(TableTexts, KeysAreUniqueAndFillTheirPattern) {
  const auto source = make(ColumnKind::kKey, {{"[A-Z]-[0-9]{3}", 26000}});
  std::set<std::string> texts;
  for (uint64_t row = 0; row < 26000; ++row) {
    const std::string made = text(*source, 9, row);
    EXPECT_EQ(pattern_of(made), "[A-Z]-[0-9]{3}");
    texts.insert(made);
  }
  EXPECT_EQ(texts.size(), 26000u);  // a permutation of all
  EXPECT_EQ(text(*source, 9, 26000).size(), 6u);
}

TEST(TableTexts, KeysStayUniqueBeyondTheirPattern) {
  expect_unique(*make(ColumnKind::kKey, {{"[0-9]{2}", 100}}), 20000);
  expect_unique(*make(ColumnKind::kKey, {{"[1-9]", 9}, {"[1-9][0-9]", 90}}), 20000);
  expect_unique(*make(ColumnKind::kKey, {{"--", 1}}), 3000);
}

TEST(TableTexts, KeysOfOverlappingPatternsAreUnique) {
  expect_unique(*make(ColumnKind::kKey, {{"[0-9]{3}", 5}, {"[1-9][0-9]{2}", 5}, {"[0-9a-f]{3}", 3}, {"[A-Z]{3}", 1}}),
                30000);
  expect_unique(*make(ColumnKind::kKey, {{"[0-9]{4}", 1}, {"[0-9]{5}", 1}, {"[0-9]{6}", 1}}), 50000);
}

TEST(TableTexts, KeysOfHugeSpacesAreUniqueAtFarRows) {
  const auto source = make(ColumnKind::kKey, {{"[0-9a-f]{32}", 1}});
  EXPECT_EQ(source->max_bytes(), 32u);
  std::set<std::string> texts;
  for (uint64_t row = (uint64_t{1} << 61) - 500; row < (uint64_t{1} << 61) + 500; ++row)
    texts.insert(text(*source, 1, row));
  EXPECT_EQ(texts.size(), 1000u);
}

TEST(TableTexts, RefusesWhatIsNoPattern) {
  for (const char* pattern : {"", "abc", "[a-z", "[0-9]{0}", "[0-9]{1001}", "[0-9]{-1}", "[0-9]{2", "\\p{Klingon}",
                              "\\", "\\p", "]", "[0-9]{99999999999999999999}", "[0-9]{600}[a-z]{401}"}) {
    EXPECT_THROW(make(ColumnKind::kText, {{pattern, 1}}), InputError) << pattern;
  }
  EXPECT_THROW(make(ColumnKind::kText, {}), InputError);
  EXPECT_THROW(make(ColumnKind::kKey, {{"[0-9]", 0}}), InputError);
  EXPECT_THROW(make(ColumnKind::kKey, {{"[0-9]", INT64_MAX}, {"[a-z]", 1}}), InputError);
}

}  // namespace
}  // namespace doppel
