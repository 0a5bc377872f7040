// The language of --where: what is read, what is refused and where, and no text that breaks the parser.
#include "engine/models/mixture/conditions.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr int64_t kLeast = std::numeric_limits<int64_t>::min(), kGreatest = std::numeric_limits<int64_t>::max();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TableSchema schema() {
  TableSchema schema;
  const auto add = [&](const char* name, ColumnKind kind, bool has_missing = false) -> ColumnSchema& {
    ColumnSchema& column = schema.columns.emplace_back();
    column.name = name, column.kind = kind, column.has_missing = has_missing;
    return column;
  };
  add("age", ColumnKind::kInteger);
  add("price", ColumnKind::kDecimal).decimals = 2;
  add("share", ColumnKind::kReal, true);
  add("sex", ColumnKind::kCategory, true).levels = {" Female", " Male", "<=50K", "and"};
  add("Life expectancy ", ColumnKind::kInteger);
  ColumnSchema& day = add("day", ColumnKind::kDatetime);
  day.datetime_format = "%d/%m/%Y", day.unit = TimeUnit::kDay;
  add("id", ColumnKind::kKey, true);
  add("note", ColumnKind::kText);
  add("answer", ColumnKind::kBoolean).levels = {"no", "yes"};
  add("in", ColumnKind::kInteger);
  schema.columns[3].missing_text = "?";
  return schema;
}

using Quanta = std::vector<ValueRange<int64_t>>;
using Reals = std::vector<ValueRange<double>>;

Conditions parse(const std::string& text) {
  return parse_conditions(text, schema());
}
Quanta quanta_of(const std::string& text) {
  return parse(text).at(0).quanta;
}

