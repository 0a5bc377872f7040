// From a CSV file to typed columns and back: what is learned of a column's form is enough to write it as it was.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <random>

#include "engine/table/profile.h"
#include "engine/table/table.h"
#include "tests/host/encoder_cases.h"
#include "tests/host/reader_cases.h"

namespace doppel {
namespace {

class ColumnTexts : public TextSource {
 public:
  explicit ColumnTexts(const std::vector<std::string>& texts) : texts_(texts) {}
  void append(uint64_t, uint64_t row, std::string& out) const override { out += texts_[row]; }
  size_t max_bytes() const override { return 1 << 20; }

 private:
  const std::vector<std::string>& texts_;
};

// The table as the CSV encoder writes it by the schema.
std::string write_csv(const Table& table, const TableSchema& schema) {
  OutputSchema output;
  for (size_t index = 0; index < table.columns.size(); ++index) {
    const Column& column = table.columns[index];
    OutputColumn& each = output.columns.emplace_back();
    each.schema = schema.columns[index];
    each.storage = !column.quanta.empty()  ? Storage::kInt64
                   : !column.reals.empty() ? Storage::kFloat64
                                           : Storage::kInt32;
    if (!column.texts.empty()) each.texts = std::make_shared<ColumnTexts>(column.texts);
  }
  Batch batch(output, table.rows);
  batch.rows = table.rows;
  const auto rows = static_cast<size_t>(table.rows);
  for (size_t index = 0; index < table.columns.size(); ++index) {
    const Column& column = table.columns[index];
    const ColumnBuffer& buffer = batch.buffer(index);
    if (buffer.validity != nullptr) {
      std::memset(buffer.validity, 0, (rows + 7) / 8);
      for (size_t row = 0; row < rows; ++row)
        if (!column.is_missing(static_cast<int64_t>(row)))
          buffer.validity[row / 8] |= static_cast<uint8_t>(1 << row % 8);
    }
    if (!output.columns[index].has_values()) continue;
    if (!column.quanta.empty())
      std::memcpy(buffer.values, column.quanta.data(), rows * sizeof(int64_t));
    else if (!column.reals.empty())
      std::memcpy(buffer.values, column.reals.data(), rows * sizeof(double));
    else if (!column.codes.empty())
      std::memcpy(buffer.values, column.codes.data(), rows * sizeof(int32_t));
    else
      std::memset(buffer.values, 0, rows * sizeof(int32_t));
  }
  const auto encoder = find_format("csv").make(output, {});
  ByteBuffer bytes;
  encoder->head(table.rows, bytes);
  encoder->encode(batch, bytes);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string real_table(const std::string& name) {
  const char* folder = std::getenv("DOPPEL_DATA");
  const std::string path =
      (folder != nullptr ? std::string(folder) : std::string(DOPPEL_SOURCE_DIR) + "/../shared/data") + "/" + name;
  return std::filesystem::exists(path) ? path : "";
}

// Cells of the file that would not be written as they are.
std::vector<std::string> changed_cells(const std::string& path, TableProfile& profile) {
  const auto source = open_table(path);
  profile = profile_table(*source, {});
  const Table table = read_table(*source, profile.schema);
  const TestFolder folder;
  write_text(folder.path("double.csv"), write_csv(table, profile.schema));
  const auto written = open_table(folder.path("double.csv"), {.delimiter = ','});
  EXPECT_EQ(field_names(*written), field_names(*source));
  source->rewind();
  const Cells before = read_cells(*source), after = read_cells(*written);
  std::vector<std::string> changed;
  EXPECT_EQ(before.size(), after.size());
  for (size_t row = 0; row < std::min(before.size(), after.size()); ++row) {
    for (size_t column = 0; column < before[row].size(); ++column) {
      if (before[row][column] != after[row][column])
        changed.push_back(before[row][column] + " -> " + after[row][column]);
    }
  }
  return changed;
}

std::string kinds(const TableProfile& profile) {
  std::string text;
  for (const ColumnSchema& column : profile.schema.columns)
    text += (text.empty() ? "" : " ") + std::string(to_string(column.kind));
  return text;
}

TEST(TableRoundTrip, LifeExpectancy) {
  const std::string path = real_table("life_expectancy.csv");
  if (path.empty()) GTEST_SKIP() << "life_expectancy.csv is not there";
  TableProfile profile;
  EXPECT_EQ(changed_cells(path, profile), std::vector<std::string>{});
  EXPECT_EQ(profile.rows, 2938);
  EXPECT_EQ(profile.duplicate_rows, 0);
  int64_t missing = 0;
  for (const ColumnProfile& column : profile.columns) missing += column.cleaning.missing;
  EXPECT_EQ(missing, 2563);
  EXPECT_EQ(kinds(profile),
            "category integer category decimal integer integer decimal decimal integer integer decimal integer integer "
            "decimal "
            "integer decimal decimal decimal decimal decimal decimal decimal");
  EXPECT_EQ(profile.schema.columns[0].levels.size(), 193u);
  EXPECT_EQ(profile.schema.columns[3].name, "Life expectancy ");
  EXPECT_EQ(profile.schema.columns[3].decimals, 1);
}

TEST(TableRoundTrip, Adult) {
  const std::string path = real_table("adult_train.csv.gz");
  if (path.empty()) GTEST_SKIP() << "adult_train.csv.gz is not there";
  TableProfile profile;
  EXPECT_EQ(changed_cells(path, profile), std::vector<std::string>{});
  EXPECT_EQ(profile.rows, 32561);
  EXPECT_EQ(profile.duplicate_rows, 24);
  EXPECT_EQ(
      kinds(profile),
      "integer category integer category integer category category category category category integer integer integer "
      "category category");
  const std::vector<std::pair<size_t, int64_t>> gaps = {{1, 1836}, {6, 1843}, {13, 583}};
  for (const auto& [index, missing] : gaps) {
    EXPECT_EQ(profile.columns[index].cleaning.missing, missing);
    EXPECT_EQ(profile.schema.columns[index].missing_text, "?");
  }
}

TEST(TableRoundTrip, Diamonds) {
  const std::string path = real_table("diamonds.csv.gz");
  if (path.empty()) GTEST_SKIP() << "diamonds.csv.gz is not there";
  TableProfile profile;
  EXPECT_EQ(changed_cells(path, profile), std::vector<std::string>{});
  EXPECT_EQ(profile.rows, 53940);
  EXPECT_EQ(kinds(profile), "decimal category category category decimal decimal integer decimal decimal decimal");
}

// ---- random tables

// A column of random values of a random kind; every value comes often enough for its kind to show.
void add_random_column(EncoderCase& table, std::mt19937_64& random) {
  const uint64_t salt = random();
  const auto draw = [=](uint64_t row) {
    return static_cast<int64_t>((row * 0x9e3779b97f4a7c15ull + salt) * 0xbf58476d1ce4e5b9ull >> 33);
  };
  const std::string name = "column " + std::to_string(table.schema.columns.size());
  OutputColumn column = column_of(name, ColumnKind::kInteger, Storage::kInt64);
  ColumnSchema& schema = column.schema;
  schema.has_missing = random() % 2 == 0;
  if (schema.has_missing) schema.missing_text = std::array{"", "NA", "?", "null"}[random() % 4];
  const int64_t spread = std::array<int64_t, 4>{7, 300, 100'000, int64_t{1} << 31}[random() % 4];
  const auto centred = [=](uint64_t row) { return draw(row) % spread - spread / 3; };
  switch (random() % 5) {
    case 0:
      if (random() % 3 == 0) schema.decimals = 1, schema.keeps_trailing_zeros = true;
      table.add(std::move(column), centred);
      break;
    case 1:
      schema.kind = ColumnKind::kDecimal;
      schema.decimals = 1 + static_cast<int>(random() % kMaximumDecimals);
      schema.keeps_trailing_zeros = random() % 2 == 0;
      // The last digits show how many there are, and whether zeros are kept.
      table.add(std::move(column), [=](uint64_t row) { return row < 10 ? static_cast<int64_t>(row) : centred(row); });
      break;
    case 2:
      schema.kind = ColumnKind::kReal;
      column.storage = Storage::kFloat64;
      table.add(std::move(column), {},
                [=](uint64_t row) { return static_cast<double>(centred(row)) * 1.0000000000000002e-7 / 3; });
      break;
    case 3: {
      schema.kind = ColumnKind::kCategory;
      column.storage = Storage::kInt32;
      const auto levels = static_cast<int64_t>(2 + random() % 15);
      for (int64_t level = 0; level < levels; ++level)
        schema.levels.push_back(std::string(level % 3 == 0 ? " " : "") + "level, \"" + std::to_string(100 + level) +
                                "\"");
      std::sort(schema.levels.begin(), schema.levels.end(), [](const std::string& a, const std::string& b) {
        return a.substr(a.find('l')) < b.substr(b.find('l'));
      });
      table.add(std::move(column),
                [=](uint64_t row) { return row < 1000 ? static_cast<int64_t>(row) % levels : draw(row) % levels; });
      break;
    }
    default: {
      schema.kind = ColumnKind::kDatetime;
      const std::vector<std::pair<const char*, TimeUnit>> formats = {{"%d.%m.%Y", TimeUnit::kDay},
                                                                     {"%Y-%m-%d", TimeUnit::kDay},
                                                                     {"%Y-%m-%dT%H:%M:%SZ", TimeUnit::kSecond},
                                                                     {"%m/%d/%Y %H:%M:%S.%f", TimeUnit::kMillisecond},
                                                                     {"%Y/%m/%d %H:%M:%S.%f", TimeUnit::kMicrosecond},
                                                                     {"%-m/%-d/%Y", TimeUnit::kDay},
                                                                     {"%-d/%-m/%y", TimeUnit::kDay},
                                                                     {"%d-%b-%y", TimeUnit::kDay},
                                                                     {"%-d %B %Y", TimeUnit::kDay},
                                                                     {"%B %-d, %Y", TimeUnit::kDay},
                                                                     {"%Y-%-m-%-d %-H:%M:%S", TimeUnit::kSecond}};
      const auto& [format, unit] = formats[random() % formats.size()];
      schema.datetime_format = format;
      schema.unit = unit;
      const int64_t reach = unit == TimeUnit::kDay ? 20'000 : int64_t{1} << 31;
      table.add(std::move(column), [=](uint64_t row) { return draw(row) % reach + 12; });
    }
  }
}

TEST(TableRoundTrip, RandomTablesOfEveryKind) {
  const TestFolder folder;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    EncoderCase table;
    constexpr int64_t kRows = 1500;
    for (int column = 0; column < 12; ++column) add_random_column(table, random);
    const std::string text = encode_file(table, "csv", 0, kRows, kRows);
    const std::string path = folder.path("t" + std::to_string(seed) + ".csv");
    write_text(path, text);
    const auto source = open_table(path, {.chunk_bytes = static_cast<int64_t>(1000 + random() % 100'000)});
    const TableProfile profile = profile_table(*source, {});
    for (size_t index = 0; index < table.schema.columns.size(); ++index) {
      const ColumnSchema &expected = table.schema.columns[index].schema, &found = profile.schema.columns[index];
      EXPECT_EQ(found.kind, expected.kind)
          << index << ": " << to_string(found.kind) << ", not " << to_string(expected.kind);
      EXPECT_EQ(found.decimals, expected.decimals) << index;
      EXPECT_EQ(found.datetime_format, expected.datetime_format) << index;
      EXPECT_EQ(found.levels, expected.levels) << index;
      EXPECT_EQ(found.has_missing, expected.has_missing) << index;
      EXPECT_TRUE(!expected.has_missing || found.missing_text == expected.missing_text) << index;
    }
    EXPECT_TRUE(write_csv(read_table(*source, profile.schema), profile.schema) == text);
  }
}

}  // namespace
}  // namespace doppel
