// Cells as typed values, errors that say where, schemas as JSON, kinds told by --schema, typed sources.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/table/profile.h"
#include "engine/table/table.h"
#include "kernels/common/error.h"
#include "tests/engine/memory_table.h"

namespace doppel {
namespace {

using Texts = std::vector<std::string>;

template <class Failure = InputError>
std::string message(const std::function<void()>& call) {
  try {
    call();
  } catch (const Failure& error) {
    return error.what();
  }
  return "no error";
}

ColumnSchema column(ColumnKind kind, const std::string& name = "a") {
  ColumnSchema schema;
  schema.name = name;
  schema.kind = kind;
  return schema;
}
Column convert(const Texts& texts, const ColumnSchema& schema) {
  MemoryTable source = MemoryTable::of_texts({texts}, 2);
  return read_table(source, {{schema}}).columns.at(0);
}
std::string conversion_error(const Texts& texts, const ColumnSchema& schema) {
  return message([&] { convert(texts, schema); });
}

// ---- conversion

TEST(TableConversion, NumbersOfEveryForm) {
  const Column integers =
      convert({"1", " -2 ", "3.00", "", "inf", "1e3", "-9223372036854775808"}, column(ColumnKind::kInteger));
  EXPECT_EQ(integers.quanta, (std::vector<int64_t>{1, -2, 3, 0, 0, 1000, INT64_MIN}));
  EXPECT_EQ(integers.missing, (std::vector<uint8_t>{0, 0, 0, 1, 1, 0, 0}));
  ColumnSchema decimal = column(ColumnKind::kDecimal);
  decimal.decimals = 2;
  EXPECT_EQ(convert({"1", "-.5", "1.005", "-1.005", "1.004", "1e-1"}, decimal).quanta,
            (std::vector<int64_t>{100, -50, 101, -101, 100, 10}));
  const Column reals = convert({"1", "0.1", "1e-300", "+2.5", "9007199254740993", "NA"}, column(ColumnKind::kReal));
  EXPECT_EQ(reals.reals, (std::vector<double>{1, 0.1, 1e-300, 2.5, 9007199254740992.0, 0}));
  EXPECT_TRUE(reals.is_missing(5));
}

TEST(TableConversion, NothingMissingMeansNoVector) {
  EXPECT_TRUE(convert({"1", "2", "3"}, column(ColumnKind::kInteger)).missing.empty());
}

TEST(TableConversion, LevelsMarkersAndUnseenTexts) {
  ColumnSchema schema = column(ColumnKind::kCategory);
  schema.levels = {" HIV", "NA", "b"};
  const Column codes = convert({" HIV", "HIV ", "NA", "?", "c", "b"}, schema);
  EXPECT_EQ(codes.codes, (std::vector<int32_t>{0, 0, 1, 0, kUnseenCode, 2}));
  EXPECT_EQ(codes.missing, (std::vector<uint8_t>{0, 0, 0, 1, 0, 0}));
}

TEST(TableConversion, ATextForMissingThatIsANumber) {
  ColumnSchema schema = column(ColumnKind::kInteger);
  schema.has_missing = true;
  schema.missing_text = "-999";
  EXPECT_EQ(convert({"5", "-999", "NA"}, schema).missing, (std::vector<uint8_t>{0, 1, 1}));
}

TEST(TableConversion, TextsKeepTheirBytes) {
  EXPECT_EQ(convert({" x ", "-", "", "None"}, column(ColumnKind::kText)).texts, (Texts{" x ", "", "", ""}));
}

TEST(TableConversion, DatesToTheirUnit) {
  ColumnSchema schema = column(ColumnKind::kDatetime);
  schema.datetime_format = "%Y-%m-%d %H:%M:%S.%f";
  schema.unit = TimeUnit::kMillisecond;
  EXPECT_EQ(convert({"1970-01-02 00:00:01.25", "1969-12-31 23:59:59.999"}, schema).quanta,
            (std::vector<int64_t>{86401250, -1}));
  schema.datetime_format = "%d.%m.%Y";
  schema.unit = TimeUnit::kDay;
  EXPECT_EQ(convert({"29.02.2000", "1.1.1970", "31.12.1969"}, schema).quanta, (std::vector<int64_t>{11016, 0, -1}));
  schema.datetime_format = "%-d.%-m.%y";
  EXPECT_EQ(convert({"29.2.00", "01.01.70", "31.12.69", "31.12.68"}, schema).quanta,
            (std::vector<int64_t>{11016, 0, -1, 36159}));
  schema.datetime_format = "%B %-d, %Y";
  EXPECT_EQ(convert({"February 29, 2000", "May 1, 1970"}, schema).quanta, (std::vector<int64_t>{11016, 120}));
  EXPECT_NE(conversion_error({"Feb 29, 2000"}, schema), "");
  schema.datetime_format = "%-Y";
  EXPECT_THROW(convert({"2000"}, schema), InputError);
}

TEST(TableConversion, ErrorsSayWhereWhatAndWhatToDo) {
  const std::string remedy = " (column 'a'): correct it, or give the column another kind in the schema";
  EXPECT_EQ(conversion_error({"1", "2", "abc"}, column(ColumnKind::kInteger)),
            "t.csv:4:1: 'abc' is not a whole number" + remedy);
  EXPECT_EQ(conversion_error({"1.5"}, column(ColumnKind::kInteger)), "t.csv:2:1: '1.5' is not a whole number" + remedy);
  EXPECT_EQ(conversion_error({"x"}, column(ColumnKind::kReal)), "t.csv:2:1: 'x' is not a number" + remedy);
  EXPECT_EQ(conversion_error({"99999999999999999999"}, column(ColumnKind::kDecimal)),
            "t.csv:2:1: '99999999999999999999' is not a number" + remedy);
  ColumnSchema date = column(ColumnKind::kDatetime);
  date.datetime_format = "%Y-%m-%d";
  date.unit = TimeUnit::kDay;
  EXPECT_EQ(conversion_error({"2015-02-29"}, date),
            "t.csv:2:1: '2015-02-29' is not a date or time of the form %Y-%m-%d" + remedy);
  ColumnSchema flag = column(ColumnKind::kBoolean);
  flag.levels = {"no", "yes"};
  EXPECT_EQ(conversion_error({"no", "maybe"}, flag), "t.csv:3:1: 'maybe' is none of the column's levels" + remedy);
}

TEST(TableConversion, ColumnsAreFoundByNameAndMissingOnesNamed) {
  MemoryTable source = MemoryTable::of_texts({{"1", "2"}, {"x", "y"}});
  const Table table = read_table(source, {{column(ColumnKind::kText, "b"), column(ColumnKind::kInteger, "a")}});
  EXPECT_EQ(table.columns[0].texts, (Texts{"x", "y"}));
  EXPECT_EQ(table.columns[1].quanta, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(message([&] {
              read_table(source, {{column(ColumnKind::kText, "b"), column(ColumnKind::kText, "c")}});
            }),
            "t.csv: lacks the columns 'c' and has columns that the schema does not know: 'a'");
}

TEST(TableConversion, ChunksReuseTheTable) {
  MemoryTable source = MemoryTable::of_texts({{"1", "", "3", "4", "5"}}, 2);
  const TableSchema schema{{column(ColumnKind::kInteger)}};
  source.rewind();
  Table table;
  std::vector<int64_t> rows, values;
  for (RawChunk chunk; source.next(chunk);) {
    convert_chunk(chunk, schema, source, table);
    rows.push_back(table.rows);
    EXPECT_EQ(table.columns[0].missing.empty(), chunk.first_row > 0);
    values.insert(values.end(), table.columns[0].quanta.begin(), table.columns[0].quanta.end());
  }
  EXPECT_EQ(rows, (std::vector<int64_t>{2, 2, 1}));
  EXPECT_EQ(values, (std::vector<int64_t>{1, 0, 3, 4, 5}));
}

// ---- typed sources

MemoryTable typed(SourceType type, const std::vector<double>& values, const std::vector<uint8_t>& present = {}) {
  MemoryColumn typed_column;
  typed_column.field.name = "a";
  typed_column.field.type = type;
  typed_column.present = present;
  if (type == SourceType::kFloat32 || type == SourceType::kFloat64)
    typed_column.reals = values;
  else
    typed_column.integers.assign(values.begin(), values.end());
  return MemoryTable({typed_column}, 3);
}
TableProfile profile(MemoryTable source, const ProfileOptions& options = {}) {
  return profile_table(source, options);
}

TEST(TableTypes, FloatsThatAreShortDecimalsAreDecimals) {
  const TableProfile decimals = profile(typed(SourceType::kFloat64, {0.1, 2.25, -3}));
  EXPECT_EQ(decimals.schema.columns[0].kind, ColumnKind::kDecimal);
  EXPECT_EQ(decimals.schema.columns[0].decimals, 2);
  EXPECT_EQ(decimals.schema.columns[0].source, SourceType::kFloat64);
  EXPECT_EQ(decimals.columns[0].distribution.quanta, (std::vector<int64_t>{-300, 10, 225}));
  const TableProfile floats = profile(typed(SourceType::kFloat32, {double{0.1f}, double{2.25f}}));
  EXPECT_EQ(floats.schema.columns[0].kind, ColumnKind::kDecimal);
  EXPECT_EQ(profile(typed(SourceType::kFloat64, {1.0 / 3, 2})).schema.columns[0].kind, ColumnKind::kReal);
  EXPECT_EQ(profile(typed(SourceType::kFloat32, {double{1.0f / 3}, 2})).schema.columns[0].kind, ColumnKind::kReal);
  EXPECT_EQ(profile(typed(SourceType::kFloat64, {1e300, 2})).schema.columns[0].kind, ColumnKind::kReal);
}

TEST(TableTypes, WholeFloatsWithGapsAreIntegers) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const TableProfile whole = profile(typed(SourceType::kFloat64, {1, nan, 3, 0, -0.0}, {1, 1, 1, 0, 1}));
  EXPECT_EQ(whole.schema.columns[0].kind, ColumnKind::kInteger);
  EXPECT_EQ(whole.columns[0].cleaning.missing, 2);
  EXPECT_EQ(whole.columns[0].distribution.quanta, (std::vector<int64_t>{0, 1, 3}));
}

TEST(TableTypes, BooleansDatesSequencesAndConstants) {
  const TableProfile flags = profile(typed(SourceType::kBool, {1, 0, 1}));
  EXPECT_EQ(flags.schema.columns[0].kind, ColumnKind::kBoolean);
  EXPECT_EQ(flags.schema.columns[0].levels, (Texts{"false", "true"}));
  EXPECT_EQ(flags.columns[0].level_counts, (std::vector<int64_t>{1, 2}));
  const TableProfile dates = profile(typed(SourceType::kDate32, {5, 7}));
  EXPECT_EQ(dates.schema.columns[0].kind, ColumnKind::kDatetime);
  EXPECT_EQ(dates.schema.columns[0].unit, TimeUnit::kDay);
  std::vector<double> ids;
  for (int row = 0; row < 50; ++row) ids.push_back(row);
  EXPECT_TRUE(profile(typed(SourceType::kInt32, ids)).columns[0].key_is_sequence);
  EXPECT_EQ(profile(typed(SourceType::kInt8, {5, 5})).schema.columns[0].levels, Texts{"5"});
  EXPECT_EQ(profile(typed(SourceType::kInt8, {5, 5}, {0, 0})).schema.columns[0].kind, ColumnKind::kEmpty);
}

TEST(TableTypes, TypedValuesFitAnySchema) {
  MemoryTable source = typed(SourceType::kFloat64, {1, 2.5, 3});
  ColumnSchema schema = column(ColumnKind::kCategory);
  schema.levels = {"1", "2.5"};
  EXPECT_EQ(read_table(source, {{schema}}).columns[0].codes, (std::vector<int32_t>{0, 1, kUnseenCode}));
  EXPECT_EQ(message([&] { read_table(source, {{column(ColumnKind::kInteger)}}); }).substr(0, 17), "t.csv:3:1: '2.5' ");
}

// ---- kinds told

TableProfile told(const Texts& texts, ColumnSchema schema) {
  schema.name = "A ";  // found in spite of the blank and the case
  MemoryTable source = MemoryTable::of_texts({texts});
  ProfileOptions options;
  options.overrides = TableSchema{{schema}};
  return profile_table(source, options);
}

TEST(TableOverrides, KindsToldHold) {
  const TableProfile codes = told({"1", "2", "1"}, column(ColumnKind::kCategory));
  EXPECT_EQ(codes.schema.columns[0].kind, ColumnKind::kCategory);
  EXPECT_EQ(codes.schema.columns[0].name, "a");
  EXPECT_EQ(codes.schema.columns[0].levels, (Texts{"1", "2"}));
  EXPECT_EQ(told({"1", "2", "1"}, column(ColumnKind::kReal)).columns[0].distribution.reals,
            (std::vector<double>{1, 2}));
  EXPECT_EQ(told({"0", "1", "1"}, column(ColumnKind::kBoolean)).schema.columns[0].levels, (Texts{"0", "1"}));
  EXPECT_EQ(told({"7", "5", "9"}, column(ColumnKind::kKey)).columns[0].text_patterns.size(), 1u);
  ColumnSchema decimal = column(ColumnKind::kDecimal);
  decimal.decimals = 1;
  EXPECT_EQ(told({"1.25", "2", "3"}, decimal).columns[0].distribution.quanta, (std::vector<int64_t>{13, 20, 30}));
  ColumnSchema date = column(ColumnKind::kDatetime);
  date.datetime_format = "%d/%m/%Y";
  date.unit = TimeUnit::kDay;
  EXPECT_EQ(told({"01/02/1970", "02/02/1970"}, date).columns[0].distribution.quanta, (std::vector<int64_t>{31, 32}));
  ColumnSchema sparse = column(ColumnKind::kInteger);
  sparse.missing_text = "-999";
  EXPECT_EQ(told({"5", "-999", "7"}, sparse).columns[0].cleaning.missing, 1);
  ColumnSchema levels = column(ColumnKind::kCategory);
  levels.levels = {"high", "low", "never"};
  EXPECT_EQ(told({"low", "high", "low"}, levels).columns[0].level_counts, (std::vector<int64_t>{1, 2, 0}));
}

TEST(TableOverrides, ValuesThatDoNotFitAreLocated) {
  EXPECT_EQ(message([] {
              told({"1", "2", "x"}, column(ColumnKind::kInteger));
            }).substr(0, 38),
            "t.csv:4:1: 'x' is not a whole number (");
  ColumnSchema levels = column(ColumnKind::kCategory);
  levels.levels = {"1", "2"};
  EXPECT_EQ(message([&] {
              told({"1", "2", "3"}, levels);
            }),
            "t.csv:4:1: is none of the levels that the schema lists (column 'a')");
  EXPECT_NE(message([] { told({"a", "b", "c"}, column(ColumnKind::kBoolean)); }), "no error");
  EXPECT_NE(message([] { told({"a", "b", "c"}, column(ColumnKind::kDatetime)); }), "no error");
  EXPECT_NE(message([] { told({"a", "b", "c"}, column(ColumnKind::kConstant)); }), "no error");
  EXPECT_NE(message([] { told({"a", "b", "c"}, column(ColumnKind::kEmpty)); }), "no error");
}

TEST(TableOverrides, UnknownColumnsAreUsageErrors) {
  MemoryTable source = MemoryTable::of_texts({{"1"}});
  ProfileOptions options;
  options.overrides = TableSchema{{column(ColumnKind::kInteger, "price")}};
  EXPECT_NE(message<UsageError>([&] { profile_table(source, options); }), "no error");
}

// ---- schemas

TEST(TableSchemaJson, RoundTripsEveryField) {
  TableSchema schema;
  for (int kind = 0; kind <= static_cast<int>(ColumnKind::kEmpty); ++kind) {
    ColumnSchema& each =
        schema.columns.emplace_back(column(static_cast<ColumnKind>(kind), " name " + std::to_string(kind)));
    each.source = static_cast<SourceType>(kind + 4);
    each.has_missing = kind % 2 == 0;
    each.missing_text = kind % 3 == 0 ? "NA" : "";
    each.decimals = kind % (kMaximumDecimals + 1);
    each.keeps_trailing_zeros = kind % 2 == 1;
    each.datetime_format = kind == 5 ? "%d/%m/%Y" : "";
    each.unit = static_cast<TimeUnit>(kind % 5);
    each.timezone = kind == 5 ? "Europe/Berlin" : "";
    if (kind == 4) each.levels = {"", " x", "\xc3\xa4"};
    EXPECT_EQ(column_kind_from_string(to_string(each.kind)), each.kind);
  }
  const nlohmann::json json = to_json(schema);
  EXPECT_EQ(to_json(table_schema_from_json(nlohmann::json::parse(json.dump()))), json);
  const TableSchema back = table_schema_from_json(json);
  EXPECT_EQ(back.columns[5].datetime_format, "%d/%m/%Y");
  EXPECT_EQ(back.columns[4].levels, schema.columns[4].levels);
  EXPECT_EQ(back.columns[9].decimals, 9);
  EXPECT_EQ(back.columns[7].unit, TimeUnit::kMillisecond);
}

TEST(TableSchemaJson, ErrorsNameTheField) {
  const auto error = [](const char* text) {
    return message([&] { table_schema_from_json(nlohmann::json::parse(text)); });
  };
  EXPECT_NE(error("[]").find("'columns'"), std::string::npos);
  EXPECT_NE(error(R"({"columns": [{}]})").find("'name'"), std::string::npos);
  EXPECT_NE(error(R"({"columns": [{"name": 5}]})").find("'name'"), std::string::npos);
  EXPECT_NE(error(R"({"columns": [7]})").find("column 1"), std::string::npos);
  EXPECT_NE(error(R"({"columns": [{"name": "a"}]})").find("'kind'"), std::string::npos);
  EXPECT_NE(error(R"({"columns": [{"name": "a", "kind": "float"}]})").find("'float' is none of integer"),
            std::string::npos);
  for (const char* field :
       {R"("decimals": 10)", R"("decimals": -1)", R"("decimals": 1.5)", R"("has_missing": 1)", R"("levels": "a")",
        R"("levels": [1])", R"("unit": "week")", R"("source": null)", R"("decimal": 1)"}) {
    const std::string name = std::string(field).substr(1, std::string(field).find('"', 1) - 1);
    EXPECT_NE(error((std::string(R"({"columns": [{"name": "a", "kind": "real", )") + field + "}]}").c_str())
                  .find("'" + name + "'"),
              std::string::npos)
        << field;
  }
}

TEST(TableSchema, FindsColumnsInSpiteOfBlanksAndCase) {
  const TableSchema schema{{column(ColumnKind::kReal, "Life expectancy "), column(ColumnKind::kReal, "BMI"),
                            column(ColumnKind::kReal, "bmi ")}};
  EXPECT_EQ(schema.find("Life expectancy "), 0u);
  EXPECT_EQ(schema.find("life expectancy"), 0u);
  EXPECT_EQ(schema.find("BMI"), 1u);
  EXPECT_NE(message<UsageError>([&] { schema.find("Bmi"); }).find("'BMI', 'bmi '"), std::string::npos);
  EXPECT_NE(message<UsageError>([&] { schema.find("expectency"); }).find("the columns are"), std::string::npos);
  EXPECT_NE(message<UsageError>([&] { schema.find("Life expectency"); }).find("did you mean 'Life expectancy '"),
            std::string::npos);
}

// ---- whole tables

TEST(TableProfiles, DoNotDependOnChunks) {
  std::vector<Texts> columns(6);
  for (int row = 0; row < 700; ++row) {
    columns[0].push_back(std::to_string(row + 1));
    columns[1].push_back(row % 11 == 0 ? "NA" : std::to_string(row * 37 % 100) + ".50");
    columns[2].push_back(row % 3 == 0 ? " low" : "high");
    columns[3].push_back("K" + std::to_string(row * 7919));
    columns[4].push_back("2015-03-" + std::to_string(10 + row % 20));
    columns[5].push_back(std::to_string(row % 5) + "e-5");
  }
  std::string expected;
  for (const int64_t chunk_rows : {1, 2, 63, 64, 65, 699, 700, 701}) {
    MemoryTable source = MemoryTable::of_texts(columns, chunk_rows);
    const TableProfile profile = profile_table(source, {});
    EXPECT_EQ(source.passes(), 1);
    std::string all = to_json(profile.schema).dump() + std::to_string(profile.duplicate_rows);
    for (const ColumnProfile& each : profile.columns) {
      all += nlohmann::json({each.present, each.cleaning.missing, each.cleaning.trimmed, each.cleaning.distinct,
                             each.level_counts, each.text_patterns, each.distribution.quanta, each.distribution.reals,
                             each.distribution.counts})
                 .dump();
    }
    if (expected.empty()) expected = all;
    EXPECT_EQ(all, expected) << chunk_rows;
  }
}

TEST(TableProfiles, CountDuplicatesAndOutliers) {
  MemoryTable source = MemoryTable::of_texts({{"1", "2", "1", "1", "3", "1000"}, {"a", "b", "a", "b", "a", "a"}});
  const TableProfile profile = profile_table(source, {});
  EXPECT_EQ(profile.duplicate_rows, 1);
  EXPECT_EQ(profile.columns[0].cleaning.outliers, 1);
}

TEST(TableProfiles, NeedColumnsAndRows) {
  MemoryTable no_columns(std::vector<MemoryColumn>{}), no_rows = MemoryTable::of_texts({{}});
  EXPECT_THROW(profile_table(no_columns, {}), InputError);
  EXPECT_THROW(profile_table(no_rows, {}), InputError);
}

}  // namespace
}  // namespace doppel
