// What holds for every output format, and the golden bytes of those that are text or plain records.
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "kernels/common/error.h"
#include "tests/host/encoder_cases.h"

namespace doppel {
namespace {

class EveryFormat : public testing::TestWithParam<std::string> {};

// One file's pieces made in an order of our choice, each by an encoder of its own, then concatenated in row order.
TEST_P(EveryFormat, BytesDoNotDependOnOrderOrInstance) {
  const EncoderCase table = every_kind();
  constexpr int64_t kRows = 1000, kBatch = 300;
  const std::string expected = encode_file(table, GetParam(), 17, kRows, kBatch);
  const auto make = [&] { return find_format(GetParam()).make(table.schema, {}); };
  std::vector<EncodedBatch> encoded(4);
  std::vector<std::string> pieces(4);
  const auto reused = make();
  for (const size_t index : {2, 0, 3, 1}) {
    const int64_t first = static_cast<int64_t>(index) * kBatch;
    Batch batch(table.schema, kRows);  // another capacity: padding must not show
    table.fill(batch, 17 + static_cast<uint64_t>(first), std::min(kBatch, kRows - first));
    ByteBuffer out;
    const auto own = make();
    encoded[index] = (index % 2 ? own : reused)->encode(batch, out);
    pieces[index] = text_of(out);
    EXPECT_EQ(encoded[index].bytes, static_cast<int64_t>(out.size()));
    EXPECT_EQ(encoded[index].rows, batch.rows);
  }
  ByteBuffer head, tail;
  make()->head(kRows, head);
  make()->tail(encoded, tail);
  std::string file = text_of(head);
  for (const std::string& piece : pieces) file += piece;
  EXPECT_TRUE(file + text_of(tail) == expected);
}

TEST_P(EveryFormat, UnknownCompressionIsAUsageError) {
  EXPECT_THROW(find_format(GetParam()).make(every_kind().schema, {.compression = "middle-out", .provenance = {}}),
               UsageError);
}

TEST_P(EveryFormat, BatchesHaveRoomForRows) {
  EXPECT_GE(find_format(GetParam()).rows_per_batch(every_kind().schema), 1024);
}

std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const Format& format : formats())
    if (!format.is_of_images) names.push_back(format.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryFormat, testing::ValuesIn(format_names()),
                         [](const auto& format) { return format.param; });

TEST(Formats, UnknownNameListsTheNamesThereAre) {
  try {
    find_format("xlsx");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("csv, npy"), std::string::npos) << error.what();
  }
}

TEST(Csv, EveryKindToTheByte) {
  EXPECT_EQ(
      encode_file(every_kind(), "csv", 0, 4, 4),
      "integer,integer with gaps,int16,\"price, \"\"net\"\"\", weight ,real,real32,flag,answer,Ort "
      "\xc3\xa4,essay,day,time,key,note,"
      "constant,empty\n"
      "-1000,-5,-1000,-10010.00,-50,-142.85714285714286,-333.33334,True,true,K\xc3\xb6ln," +
          std::string(100, 'x') +
          ",12/11/1887,1938-09-14 19:34:39.000+00:00,1000,n1,,\n"
          "207,123456789007,207,2072.07,,29.571428571428573,69,False,false,,short,02/01/1987,1976-06-24 "
          "06:07:24.447+00:00,1001,,"
          "007,\n"
          "-587,246913578019,-587,-5875.87,-29.35,-83.85714285714286,-195.66667,False,true,\"the \"\"Big\"\" one\"," +
          std::string(100, 'x') +
          ",15/10/1921,1951-08-18 21:28:33.573+00:00,1002,n3,007,\n"
          "620,370370367031,620,6206.20,31,88.57142857142857,206.66667,?,false,a,short,04/12/2020,1989-05-28 "
          "08:01:19.020+00:00,1003,"
          "\"n4, \"\"quoted\"\"\nand a second line of \xc3\xbc\x62\x65r 32 bytes\",007,\n");
}

