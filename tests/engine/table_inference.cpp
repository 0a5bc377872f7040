// Which kind a column's cells make it, case by case.
#include <gtest/gtest.h>

#include "engine/table/profile.h"
#include "engine/table/table.h"
#include "kernels/common/error.h"
#include "tests/engine/memory_table.h"

namespace doppel {
namespace {

using Texts = std::vector<std::string>;

struct Inferred {
  ColumnSchema schema;
  ColumnProfile profile;
};

Inferred infer(const Texts& texts, const ProfileOptions& options = {}) {
  MemoryTable source = MemoryTable::of_texts({texts});
  const TableProfile profile = profile_table(source, options);
  return {profile.schema.columns.at(0), profile.columns.at(0)};
}
ColumnKind kind(const Texts& texts) {
  return infer(texts).schema.kind;
}
// `texts` over and over, `rows` in all.
Texts repeated(const Texts& texts, size_t rows) {
  Texts result;
  for (size_t row = 0; row < rows; ++row) result.push_back(texts[row % texts.size()]);
  return result;
}

TEST(TableInference, IntegersWithGapsStayIntegers) {
  const Inferred column = infer({"1", "", "5", "-3", "NA", "5"});
  EXPECT_EQ(column.schema.kind, ColumnKind::kInteger);
  EXPECT_EQ(column.schema.decimals, 0);
  EXPECT_TRUE(column.schema.has_missing);
  EXPECT_EQ(column.profile.cleaning.missing, 2);
  EXPECT_EQ(column.profile.present, 4);
  EXPECT_EQ(column.profile.distribution.quanta, (std::vector<int64_t>{-3, 1, 5}));
  EXPECT_EQ(column.profile.distribution.counts, (std::vector<int64_t>{1, 1, 2}));
}

TEST(TableInference, WholeNumbersWrittenWithAPointStayWhole) {
  const Inferred column = infer({"65.0", "", "7.0", "100.0"});
  EXPECT_EQ(column.schema.kind, ColumnKind::kInteger);
  EXPECT_EQ(column.schema.decimals, 1);
  EXPECT_TRUE(column.schema.keeps_trailing_zeros);
  EXPECT_EQ(column.profile.distribution.quanta, (std::vector<int64_t>{7, 65, 100}));
  EXPECT_EQ(infer({"65.0", "7", "8"}).schema.decimals, 0);
}

TEST(TableInference, DecimalsKeepTheirZerosWhereAllHaveThem) {
  const Inferred keeps = infer({"1.50", "2.25", "-0.10"});
  EXPECT_EQ(keeps.schema.kind, ColumnKind::kDecimal);
  EXPECT_EQ(keeps.schema.decimals, 2);
  EXPECT_TRUE(keeps.schema.keeps_trailing_zeros);
  EXPECT_EQ(keeps.profile.distribution.quanta, (std::vector<int64_t>{-10, 150, 225}));
  EXPECT_FALSE(infer({"1.5", "2.25", "-0.10"}).schema.keeps_trailing_zeros);
  EXPECT_FALSE(infer({"1.51", "2.25", "3"}).schema.keeps_trailing_zeros);
  EXPECT_FALSE(infer({"1.51", "2.25"}).schema.keeps_trailing_zeros);
}

TEST(TableInference, LongFractionsAndExponentsAreReal) {
  for (const char* cell : {"0.1234567890123", "1e-300", "2.5E3", "+1.5"}) {
    const Inferred column = infer({"1", cell, "2.5"});
    EXPECT_EQ(column.schema.kind, ColumnKind::kReal) << cell;
    EXPECT_EQ(column.profile.distribution.reals.size(), 3u) << cell;
  }
}

TEST(TableInference, CodesAreNotNumbers) {
  for (const char* cell : {"007", "1,234", "0x1F", "1_000", "+4912345678", "1 000", "123456789012345678901234567890"}) {
    EXPECT_EQ(kind({"1", "2", cell, "3"}), ColumnKind::kCategory) << cell;
  }
}

TEST(TableInference, TrueAndFalseInAnySpellingAreBoolean) {
  for (const Texts& pair : {Texts{"false", "true"}, {"FALSE", "TRUE"}, {"No", "Yes"}, {"f", "t"}, {"N", "Y"}}) {
    const Inferred column = infer({pair[1], pair[0], "", pair[1]});
    EXPECT_EQ(column.schema.kind, ColumnKind::kBoolean);
    EXPECT_EQ(column.schema.levels, pair);
    EXPECT_EQ(column.profile.level_counts, (std::vector<int64_t>{1, 2}));
  }
  EXPECT_EQ(kind({"yes", "false", "yes"}), ColumnKind::kCategory);
  EXPECT_EQ(kind({"0", "1", "1"}), ColumnKind::kInteger);
}

TEST(TableInference, FindsDatetimeFormats) {
  const std::vector<std::pair<Texts, std::string>> cases = {
      {{"2015-03-01", "2016-12-31"}, "%Y-%m-%d"},
      {{"2015/03/01", "2016/12/31"}, "%Y/%m/%d"},
      {{"31.12.2015", "01.02.2016"}, "%d.%m.%Y"},
      {{"12/31/2015", "01/02/2016"}, "%m/%d/%Y"},
      {{"01/02/2016", "31/12/2015"}, "%d/%m/%Y"},
      {{"2015-03-01 10:20", "2016-12-31 23:59"}, "%Y-%m-%d %H:%M"},
      {{"2015-03-01T10:20:30Z", "2016-12-31T23:59:59Z"}, "%Y-%m-%dT%H:%M:%SZ"},
      {{"2015-03-01 10:20:30.125", "2016-12-31 23:59:59.500"}, "%Y-%m-%d %H:%M:%S.%f"},
      {{"10:20", "23:59"}, "%H:%M"},
      {{"2015-03", "2016-12"}, "%Y-%m"},
      {{"2015-03-01T10:20:30+02:00", "2016-12-31T23:59:59+02:00"}, "%Y-%m-%dT%H:%M:%S+02:00"},
  };
  for (const auto& [texts, format] : cases) {
    const Inferred column = infer(texts);
    EXPECT_EQ(column.schema.kind, ColumnKind::kDatetime) << format;
    EXPECT_EQ(column.schema.datetime_format, format);
    EXPECT_EQ(column.profile.cleaning.note, "") << format;
  }
}

TEST(TableInference, DatesWithoutLeadingZeros) {
  const std::vector<std::pair<Texts, std::string>> cases = {
      {{"1/2/2015", "12/31/2015"}, "%-m/%-d/%Y"},
      {{"1/2/2015", "31/12/2015"}, "%-d/%-m/%Y"},
      {{"1.12.2015", "31.11.2015", "30.11.2015"}, ""},
      {{"1.12.2015", "30.11.2015"}, "%-d.%-m.%Y"},  // no month below 10: as the day
      {{"1.02.2015", "30.11.2015"}, "%-d.%m.%Y"},
      {{"2015-1-2", "2015-12-31"}, "%Y-%-m-%-d"},
      {{"2015-1", "2015-12"}, "%Y-%-m"},
      {{"9:05", "10:00"}, "%-H:%M"},
      {{"2015-01-02 9:05:00", "2015-01-02 10:00:00"}, "%Y-%m-%d %-H:%M:%S"},
      {{"13/1/2015 10:05", "13/1/2015 11:05"}, "%-d/%-m/%Y %-H:%M"},
      {{"13/10/2015 10:05", "14/11/2015 11:05"}, "%d/%m/%Y %H:%M"},
      {{"1/2/2015", "01/13/2015"}, "%m/%d/%Y"},  // both ways
      {{"10/2/2015 09:00", "10/2/2015 9:00", "10/13/2015 9:00"}, "%m/%d/%Y %H:%M"},
  };
  for (const auto& [texts, format] : cases) {
    EXPECT_EQ(infer(texts).schema.datetime_format, format) << texts[0];
  }
}

TEST(TableInference, YearsOfTwoDigitsWhereOneOrderFits) {
  const std::vector<std::pair<Texts, std::string>> cases = {
      {{"01/31/69", "12/01/68"}, "%m/%d/%y"},
      {{"31/01/69", "01/12/68"}, "%d/%m/%y"},
      {{"69-01-31", "68-12-01"}, "%y-%m-%d"},
      {{"5/31/15", "12/1/16"}, "%-m/%-d/%y"},
      {{"05.06.07", "12.12.15"}, "%d.%m.%y"},  // no other order after a dot
      {{"99-1-5", "98-12-31"}, "%y-%-m-%-d"},
      {{"5/31/05 9:15", "12/1/16 10:15"}, "%-m/%-d/%y %-H:%M"},
      {{"05/06/07", "06/07/08"}, ""},  // any order
      {{"5/6/07", "6/7/08"}, ""},      // day or month first
      {{"31/12/15", "30/11/16"}, ""},  // could be 2031-12-15
      {{"05/31/69", "5/30/69"}, ""},   // zeros both ways
      {{"29.02.00", "29.02.01"}, ""},  // 2001 has no such day
      {{"05/31/69 10:00:00.5", "05/30/69 10:00:00.25"}, ""},
      {{"5/6/7", "5/6/8"}, ""},
      {{"5/31/2015", "5/31/15"}, ""},
  };
  for (const auto& [texts, format] : cases) {
    const Inferred column = infer(texts);
    EXPECT_EQ(column.schema.kind, format.empty() ? ColumnKind::kCategory : ColumnKind::kDatetime) << texts[0];
    EXPECT_EQ(column.schema.datetime_format, format) << texts[0];
    EXPECT_EQ(column.profile.cleaning.note, "") << texts[0];
  }
  // 1969-01-31 and 2068-12-01
  EXPECT_EQ(infer(cases[0].first).profile.distribution.quanta, (std::vector<int64_t>{-335, 36129}));
  EXPECT_EQ(infer(cases[2].first).profile.distribution.quanta, (std::vector<int64_t>{-335, 36129}));
}

TEST(TableInference, NamesOfMonths) {
  const std::vector<std::pair<Texts, std::string>> cases = {
      {{"12-Jan-15", "01-Feb-69"}, "%d-%b-%y"},
      {{"12-Jan-2015", "1-Feb-2016"}, "%-d-%b-%Y"},
      {{"3 March 2015", "12 May 2015"}, "%-d %B %Y"},
      {{"3 Mar 2015", "12 May 2015"}, "%-d %b %Y"},
      {{"January 2, 2015", "May 12, 2015"}, "%B %-d, %Y"},
      {{"Jan 02 2015 10:20:30", "May 12 2015 01:02:03"}, "%b %d %Y %H:%M:%S"},
      {{"Mar 2015", "Dec 2016"}, "%b %Y"},
      {{"2015-Mar-02", "2015-Dec-31"}, "%Y-%b-%d"},
      {{"12-Jan-15", "12-March-15"}, ""},
      {{"12-Jan-15", "12-JAN-15"}, ""},
      {{"12-jan-15", "13-jan-15"}, ""},
      {{"12-Jan-15", "12-Jan-2015"}, ""},
      {{"12-Jan-15", "1-Jan-15", "01-Jan-15"}, ""},  // zeros both ways
      {{"30 Feb 2015", "1 Mar 2015"}, ""},
      {{"12 Janx 2015", "13 Jan 2015"}, ""},
      {{"Jan 2, 2015", "Jan 2 2015"}, ""},
      {{"1 02 2015", "2 02 2015"}, ""},
  };
  for (const auto& [texts, format] : cases) {
    const Inferred column = infer(texts);
    EXPECT_EQ(column.schema.kind, format.empty() ? ColumnKind::kCategory : ColumnKind::kDatetime) << texts[0];
    EXPECT_EQ(column.schema.datetime_format, format) << texts[0];
  }
}

TEST(TableInference, SaysWhichWayAnAmbiguousDateIsRead) {
  const Inferred column = infer({"01/02/2016", "03/04/2017"});
  EXPECT_EQ(column.schema.datetime_format, "%m/%d/%Y");
  EXPECT_NE(column.profile.cleaning.note, "");
}

TEST(TableInference, WhatIsNoDateIsText) {
  EXPECT_EQ(kind({"2015-02-29", "2015-03-01"}), ColumnKind::kCategory);
  EXPECT_EQ(kind({"2015-02-28", "2015/03/01"}), ColumnKind::kCategory);
  EXPECT_EQ(kind({"13/13/2015", "01/01/2015"}), ColumnKind::kCategory);
  EXPECT_EQ(kind({"24:00", "10:00"}), ColumnKind::kCategory);
}

TEST(TableInference, ConstantAndEmptyColumns) {
  const Inferred constant = infer({"5", "", "5"});
  EXPECT_EQ(constant.schema.kind, ColumnKind::kConstant);
  EXPECT_EQ(constant.schema.levels, Texts{"5"});
  const Inferred empty = infer({"NA", "", "NA"});
  EXPECT_EQ(empty.schema.kind, ColumnKind::kEmpty);
  EXPECT_EQ(empty.schema.missing_text, "NA");
}

TEST(TableInference, TheMostFrequentSpellingOfALevelIsKept) {
  const Inferred column = infer({" HIV", " HIV", "HIV", " Polio", "Polio ", "Polio "});
  EXPECT_EQ(column.schema.levels, (Texts{" HIV", "Polio "}));
  EXPECT_EQ(column.profile.level_counts, (std::vector<int64_t>{3, 3}));
  EXPECT_EQ(column.profile.cleaning.trimmed, 5);
  EXPECT_EQ(column.profile.cleaning.distinct, 2);
}

TEST(TableInference, AMarkerIsMissingUnlessItIsALevel) {
  // Adult: "?" among words.
  const Inferred work = infer(repeated({"Private", "State-gov", "?", "Private"}, 40));
  EXPECT_EQ(work.schema.missing_text, "?");
  EXPECT_EQ(work.profile.cleaning.missing, 10);
  // Namibia among countries.
  const Inferred countries = infer(repeated({"DE", "FR", "NA", "US", "DE", "ZA"}, 60));
  EXPECT_FALSE(countries.schema.has_missing);
  EXPECT_EQ(countries.schema.levels, (Texts{"DE", "FR", "NA", "US", "ZA"}));
  // NA among words.
  EXPECT_EQ(infer(repeated({"Male", "Female", "NA"}, 30)).profile.cleaning.missing, 10);
  // A frequent "None" is a level, a rare one is not.
  EXPECT_EQ(infer(repeated({"None", "None", "Brick", "Stone"}, 40)).schema.levels, (Texts{"Brick", "None", "Stone"}));
  EXPECT_EQ(
      infer(repeated({"Brick", "Brick", "Stone", "Stone", "None", "Stone", "Brick"}, 70)).profile.cleaning.missing, 10);
  // Rhesus factors.
  EXPECT_EQ(infer(repeated({"+", "-", "+"}, 30)).schema.levels, (Texts{"+", "-"}));
  EXPECT_EQ(infer(repeated({"12", "-", "+3"}, 30)).schema.kind, ColumnKind::kReal);
}

TEST(TableInference, TellsKeysTextsAndCategories) {
  Texts unique, ids, measured, tickets, countries;
  for (int row = 0; row < 2938; ++row) {
    unique.push_back("Name " + std::to_string(row * 7919));
    ids.push_back(std::to_string(row + 1));
    measured.push_back(std::to_string(row * 3 + 10));
    tickets.push_back("PC " + std::to_string(row * 7919 % 1500));
    countries.push_back("Country " + std::to_string(row % 193));
  }
  EXPECT_EQ(kind(unique), ColumnKind::kKey);
  const Inferred sequence = infer(ids);
  EXPECT_EQ(sequence.schema.kind, ColumnKind::kKey);
  EXPECT_TRUE(sequence.profile.key_is_sequence);
  EXPECT_EQ(sequence.profile.first_key, 1);
  EXPECT_EQ(kind(measured), ColumnKind::kInteger);
  EXPECT_EQ(kind(tickets), ColumnKind::kText);
  EXPECT_EQ(kind(countries), ColumnKind::kCategory);
}

TEST(TableInference, NumbersAtTheEndsOfInt64) {
  const Inferred column = infer({"1", "-9223372036854775808", "9223372036854775807"});
  EXPECT_EQ(column.schema.kind, ColumnKind::kInteger);
  EXPECT_EQ(column.profile.distribution.quanta, (std::vector<int64_t>{INT64_MIN, 1, INT64_MAX}));
}

TEST(TableInference, InfinitiesAreMissingNumbers) {
  const Inferred column = infer({"1.5", "inf", "-Infinity", "2.5"});
  EXPECT_EQ(column.schema.kind, ColumnKind::kDecimal);
  EXPECT_EQ(column.profile.cleaning.missing, 2);
}

}  // namespace
}  // namespace doppel