std::string refusal(const std::string& text) {
  try {
    parse(text);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(Conditions, ComparisonsOfWholeNumbersAreClosedRanges) {
  EXPECT_EQ(quanta_of("age=30"), (Quanta{{30, 30}}));
  EXPECT_EQ(quanta_of("age == 30"), (Quanta{{30, 30}}));
  EXPECT_EQ(quanta_of("age!=30"), (Quanta{{kLeast, 29}, {31, kGreatest}}));
  EXPECT_EQ(quanta_of("age<30"), (Quanta{{kLeast, 29}}));
  EXPECT_EQ(quanta_of("age <= 30"), (Quanta{{kLeast, 30}}));
  EXPECT_EQ(quanta_of("age>-5"), (Quanta{{-4, kGreatest}}));
  EXPECT_EQ(quanta_of("age>=30"), (Quanta{{30, kGreatest}}));
  EXPECT_EQ(quanta_of("age between 20 AND 30"), (Quanta{{20, 30}}));
  EXPECT_EQ(quanta_of("age in {5, 3,5}"), (Quanta{{3, 3}, {5, 5}}));
}

TEST(Conditions, NumbersBetweenThoseAColumnHoldsBoundButAreNeverEqual) {
  EXPECT_EQ(quanta_of("price<3.455"), (Quanta{{kLeast, 345}}));
  EXPECT_EQ(quanta_of("price<=3.455"), (Quanta{{kLeast, 345}}));
  EXPECT_EQ(quanta_of("price>3.455"), (Quanta{{346, kGreatest}}));
  EXPECT_EQ(quanta_of("price>=-3.455"), (Quanta{{-345, kGreatest}}));
  EXPECT_EQ(quanta_of("price=3.4"), (Quanta{{340, 340}}));
  EXPECT_EQ(quanta_of("age<2.5"), (Quanta{{kLeast, 2}}));
  EXPECT_EQ(quanta_of("age>1e3"), (Quanta{{1001, kGreatest}}));
  EXPECT_NE(refusal("price=3.455").find("can never be so"), std::string::npos);
}

TEST(Conditions, NumbersBeyondInt64AreBeyondAllValues) {
  EXPECT_EQ(quanta_of("age<1e300"), (Quanta{{kLeast, kGreatest}}));
  EXPECT_EQ(quanta_of("age>-1e300"), (Quanta{{kLeast, kGreatest}}));
  EXPECT_EQ(quanta_of("price<9223372036854775807"), (Quanta{{kLeast, kGreatest}}));
  EXPECT_EQ(quanta_of("age<=9223372036854775807"), (Quanta{{kLeast, kGreatest}}));
  EXPECT_NE(refusal("age>9223372036854775807"), "");
  EXPECT_NE(refusal("age>1e300"), "");
  EXPECT_NE(refusal("age<-9223372036854775808"), "");
}

TEST(Conditions, RealsExcludeTheirBoundByOneStep) {
  EXPECT_EQ(parse("share<=0.5").at(0).reals, (Reals{{-kInfinity, 0.5}}));
  EXPECT_EQ(parse("share<0.5").at(0).reals, (Reals{{-kInfinity, std::nextafter(0.5, 0)}}));
  EXPECT_EQ(parse("share>0.5 and share<=2").at(0).reals, (Reals{{std::nextafter(0.5, 1), 2}}));
}

TEST(Conditions, DatesAreOfTheColumnsFormatOrIso) {
  EXPECT_EQ(quanta_of("day=31/01/1970"), (Quanta{{30, 30}}));
  EXPECT_EQ(quanta_of("day>=1970-01-31"), (Quanta{{30, kGreatest}}));
  EXPECT_NE(refusal("day=yesterday").find("%d/%m/%Y"), std::string::npos);
}

TEST(Conditions, LevelsAreFoundWithoutBlanksAndCase) {
  const std::vector<bool> female{true, false, false, false};
  EXPECT_EQ(parse("sex=female").at(0).levels, female);
  EXPECT_EQ(parse("sex=' Female'").at(0).levels, female);
  EXPECT_EQ(parse("sex != Male and sex in {male, Female, \"<=50K\"}").at(0).levels,
            (std::vector<bool>{true, false, true, false}));
  EXPECT_EQ(parse("sex='and'").at(0).levels, (std::vector<bool>{false, false, false, true}));
  EXPECT_EQ(parse("answer=yes").at(0).levels, (std::vector<bool>{false, true}));
}

TEST(Conditions, ACellWithoutAValueMeetsIsMissingAlone) {
  EXPECT_FALSE(parse("sex!=Male").at(0).allows_missing);
  EXPECT_FALSE(parse("share<1").at(0).allows_missing);
  EXPECT_FALSE(parse("share is present").at(0).allows_missing);
  EXPECT_EQ(parse("share is present").at(0).reals, (Reals{{-kInfinity, kInfinity}}));
  const ColumnCondition missing = parse("sex is MISSING").at(0);
  EXPECT_TRUE(missing.allows_missing);
  EXPECT_FALSE(missing.allows(int64_t{0}));
  EXPECT_TRUE(parse("id is present").at(0).allows_text);
  EXPECT_TRUE(parse("id is missing").at(0).allows_missing);
}

TEST(Conditions, ColumnsAreFoundAsThePeopleNameThem) {
  EXPECT_EQ(parse("`life expectancy`>60").at(0).column, 4u);
  EXPECT_EQ(parse("'in'=1").at(0).column, 9u);
  const Conditions two = parse("sex=Male and age>1");
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[0].column, 0u);
  EXPECT_EQ(two[1].column, 3u);
}

TEST(Conditions, AQuoteWithinQuotesIsDoubled) {
  EXPECT_NE(refusal("sex='it''s'").find("'it's'"), std::string::npos);
}

struct Refused {
  const char *text, *position, *said;
};

TEST(Conditions, RefusalsSayWhereAndWhat) {
  for (const Refused& refused :
       {Refused{"", "character 1:", "a column is missing before the end"},
        Refused{"age", "character 4:", "comes one of"},
        Refused{"Life expectancy > 5", "character 6:", "is put in quotes"},
        Refused{"age > ", "character 7:", "a value is missing before the end"},
        Refused{"age => 5", "character 5:", "'=>' is none of"},
        Refused{"sex=<=50K", "character 4:", "'=<=' is none of"},
        Refused{"age=5 or age=6", "character 7:", "in {A, B}"},
        Refused{"(age=5)", "character 1:", "no parentheses"},
        Refused{"sex=Male Female", "character 10:", "joined by 'and'"},
        Refused{"age in 5", "character 8:", "'{'"},
        Refused{"age in {5", "character 10:", "'}'"},
        Refused{"age in {}", "character 9:", "a value is missing"},
        Refused{"age is 5", "character 8:", "missing or present"},
        Refused{"age between 5", "character 14:", "'and' of between"},
        Refused{"sex='Male", "character 5:", "never closed"},
        Refused{"agee=5", "character 1:", "did you mean 'age'"},
        Refused{"age=old", "character 5:", "'old' is not a number"},
        Refused{"age=5 and sex=Femal", "character 15:", "did you mean ' Female'"},
        Refused{"sex='?'", "character 5:", "'is missing'"},
        Refused{"sex=missing", "character 5:", "'is missing'"},
        Refused{"sex<Male", "character 1:", "no order"},
        Refused{"id=5", "character 1:", "is a key"},
        Refused{"note=x", "character 1:", "is free text"},
        Refused{"age is missing", "character 1:", "can never be so"},
        Refused{"age>5 and age<3", "character 11:", "beside the conditions before"},
        Refused{"sex is missing and sex=Male", "character 20:", "beside the conditions before"},
        Refused{"age between 5 and 3", "character 1:", "can never be so"}}) {
    const std::string said = refusal(refused.text);
    EXPECT_NE(said.find(refused.position), std::string::npos) << refused.text << " -> " << said;
    EXPECT_NE(said.find(refused.said), std::string::npos) << refused.text << " -> " << said;
  }
}

// Conditions from pieces of the language, a part of them damaged: read or refused with a usage error, nothing else.
TEST(Conditions, NoTextBreaksTheParser) {
  const std::vector<std::string> columns{"age", "sex", "share", "`Life expectancy `", "day", "id", "answer", "price"};
  const std::vector<std::string> relations{"=", "!=", "<", "<=", ">", ">=", " is ", " in {", " between 5 and "};
  const std::vector<std::string> values{
      "5",   "-1e99", "0.5",        "Male", "yes", "missing", "present", "5, 7}",
      "'5'", "\xff",  "2020-01-31", "{,}",  "(",   "and",     "or",      "9223372036854775808"};
  std::mt19937_64 random(7);
  const auto any = [&](const std::vector<std::string>& pieces) { return pieces[random() % pieces.size()]; };
  size_t read = 0, refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = any(columns) + any(relations) + any(values);
    for (size_t i = random() % 3; i-- > 0;) text += " and " + any(columns) + any(relations) + any(values);
    for (size_t i = random() % 2; i-- > 0;) text[random() % text.size()] = static_cast<char>(random());
    if (random() % 4 == 0) text.resize(random() % text.size());
    try {
      for (const ColumnCondition& condition : parse(text)) EXPECT_FALSE(condition.allows_nothing());
      ++read;
    } catch (const UsageError&) {
      ++refused;
    }
  }
  EXPECT_GT(read, 300u);
  EXPECT_GT(refused, 500u);
}

}  // namespace
}  // namespace doppel