// One column's cells as text.
std::vector<std::string> csv_cells(OutputColumn column, const std::vector<int64_t>& integers,
                                   const std::vector<double>& reals = {}) {
  EncoderCase table;
  table.add(
      std::move(column), [&](uint64_t row) { return integers[row]; }, [&](uint64_t row) { return reals[row]; });
  const auto rows = static_cast<int64_t>(std::max(integers.size(), reals.size()));
  const std::string text = encode_file(table, "csv", 0, rows, rows);
  std::vector<std::string> cells;
  for (size_t begin = text.find('\n') + 1; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    cells.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return cells;
}

std::vector<int64_t> awkward_integers() {
  std::vector<int64_t> values = {0, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()};
  for (int64_t power = 1; power <= 100'000'000'000'000'000; power *= 10)
    for (const int64_t value : {power - 1, power, power + 1, 3 * power, 12 * power + 5})
      values.push_back(value), values.push_back(-value);
  return values;
}

TEST(Csv, IntegersOfEveryLength) {
  const std::vector<int64_t> values = awkward_integers();
  std::vector<std::string> expected;
  for (const int64_t value : values) expected.push_back(std::to_string(value));
  EXPECT_EQ(csv_cells(column_of("x", ColumnKind::kInteger, Storage::kInt64), values), expected);
}

// quanta * 10^-decimals by taking the printed integer apart.
std::string plain_decimal(int64_t quanta, int decimals, bool keeps_zeros) {
  std::string digits = std::to_string(quanta);
  const bool negative = digits[0] == '-';
  if (negative) digits.erase(0, 1);
  while (static_cast<int>(digits.size()) <= decimals) digits.insert(size_t{0}, 1, '0');
  std::string text = digits.substr(0, digits.size() - static_cast<size_t>(decimals)) + "." +
                     digits.substr(digits.size() - static_cast<size_t>(decimals));
  if (!keeps_zeros) {
    while (text.back() == '0') text.pop_back();
    if (text.back() == '.') text.pop_back();
  }
  if (negative) text.insert(size_t{0}, 1, '-');
  return text;
}

TEST(Csv, DecimalsOfEveryLengthAndPrecision) {
  for (int decimals = 1; decimals <= kMaximumDecimals; ++decimals) {
    for (const bool keeps_zeros : {false, true}) {
      OutputColumn column = column_of("x", ColumnKind::kDecimal, Storage::kInt64);
      column.schema.decimals = decimals, column.schema.keeps_trailing_zeros = keeps_zeros;
      const std::vector<int64_t> values = awkward_integers();
      std::vector<std::string> expected;
      for (const int64_t value : values) expected.push_back(plain_decimal(value, decimals, keeps_zeros));
      EXPECT_EQ(csv_cells(column, values), expected) << decimals << " decimals";
    }
  }
}

// Vector code takes blocks whose values have at most eight digits, so blocks of those alone and of others too.
TEST(Csv, WholeNumbersWrittenWithZerosAfterThePoint) {
  for (const Storage storage : {Storage::kInt32, Storage::kInt64}) {
    EncoderCase table;
    auto& column = table.add(column_of("a", ColumnKind::kInteger, storage), [](uint64_t row) {
      return row == 0 ? int64_t{INT32_MIN} : static_cast<int64_t>(row) * 65;
    });
    column.schema.decimals = kMaximumDecimals;
    column.schema.keeps_trailing_zeros = true;
    EXPECT_EQ(encode_file(table, "csv", 0, 3, 3), "a\n-2147483648.000000000\n65.000000000\n130.000000000\n");
  }
}

TEST(Csv, Int32sOnEveryInstructionSet) {
  std::vector<int64_t> values;
  for (const int64_t value : awkward_integers())
    if (value > -100'000'000 && value < 100'000'000) values.push_back(value);
  for (int64_t value = -99'999'999; value < 100'000'000; value += 48'611) values.push_back(value);
  values.insert(values.end(), {100'000'000, -100'000'000, std::numeric_limits<int32_t>::min()});
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    for (int decimals = 0; decimals <= kMaximumDecimals; ++decimals) {
      for (const bool keeps_zeros : {false, true}) {
        OutputColumn column = column_of("x", decimals == 0 ? ColumnKind::kInteger : ColumnKind::kDecimal);
        column.schema.decimals = decimals, column.schema.keeps_trailing_zeros = keeps_zeros;
        std::vector<std::string> expected;
        for (const int64_t value : values)
          expected.push_back(decimals == 0 ? std::to_string(value) : plain_decimal(value, decimals, keeps_zeros));
        EXPECT_EQ(csv_cells(column, values), expected) << decimals << " decimals on " << hwy::TargetName(target);
      }
    }
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

TEST(Csv, WidestInt32DecimalFitsItsSlot) {
  OutputColumn column = column_of("x", ColumnKind::kDecimal);
  column.schema.decimals = 9, column.schema.keeps_trailing_zeros = true;
  const std::vector<int64_t> values = {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max(), -1};
  EXPECT_EQ(csv_cells(column, values), (std::vector<std::string>{"-2.147483648", "2.147483647", "-0.000000001"}));
}

TEST(Csv, RealsReadBackAsTheSameBits) {
  const std::vector<double> values = {0.1,
                                      -1e300,
                                      5e-324,
                                      1.0 / 3,
                                      123456789.125,
                                      -0.0,
                                      1e22,
                                      std::numeric_limits<double>::max(),
                                      -2.2250738585072014e-308};
  const auto cells = csv_cells(column_of("x", ColumnKind::kReal, Storage::kFloat64), {}, values);
  ASSERT_EQ(cells.size(), values.size());
  for (size_t row = 0; row < values.size(); ++row)
    EXPECT_EQ(std::bit_cast<uint64_t>(std::strtod(cells[row].c_str(), nullptr)), std::bit_cast<uint64_t>(values[row]))
        << cells[row];
  EXPECT_EQ(csv_cells(column_of("x", ColumnKind::kReal, Storage::kFloat32), {},
                      {0.1, -0.0, -1.17549435e-38, -0.000123456794, 16777216, 1e6, -16777.215, 0.00012, 1e-4}),
            (std::vector<std::string>{"0.1", "-0", "-1.1754944e-38", "-0.00012345679", "16777216", "1e+06",
                                      "-16777.215", "0.00012", "1e-04"}));
}

TEST(Csv, DatesOfEveryEra) {
  OutputColumn column = column_of("x", ColumnKind::kDatetime, Storage::kInt64);
  column.schema.unit = TimeUnit::kDay;
  EXPECT_EQ(csv_cells(column, {0, -1, 11016, 11017, -719528, 2932896, -25567, 19782}),
            (std::vector<std::string>{"1970-01-01", "1969-12-31", "2000-02-29", "2000-03-01", "0000-01-01",
                                      "9999-12-31", "1900-01-01", "2024-02-29"}));
}

TEST(Csv, TimesBefore1970RoundDown) {
  OutputColumn column = column_of("x", ColumnKind::kDatetime, Storage::kInt64);
  column.schema.unit = TimeUnit::kMicrosecond, column.schema.datetime_format = "%d.%m.%Y %H-%M-%S,%f%%";
  EXPECT_EQ(csv_cells(column, {-1, 0, 86399999999}),
            (std::vector<std::string>{"\"31.12.1969 23-59-59,999999%\"", "\"01.01.1970 00-00-00,000000%\"",
                                      "\"01.01.1970 23-59-59,999999%\""}));
}

TEST(Csv, YearsBeyondFourDigits) {
  OutputColumn column = column_of("x", ColumnKind::kDatetime, Storage::kInt64);
  column.schema.unit = TimeUnit::kDay, column.schema.datetime_format = "%d %Y/%m %Y!";
  EXPECT_EQ(csv_cells(column, {2932897, -719529, 0}),
            (std::vector<std::string>{"01 10000/01 10000!", "31 -1/12 -1!", "01 1970/01 1970!"}));
}

TEST(Csv, DatesOfVaryingWidth) {
  OutputColumn column = column_of("x", ColumnKind::kDatetime, Storage::kInt64);
  column.schema.unit = TimeUnit::kDay;
  const auto dates = [&](const char* format, const std::vector<int64_t>& days) {
    column.schema.datetime_format = format;
    return csv_cells(column, days);
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(dates("%-m/%-d/%Y", {0, 9, 273, 364, 2932897, -719529}),
            (Texts{"1/1/1970", "1/10/1970", "10/1/1970", "12/31/1970", "1/1/10000", "12/31/-1"}));
  EXPECT_EQ(dates("%d.%m.%y", {-365, -1, 10957, 36159}), (Texts{"01.01.69", "31.12.69", "01.01.00", "31.12.68"}));
  EXPECT_EQ(dates("%-d-%b-%y", {0, 31, 120, 243, 364}),
            (Texts{"1-Jan-70", "1-Feb-70", "1-May-70", "1-Sep-70", "31-Dec-70"}));
  EXPECT_EQ(dates("%B %-d, %Y%%", {0, 243}), (Texts{"\"January 1, 1970%\"", "\"September 1, 1970%\""}));
  column.schema.unit = TimeUnit::kMillisecond;
  EXPECT_EQ(dates("%-H:%M:%S.%f", {0, 36'000'000, 32'705'007}), (Texts{"0:00:00.000", "10:00:00.000", "9:05:05.007"}));
  EXPECT_THROW(dates("%-Y", {0}), InputError);
  EXPECT_THROW(dates("%Y%-", {0}), InputError);
  EXPECT_THROW(dates("%q", {0}), InputError);
}

TEST(Csv, EmptyCellOfTheOnlyColumnIsQuoted) {
  OutputColumn column = column_of("x", ColumnKind::kInteger);
  column.schema.has_missing = true;
  EncoderCase table;
  table.add(column, [](uint64_t row) { return static_cast<int64_t>(row); });
  EXPECT_EQ(encode_file(table, "csv", 0, 2, 2), "x\n\"\"\n1\n");
}

TEST(Csv, RowsAcrossBlocksAreTheSameAsRowsAlone) {
  const EncoderCase table = every_kind();
  const std::string whole = encode_file(table, "csv", 0, 3000, 3000);
  EXPECT_TRUE(whole == encode_file(table, "csv", 0, 3000, 1));
}

TEST(Npy, HeaderToTheByte) {
  EncoderCase table;
  table.add(column_of("a'b", ColumnKind::kInteger), [](uint64_t row) { return static_cast<int64_t>(row); });
  table.add(column_of("\xc3\xa4", ColumnKind::kReal, Storage::kFloat32), {}, [](uint64_t) { return 1.5; });
  const std::string file = encode_file(table, "npy", 0, 2, 2);
  std::string header = "{'descr': [('a\\'b', '<i8'), ('\\U000000e4', '<f4')], 'fortran_order': False, 'shape': (2,), }";
  header.resize(117, ' ');
  EXPECT_EQ(file.substr(0, 128), std::string("\x93NUMPY\1\0\x76\0", 10) + header + "\n");
  EXPECT_EQ(file.substr(128), std::string("\0\0\0\0\0\0\0\0\0\0\xc0\x3f"
                                          "\1\0\0\0\0\0\0\0\0\0\xc0\x3f",
                                          24));
}

TEST(Npy, HeaderHasTheRowsOfTheFile) {
  const EncoderCase table = every_kind();
  ByteBuffer out;
  find_format("npy").make(table.schema, {})->head(12'345'678'901, out);
  EXPECT_NE(text_of(out).find("'shape': (12345678901,)"), std::string::npos);
  EXPECT_EQ(out.size() % 64, 0u);
}

TEST(Raw, IsTheNpyFileWithoutItsHeader) {
  const EncoderCase table = every_kind();
  const std::string npy = encode_file(table, "npy", 5, 100, 30), raw = encode_file(table, "raw", 5, 100, 30);
  EXPECT_EQ((npy.size() - raw.size()) % 64, 0u);
  EXPECT_EQ(npy.substr(npy.size() - raw.size()), raw);
}

TEST(Raw, MissingValues) {
  EncoderCase table;
  OutputColumn column = column_of("x", ColumnKind::kInteger);
  column.schema.has_missing = true;
  table.add(column, [](uint64_t row) { return static_cast<int64_t>(row); });
  const std::string file = encode_file(table, "raw", 0, 2, 2);  // row 0 is missing
  ASSERT_EQ(file.size(), 16u);
  double values[2];
  std::memcpy(values, file.data(), sizeof values);
  EXPECT_TRUE(std::isnan(values[0]));
  EXPECT_EQ(values[1], 1.0);
}

}  // namespace
}  // namespace doppel
