// Damaged CSV files, from reading to typed columns: an InputError that names the file, or a table that agrees with
// itself.
#include <arrow/buffer.h>
#include <arrow/io/compressed.h>
#include <arrow/io/memory.h>
#include <arrow/util/compression.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "engine/table/profile.h"
#include "engine/table/table.h"
#include "host/readers/reader.h"
#include "kernels/common/error.h"
#include "tests/host/test_folder.h"

namespace doppel {
namespace {

constexpr int kMutations = 10'000;
constexpr uint64_t kSeed = 20240607;

// Small files of every kind of column and of every form of CSV.
const std::vector<std::string>& originals() {
  static const std::vector<std::string> files = [] {
    std::string kinds = "id,n,price,real,flag,level ,day,when,code,note,same,none\n",
                quoted = "a;\"b \"\"x\"\"\";c\r\n";
    for (int row = 0; row < 40; ++row) {
      const std::string n = std::to_string(row);
      kinds += n + "," + (row % 7 == 0 ? "" : std::to_string(row * 37 % 100 - 50)) + "," + n + ".50,1e-" + n + "," +
               (row % 3 == 0 ? "yes" : "no") + ", level" + std::to_string(row % 4) + "," +
               std::to_string(10 + row % 19) + "/0" + std::to_string(1 + row % 9) +
               "/2015,2015-03-01T10:20:" + std::to_string(10 + row) + ".125,ID-" + std::to_string(row * 7919 % 10000) +
               ",\"some, text\nof \xc3\xbc " + n + "\",5," + (row % 2 == 0 ? "NA" : "") + "\n";
      quoted += "\"" + n + ";\";" + n + " ;\"\"\r\n";
    }
    return std::vector<std::string>{kinds, quoted, "\xef\xbb\xbfx\ty\n1\t2\n-\t?\n", "single\n1\n\"\"\n3",
                                    "a,b\r1,2\r3,4\r"};
  }();
  return files;
}

std::string gzip(const std::string& text) {
  auto codec = *arrow::util::Codec::Create(arrow::Compression::GZIP);
  auto sink = *arrow::io::BufferOutputStream::Create();
  auto stream = *arrow::io::CompressedOutputStream::Make(codec.get(), sink);
  EXPECT_TRUE(stream->Write(text.data(), static_cast<int64_t>(text.size())).ok());
  EXPECT_TRUE(stream->Close().ok());
  return (*sink->Finish())->ToString();
}

const std::vector<std::string>& insertions() {
  static const std::vector<std::string> pieces = {"\"",
                                                  "\"\"",
                                                  ",",
                                                  ";",
                                                  "\t",
                                                  "\n",
                                                  "\r",
                                                  "\r\n",
                                                  "\n\n\n",
                                                  " ",
                                                  "NA",
                                                  "-",
                                                  "inf",
                                                  "nan",
                                                  "+",
                                                  "1e999",
                                                  "-1e-999",
                                                  ".",
                                                  "99999999999999999999999999",
                                                  "-9223372036854775808",
                                                  "9223372036854775807.999999999",
                                                  "0.0000000000000000000001",
                                                  "2015-02-30",
                                                  "9999-12-31T23:59:59.999999999",
                                                  "0000-00-00",
                                                  "\xff",
                                                  "\xc3",
                                                  "\xed\xa0\x80",
                                                  "\xef\xbb\xbf",
                                                  std::string(1, '\0'),
                                                  std::string(5000, 'x'),
                                                  std::string(2000, ','),
                                                  std::string(3000, '9')};
  return pieces;
}

std::string mutate(std::string text, std::mt19937_64& random) {
  for (uint64_t edits = 1 + random() % 4; edits > 0 && !text.empty(); --edits) {
    const size_t at = random() % text.size();
    switch (random() % 6) {
      case 0:
        text[at] = static_cast<char>(text[at] ^ (1 << random() % 8));
        break;
      case 1:
        text.insert(at, insertions()[random() % insertions().size()]);
        break;
      case 2:
        text.resize(at);
        break;
      case 3:
        text.erase(at, 1 + random() % 20);
        break;
      case 4:
        text.insert(at, text.substr(random() % text.size(), random() % 200));
        break;
      default:
        text[at] = static_cast<char>(random());
    }
  }
  return text;
}

// What holds for any profile and the table read by its schema.
void check(const TableProfile& profile, const Table& table) {
  ASSERT_EQ(profile.rows, table.rows);
  ASSERT_EQ(profile.columns.size(), table.columns.size());
  EXPECT_GE(profile.duplicate_rows, 0);
  EXPECT_LT(profile.duplicate_rows, profile.rows);
  for (size_t index = 0; index < table.columns.size(); ++index) {
    const ColumnProfile& column = profile.columns[index];
    const ColumnSchema& schema = profile.schema.columns[index];
    const std::vector<uint8_t>& missing = table.columns[index].missing;
    const auto absent = static_cast<int64_t>(std::count(missing.begin(), missing.end(), 1));
    EXPECT_EQ(column.present + absent, profile.rows) << to_string(schema.kind);
    EXPECT_EQ(column.cleaning.missing, absent);
    EXPECT_EQ(schema.has_missing, absent > 0);
    const std::vector<int64_t>& counts = column.distribution.counts;
    const bool is_number = schema.kind == ColumnKind::kInteger || schema.kind == ColumnKind::kDecimal ||
                           schema.kind == ColumnKind::kReal || schema.kind == ColumnKind::kDatetime;
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), int64_t{0}), is_number ? column.present : 0);
    for (size_t row = 0; row < table.columns[index].codes.size(); ++row)
      EXPECT_NE(table.columns[index].codes[row], kUnseenCode);
  }
}

TEST(FuzzCsv, DamagedFilesAreErrorsOrConsistentTables) {
  const TestFolder folder;
  std::vector<std::string> compressed;
  for (const std::string& text : originals()) compressed.push_back(gzip(text));
  int errors = 0, tables = 0;
  for (int round = 0; round < kMutations; ++round) {
    std::mt19937_64 random(kSeed + static_cast<uint64_t>(round));
    const size_t file = random() % originals().size();
    const uint64_t form = random() % 8;  // 0: a damaged .gz, 1: a .gz of damaged text
    const std::string path = folder.path(form < 2 ? "t.csv.gz" : "t.csv");
    const std::string text = mutate(form == 0 ? compressed[file] : originals()[file], random);
    std::filesystem::remove(path);  // file systems put a file that is cut short and written again on disk at once
    write_text(path, form == 1 ? gzip(text) : text);
    SCOPED_TRACE("seed " + std::to_string(kSeed + static_cast<uint64_t>(round)));
    try {
      const auto source = open_table(path, {.chunk_bytes = static_cast<int64_t>(1 + random() % 3000)});
      const TableProfile profile = profile_table(*source, {});
      check(profile, read_table(*source, profile.schema));
      ++tables;
    } catch (const InputError& error) {
      EXPECT_EQ(std::string(error.what()).find(path), 0u) << error.what();
      ++errors;
    }
    if (testing::Test::HasFailure()) break;
  }
  EXPECT_GT(errors, kMutations / 10);
  EXPECT_GT(tables, kMutations / 10);
  RecordProperty("errors", errors);
  RecordProperty("tables", tables);
}

}  // namespace
}  // namespace doppel
