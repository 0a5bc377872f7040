// The readers of Parquet and Arrow IPC: files made by Arrow, every type, sizes of row groups and batches, damage.
#include <arrow/api.h>
#include <arrow/io/file.h>
#include <arrow/ipc/writer.h>
#include <arrow/json/from_string.h>
#include <gtest/gtest.h>
#include <parquet/arrow/writer.h>

#include <random>

#include "tests/host/reader_cases.h"

namespace doppel {
namespace {

template <class Value>
Value ok(arrow::Result<Value> result) {
  EXPECT_TRUE(result.ok()) << result.status().ToString();
  return std::move(result).ValueUnsafe();
}

struct Named {
  std::string name;
  std::shared_ptr<arrow::Array> array;
};

std::shared_ptr<arrow::Array> from_json(const std::shared_ptr<arrow::DataType>& type, const std::string& json) {
  return ok(arrow::json::ArrayFromJSONString(type, json));
}

std::shared_ptr<arrow::Table> table_of(const std::vector<Named>& columns) {
  arrow::FieldVector fields;
  arrow::ArrayVector arrays;
  for (const Named& column : columns) {
    fields.push_back(arrow::field(column.name, column.array->type()));
    arrays.push_back(column.array);
  }
  return arrow::Table::Make(arrow::schema(fields), arrays);
}

enum class Kind { kParquet, kFile, kStream };

void write_table(const std::string& path, Kind kind, const arrow::Table& table, int64_t rows_per_batch,
                 arrow::Compression::type compression) {
  const auto sink = ok(arrow::io::FileOutputStream::Open(path));
  if (kind == Kind::kParquet) {
    const auto properties = parquet::WriterProperties::Builder().compression(compression)->build();
    const auto arrow_properties = parquet::ArrowWriterProperties::Builder().store_schema()->build();
    ASSERT_TRUE(parquet::arrow::WriteTable(table, arrow::default_memory_pool(), sink, rows_per_batch, properties,
                                           arrow_properties)
                    .ok());
  } else {
    auto options = arrow::ipc::IpcWriteOptions::Defaults();
    if (compression == arrow::Compression::ZSTD) options.codec = ok(arrow::util::Codec::Create(compression));
    const auto writer = ok(kind == Kind::kFile ? arrow::ipc::MakeFileWriter(sink, table.schema(), options)
                                               : arrow::ipc::MakeStreamWriter(sink, table.schema(), options));
    ASSERT_TRUE(writer->WriteTable(table, rows_per_batch).ok());
    ASSERT_TRUE(writer->Close().ok());
  }
  ASSERT_TRUE(sink->Close().ok());
}

class ArrowReaders : public testing::TestWithParam<Kind> {
 protected:
  std::string write(const arrow::Table& table, int64_t rows_per_batch = 1 << 20,
                    arrow::Compression::type compression = arrow::Compression::UNCOMPRESSED) {
    const std::string path = folder_.path("t.data");  // what it is shows in its bytes
    write_table(path, GetParam(), table, rows_per_batch, compression);
    return path;
  }
  // The cells of one column; its field goes to `field`.
  Cells read(const std::shared_ptr<arrow::Array>& array, RawField* field = nullptr) {
    const auto source = open_table(write(*table_of({{"x", array}})));
    if (field != nullptr) *field = source->fields().at(0);
    return read_cells(*source);
  }
  Cells read(const std::shared_ptr<arrow::DataType>& type, const std::string& json, RawField* field = nullptr) {
    return read(from_json(type, json), field);
  }
  // The error's message without the folder.
  std::string error(const arrow::Table& table) {
    const std::string path = write(table), message = input_error(path);
    EXPECT_TRUE(message.empty() || message.starts_with(path)) << message;
    return message.empty() ? message : message.substr(path.size());
  }
  bool is_parquet() const { return GetParam() == Kind::kParquet; }
  TestFolder folder_;
};

std::string kind_name(const testing::TestParamInfo<Kind>& kind) {
  return kind.param == Kind::kParquet ? "Parquet" : kind.param == Kind::kFile ? "ArrowFile" : "ArrowStream";
}

INSTANTIATE_TEST_SUITE_P(Formats, ArrowReaders, testing::Values(Kind::kParquet, Kind::kFile, Kind::kStream), kind_name);

TEST_P(ArrowReaders, ReadsIntegersOfEveryWidth) {
  const std::vector<std::tuple<std::shared_ptr<arrow::DataType>, SourceType, std::string, std::string>> cases = {
      {arrow::int8(), SourceType::kInt8, "-128", "127"},
      {arrow::int16(), SourceType::kInt16, "-32768", "32767"},
      {arrow::int32(), SourceType::kInt32, "-2147483648", "2147483647"},
      {arrow::int64(), SourceType::kInt64, "-9223372036854775808", "9223372036854775807"},
      {arrow::uint8(), SourceType::kUint8, "0", "255"},
      {arrow::uint16(), SourceType::kUint16, "0", "65535"},
      {arrow::uint32(), SourceType::kUint32, "0", "4294967295"},
      {arrow::uint64(), SourceType::kUint64, "0", "9223372036854775807"},
  };
  for (const auto& [type, source, lowest, highest] : cases) {
    RawField field;
    EXPECT_EQ(read(type, "[" + lowest + ", null, " + highest + "]", &field), (Cells{{lowest}, {kMissing}, {highest}}));
    EXPECT_EQ(field.type, source) << type->ToString();
    EXPECT_EQ(read(type, "[7, 8]"), (Cells{{"7"}, {"8"}}));
  }
}

TEST_P(ArrowReaders, RefusesUnsignedIntegersBeyondSigned64Bits) {
  const std::string message = error(*table_of({{"id", from_json(arrow::uint64(), "[1, 9223372036854775808]")}}));
  EXPECT_EQ(
      message,
      ": row 2: 9223372036854775808 is larger than 2^63 - 1 (column 'id'): write it as text or as floating point");
}

TEST_P(ArrowReaders, ReadsBooleansAndReals) {
  RawField field;
  EXPECT_EQ(read(arrow::boolean(), "[true, null, false]", &field), (Cells{{"1"}, {kMissing}, {"0"}}));
  EXPECT_EQ(field.type, SourceType::kBool);
  EXPECT_EQ(read(arrow::float32(), "[0.1, null, -1e30]", &field),
            (Cells{{"0.10000000149011612"}, {kMissing}, {"-1.0000000150474662e+30"}}));
  EXPECT_EQ(field.type, SourceType::kFloat32);
  EXPECT_EQ(read(arrow::float64(), "[0.1, null, 1e300]", &field),
            (Cells{{"0.10000000000000001"}, {kMissing}, {"1.0000000000000001e+300"}}));
  EXPECT_EQ(field.type, SourceType::kFloat64);
  EXPECT_EQ(read(arrow::float16(), "[0.5, null, 65504]", &field), (Cells{{"0.5"}, {kMissing}, {"65504"}}));
  EXPECT_EQ(field.type, SourceType::kFloat32);
}

TEST_P(ArrowReaders, ReadsDatesAsDays) {
  RawField field;
  EXPECT_EQ(read(arrow::date32(), "[-1, null, 20000]", &field), (Cells{{"-1"}, {kMissing}, {"20000"}}));
  EXPECT_EQ(field.type, SourceType::kDate32);
  EXPECT_EQ(read(arrow::date64(), "[-86400000, null, 172800000]", &field), (Cells{{"-1"}, {kMissing}, {"2"}}));
  EXPECT_EQ(field.type, SourceType::kDate32);
}

TEST_P(ArrowReaders, KeepsUnitsAndZonesOfTimestamps) {
  RawField field;
  EXPECT_EQ(read(arrow::timestamp(arrow::TimeUnit::MILLI, "Europe/Berlin"), "[-1, null, 1500]", &field),
            (Cells{{"-1"}, {kMissing}, {"1500"}}));
  EXPECT_EQ(field.type, SourceType::kTimestamp);
  EXPECT_EQ(field.unit, TimeUnit::kMillisecond);
  EXPECT_EQ(field.timezone, "Europe/Berlin");
  read(arrow::timestamp(arrow::TimeUnit::NANO), "[1]", &field);
  EXPECT_EQ(field.unit, TimeUnit::kNanosecond);
  EXPECT_EQ(field.timezone, "");
  if (is_parquet()) return;  // which has no seconds
  EXPECT_EQ(read(arrow::timestamp(arrow::TimeUnit::SECOND), "[-5]", &field), (Cells{{"-5"}}));
  EXPECT_EQ(field.unit, TimeUnit::kSecond);
}

TEST_P(ArrowReaders, WritesTimesOfDayAsText) {
  RawField field;
  EXPECT_EQ(read(arrow::time32(arrow::TimeUnit::MILLI), "[0, null, 86399999]", &field),
            (Cells{{"00:00:00.000"}, {kMissing}, {"23:59:59.999"}}));
  EXPECT_EQ(field.type, SourceType::kText);
  EXPECT_EQ(read(arrow::time64(arrow::TimeUnit::MICRO), "[46800000001]"), (Cells{{"13:00:00.000001"}}));
}

TEST_P(ArrowReaders, WritesDecimalsAsExactText) {
  RawField field;
  EXPECT_EQ(read(arrow::decimal128(10, 2), R"(["12.50", null, "-0.05", "0.00", "12345678.90"])", &field),
            (Cells{{"12.50"}, {kMissing}, {"-0.05"}, {"0.00"}, {"12345678.90"}}));
  EXPECT_EQ(field.type, SourceType::kText);
  EXPECT_EQ(read(arrow::decimal128(38, 10), R"(["0.0000000001", "1234567890123456789012345678.0123456789"])"),
            (Cells{{"0.0000000001"}, {"1234567890123456789012345678.0123456789"}}));
  EXPECT_EQ(read(arrow::decimal256(50, 1), R"(["-1234567890123456789012345678901234567890123.5"])"),
            (Cells{{"-1234567890123456789012345678901234567890123.5"}}));
  EXPECT_EQ(read(arrow::decimal128(5, 0), R"(["-42", "0"])"), (Cells{{"-42"}, {"0"}}));
}

TEST_P(ArrowReaders, ReadsTextOfEveryForm) {
  const std::string json = R"(["a", null, "", "größer", "a text that is longer than a view holds"])";
  const Cells cells{{"a"}, {kMissing}, {""}, {"größer"}, {"a text that is longer than a view holds"}};
  for (const auto& type : {arrow::utf8(), arrow::large_utf8(), arrow::utf8_view(), arrow::binary(),
                           arrow::large_binary(), arrow::binary_view()}) {
    RawField field;
    EXPECT_EQ(read(type, json, &field), cells) << type->ToString();
    EXPECT_EQ(field.type, SourceType::kString) << type->ToString();
  }
  EXPECT_EQ(read(arrow::fixed_size_binary(2), R"(["ab", null, "cd"])"), (Cells{{"ab"}, {kMissing}, {"cd"}}));
}

TEST_P(ArrowReaders, RefusesBytesThatAreNoText) {
  arrow::BinaryBuilder builder;
  ASSERT_TRUE(builder.AppendValues({std::string("fine"), std::string("\xff\xfe")}).ok());
  EXPECT_EQ(error(*table_of({{"blob", ok(builder.Finish())}})),
            ": row 2: bytes that are not UTF-8 text (column 'blob'): write them as text, or leave the column out");
}

TEST_P(ArrowReaders, RefusesStringsThatAreNotUtf8) {
  arrow::StringBuilder builder;
  ASSERT_TRUE(builder.AppendValues({std::string("fine"), std::string("\xff\xfe")}).ok());
  EXPECT_NE(error(*table_of({{"note", ok(builder.Finish())}})).find("column 'note'"), std::string::npos);
}

TEST_P(ArrowReaders, ReadsDictionariesAsTheirValues) {
  RawField field;
  const auto texts = ok(arrow::json::DictArrayFromJSONString(arrow::dictionary(arrow::int8(), arrow::utf8()),
                                                             "[1, null, 0, 1]", R"(["low", "high"])"));
  EXPECT_EQ(read(texts, &field), (Cells{{"high"}, {kMissing}, {"low"}, {"high"}}));
  EXPECT_EQ(field.type, SourceType::kString);
  if (is_parquet()) return;  // which keeps dictionaries of text only
  const auto numbers = ok(arrow::json::DictArrayFromJSONString(arrow::dictionary(arrow::uint32(), arrow::float64()),
                                                               "[1, null, 0, 2]", "[0.5, 1.5, null]"));
  EXPECT_EQ(read(numbers, &field), (Cells{{"1.5"}, {kMissing}, {"0.5"}, {kMissing}}));
  EXPECT_EQ(field.type, SourceType::kFloat64);
  const auto integers = ok(arrow::json::DictArrayFromJSONString(arrow::dictionary(arrow::int64(), arrow::int16()),
                                                                "[1, 1, null, 0]", "[-7, 9]"));
  EXPECT_EQ(read(integers, &field), (Cells{{"9"}, {"9"}, {kMissing}, {"-7"}}));
}

TEST_P(ArrowReaders, TakesNullColumnsForMissing) {
  RawField field;
  EXPECT_EQ(read(arrow::null(), "[null, null]", &field), (Cells{{kMissing}, {kMissing}}));
  EXPECT_EQ(field.type, SourceType::kString);
}

TEST_P(ArrowReaders, NamesNestedColumnsAndTheRemedy) {
  const auto nested = from_json(arrow::list(arrow::int64()), "[[1], [2, 3]]");
  const std::string message = error(*table_of({{"tags", nested}}));
  EXPECT_NE(message.find("(column 'tags'): flatten it into columns of its own, or leave it out"), std::string::npos)
      << message;
}

TEST_P(ArrowReaders, RefusesTablesWithoutRowsOrColumnsAndTwinColumns) {
  const auto one = from_json(arrow::int64(), "[1]"), none = from_json(arrow::int64(), "[]");
  EXPECT_EQ(error(*table_of({{"a", none}})), ": has columns but no rows: nothing can be learned from it");
  EXPECT_EQ(error(*table_of({{"a", one}, {"a", one}})),
            ": two columns are called 'a': give each column a name of its own");
  EXPECT_NE(error(*table_of({})), "");
}

TEST_P(ArrowReaders, KeepsHeaderNamesToTheByte) {
  const auto one = from_json(arrow::int64(), "[1]");
  const auto source = open_table(write(*table_of({{"Life expectancy ", one}, {"", one}, {"a\nb", one}})));
  EXPECT_EQ(field_names(*source), (std::vector<std::string>{"Life expectancy ", "", "a\nb"}));
}

// A table of `rows` rows with gaps in every column, and its cells.
std::pair<std::shared_ptr<arrow::Table>, Cells> made_table(int64_t rows, uint32_t seed) {
  std::mt19937 random(seed);
  arrow::Int64Builder integers;
  arrow::FloatBuilder reals;
  arrow::StringBuilder texts;
  arrow::StringDictionary32Builder levels;
  Cells cells;
  for (int64_t row = 0; row < rows; ++row) {
    const uint32_t value = random() % 1000;
    const auto cell = [&](auto& builder, auto item, const std::string& text) {
      const bool missing = random() % 5 == 0;
      EXPECT_TRUE((missing ? builder.AppendNull() : builder.Append(item)).ok());
      return missing ? kMissing : text;
    };
    const std::string text(value % 40, static_cast<char>('a' + value % 26));
    const std::string level(3, static_cast<char>('0' + value % 7));
    std::vector<std::string>& line = cells.emplace_back();
    line.push_back(cell(integers, int64_t{value}, std::to_string(value)));
    line.push_back(cell(reals, static_cast<float>(value), std::to_string(value)));
    line.push_back(cell(texts, text, text));
    line.push_back(cell(levels, level, level));
  }
  return {table_of({{"integer", ok(integers.Finish())},
                    {"real", ok(reals.Finish())},
                    {"text", ok(texts.Finish())},
                    {"level", ok(levels.Finish())}}),
          cells};
}

TEST_P(ArrowReaders, ReadsTheSameWhateverTheSizeOfChunksAndBatches) {
  const auto [table, cells] = made_table(1001, 1);
  for (const int64_t rows_per_batch : {1, 7, 64, 1000, 1001, 5000}) {
    for (const auto compression : {arrow::Compression::UNCOMPRESSED, arrow::Compression::ZSTD}) {
      const std::string path = write(*table, rows_per_batch, compression);
      for (const int64_t chunk_bytes : {int64_t{1}, int64_t{1000}, int64_t{1} << 24}) {
        std::vector<int64_t> first, second;
        const auto source = open_table(path, {.chunk_bytes = chunk_bytes});
        ASSERT_EQ(read_cells(*source, &first), cells) << rows_per_batch << " " << chunk_bytes;
        EXPECT_EQ(source->bytes_read(), source->bytes_total());
        source->rewind();
        ASSERT_EQ(read_cells(*source, &second), cells) << "second pass";
        EXPECT_EQ(first, second);
      }
    }
  }
}

TEST_P(ArrowReaders, CutsBatchesIntoChunksOfTheSizeAskedFor) {
  const auto [table, cells] = made_table(20'000, 2);
  const auto source = open_table(write(*table), {.chunk_bytes = 100'000});
  std::vector<int64_t> rows;
  read_cells(*source, &rows);
  EXPECT_GT(rows.size(), 5u);
  for (const int64_t chunk : rows) EXPECT_LT(chunk, 5'000);
}

TEST_P(ArrowReaders, KeepsAnEarlierChunkAsLongAsItIsHeld) {
  const auto [table, cells] = made_table(300, 3);
  const auto source = open_table(write(*table, 100), {.chunk_bytes = 1000});
  std::vector<RawChunk> chunks;
  for (RawChunk chunk; source->next(chunk);) chunks.push_back(chunk);
  for (const RawChunk& chunk : chunks) {
    for (int64_t row = 0; row < chunk.rows; ++row) {
      for (size_t column = 0; column < chunk.columns.size(); ++column) {
        EXPECT_EQ(cell_text(chunk.columns[column], row), cells[static_cast<size_t>(chunk.first_row + row)][column]);
      }
    }
  }
}

TEST_P(ArrowReaders, LocatesRows) {
  const std::string path = write(*made_table(50, 4).first);
  EXPECT_EQ(open_table(path)->locate(39, 2), path + ": row 40");
}

// Damage is an InputError that names the file, or is where no reader looks; never a crash.
TEST_P(ArrowReaders, SurvivesDamagedFiles) {
  const auto [table, cells] = made_table(200, 5);
  const std::string path = write(*table, 64, arrow::Compression::ZSTD), whole = read_text(path);
  std::mt19937 random(6);
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    std::string bytes = whole;
    if (round % 3 == 0) {
      bytes.resize(random() % whole.size());
    } else {
      for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips)
        bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
    }
    write_text(path, bytes);
    const std::string message = input_error(path);
    EXPECT_TRUE(message.empty() || message.starts_with(path)) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    refused += !message.empty();
  }
  EXPECT_GT(refused, 100);
}

class ArrowStreamReader : public ArrowReaders {};
INSTANTIATE_TEST_SUITE_P(Formats, ArrowStreamReader, testing::Values(Kind::kStream), kind_name);

// Streams are opened anew for each pass; the other two kinds are kept open.
TEST_P(ArrowStreamReader, NoticesColumnsThatChangeBetweenPasses) {
  const auto one = from_json(arrow::int64(), "[1]");
  const auto source = open_table(write(*table_of({{"a", one}})));
  write(*table_of({{"b", one}}));
  EXPECT_THROW(source->rewind(), InputError);
}

}  // namespace
}  // namespace doppel
