#include <arrow/api.h>
#include <arrow/io/file.h>
#include <arrow/ipc/reader.h>
#include <gtest/gtest.h>
#include <parquet/arrow/reader.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <span>

#include "host/contact_sheet.h"
#include "host/output_folder.h"
#include "host/readers/images.h"
#include "host/scheduler.h"
#include "host/verification.h"
#include "kernels/common/error.h"
#include "tests/host/fake_images.h"
#include "tests/host/image_cases.h"
#include "tests/host/test_folder.h"

namespace doppel {
namespace {

namespace fs = std::filesystem;

JobOptions job_of(const std::string& format, int64_t rows, int64_t rows_per_file) {
  JobOptions options;
  options.rows = rows;
  options.rows_per_file = rows_per_file;
  options.threads = 2;
  options.resident_bytes = 0;
  options.format = &find_format(format);
  return options;
}

ManifestHead head_of(const JobOptions& options) {
  ManifestHead head;
  head.rows = options.rows, head.rows_per_file = options.rows_per_file;
  head.format = options.format->name, head.versions = program_versions();
  return head;
}

// Writes what the folder lacks; returns how many files (with their companions) that were.
int64_t write_folder(const Generator& generator, const JobOptions& options, const std::string& folder,
                     IfExists if_exists = IfExists::kRefuse) {
  const ManifestHead head = head_of(options);
  JobPlan plan = plan_job(generator, options);
  const auto kept = prepare_output_folder(folder, head, plan.layout, plan.files, if_exists, false);
  for (const ManifestEntry& entry : kept) std::erase(plan.files, plan.layout.index_of(entry.file));
  ManifestWriter manifest(folder, head, kept);
  FolderSink sink(folder, manifest);
  Progress progress(0, Progress::Style::kNone);
  return run_job(generator, plan, sink, progress).files;
}

std::string write_single(const Generator& generator, const std::string& format, int64_t rows, const std::string& path,
                         const std::string& companion = "") {
  SingleFileSink sink(path, companion);
  Progress progress(0, Progress::Style::kNone);
  run_job(generator, plan_job(generator, job_of(format, rows, rows)), sink, progress);
  return read_text(path);
}

void expect_rows(const Images& images, const FakeImages& made, int64_t rows) {
  ASSERT_EQ(images.count(), rows);
  EXPECT_EQ(images.shape, made.schema().image);
  const bool has_labels = !made.schema().columns.empty();
  ASSERT_EQ(images.labels.empty(), !has_labels);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t at = 0; at < images.shape.size(); ++at)
      ASSERT_EQ(images.image(row)[at], made.level(row, at)) << row << ' ' << at;
    if (!has_labels) continue;
    ASSERT_EQ(images.label_names[static_cast<size_t>(images.labels[static_cast<size_t>(row)])],
              made.schema().columns[0].schema.levels[static_cast<size_t>(made.label(row))])
        << row;
  }
}

class ImageEncoders : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.path(name); }
  TestFolder folder_;
};

TEST_F(ImageEncoders, IdxPairsComeBackAsTheyWere) {
  const FakeImages images({1, 5, 3}, {"3", "7", "250"});
  write_folder(images, job_of("idx", 1000, 300), path("out"));
  EXPECT_TRUE(fs::exists(path("out/part-00003-images-idx3-ubyte")));
  EXPECT_TRUE(fs::exists(path("out/part-00003-labels-idx1-ubyte")));
  expect_rows(read_images(path("out")), images, 1000);
  expect_rows(read_images(path("out/part-00000-images-idx3-ubyte")), images, 300);
}

TEST_F(ImageEncoders, IdxLabelsThatAreNoBytesAreNumbers) {
  const FakeImages images({1, 2, 2}, {"cat", "dog"});
  write_folder(images, job_of("idx", 10, 10), path("out"));
  const std::string labels = read_text(path("out/part-00000-labels-idx1-ubyte"));
  EXPECT_EQ(labels.substr(0, 8), std::string("\0\0\x08\x01\0\0\0\x0a", 8));
  for (int64_t row = 0; row < 10; ++row) EXPECT_EQ(labels[static_cast<size_t>(8 + row)], images.label(row));
  std::vector<std::string> many;
  for (int i = 0; i < 257; ++i) many.push_back(std::to_string(i));
  EXPECT_THROW(write_folder(FakeImages({1, 2, 2}, many), job_of("idx", 10, 10), path("many")), UsageError);
  EXPECT_THROW(write_folder(FakeImages({3, 2, 2}, {}), job_of("idx", 10, 10), path("colour")), UsageError);
}

TEST_F(ImageEncoders, NpyPairsComeBackAsTheyWere) {
  for (const auto& [name, labels] : std::map<std::string, std::vector<std::string>>{
           {"numbers", {"-5", "1000"}}, {"texts", {"cat", "m\xc3\xb6we"}}, {"bytes", {"0", "1"}}, {"none", {}}}) {
    const FakeImages images({3, 4, 7}, labels);
    write_folder(images, job_of("npy", 500, 200), path(name));
    EXPECT_EQ(fs::exists(path(name + "/part-00002_labels.npy")), !labels.empty());
    expect_rows(read_images(path(name)), images, 500);
  }
}

TEST_F(ImageEncoders, TarArchivesUnpackToClassFolders) {
  const FakeImages images({1, 6, 5}, {"cat", "m\xc3\xb6we"});
  write_folder(images, job_of("png", 300, 200), path("out"));
  fs::create_directories(path("in"));
  for (const char* part : {"part-00000.tar", "part-00001.tar"})
    ASSERT_EQ(std::system(("tar xf " + path("out/") + part + " -C " + path("in")).c_str()), 0);
  std::vector<uint8_t> pixels;
  for (int64_t row = 0; row < 300; ++row) {
    char name[64];
    std::snprintf(name, sizeof name, "in/%s/%012lld.png", images.label(row) == 0 ? "cat" : "m\xc3\xb6we",
                  static_cast<long long>(row));
    ASSERT_TRUE(fs::exists(path(name))) << name;
  }
  // Classes one after another, each in the order of its rows
  const Images read = read_images(path("in"));
  ASSERT_EQ(read.count(), 300);
  EXPECT_EQ(read.label_names, (std::vector<std::string>{"cat", "m\xc3\xb6we"}));
  int64_t next = 0;
  for (int32_t label = 0; label < 2; ++label)
    for (int64_t row = 0; row < 300; ++row) {
      if (images.label(row) != label) continue;
      EXPECT_EQ(read.labels[static_cast<size_t>(next)], label);
      EXPECT_EQ(read.image(next)[4], images.level(row, 4));
      ++next;
    }
  expect_rows(read_images(path("out")), images, 300);  // archives, in the order of rows
  expect_rows(read_images(path("out/part-00000.tar")), images, 200);
  const FakeImages unlabelled({3, 6, 5}, {});
  write_folder(unlabelled, job_of("png", 30, 30), path("unlabelled"));
  expect_rows(read_images(path("unlabelled")), unlabelled, 30);
  EXPECT_THROW(write_folder(FakeImages({1, 2, 2}, {"a/b", "a_b"}), job_of("png", 5, 5), path("same")), UsageError);
  EXPECT_THROW(write_folder(FakeImages({1, 2, 2}, {std::string(90, 'x')}), job_of("png", 5, 5), path("long")),
               UsageError);
}

TEST_F(ImageEncoders, RawIsRecordsOfAnImageAndItsLabel) {
  const FakeImages images({3, 2, 3}, {"4", "9"});
  const std::string bytes = write_single(images, "raw", 100, path("x.raw"));
  ASSERT_EQ(bytes.size(), size_t{100 * 19});
  for (int64_t row = 0; row < 100; ++row) {
    for (int64_t at = 0; at < 18; ++at)
      ASSERT_EQ(static_cast<uint8_t>(bytes[static_cast<size_t>(row * 19 + at)]), images.level(row, at));
    ASSERT_EQ(bytes[static_cast<size_t>(row * 19 + 18)], images.label(row) == 0 ? 4 : 9);
  }
}

void expect_table(const arrow::Table& table, const FakeImages& images, int64_t rows) {
  ASSERT_EQ(table.num_rows(), rows);
  const auto field = table.schema()->GetFieldByName("image");
  ASSERT_NE(field, nullptr);
  EXPECT_EQ(field->type()->ToString(), "fixed_size_binary[12]");
  EXPECT_EQ(field->metadata()->Get("height").ValueOrDie(), "2");
  EXPECT_EQ(field->metadata()->Get("width").ValueOrDie(), "6");
  EXPECT_EQ(field->metadata()->Get("channels").ValueOrDie(), "1");
  const auto combined = table.CombineChunks().ValueOrDie();
  const auto& pixels = static_cast<const arrow::FixedSizeBinaryArray&>(*combined->GetColumnByName("image")->chunk(0));
  const auto& labels = static_cast<const arrow::UInt8Array&>(*combined->GetColumnByName("label")->chunk(0));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t at = 0; at < 12; ++at) ASSERT_EQ(pixels.GetValue(row)[at], images.level(row, at));
    ASSERT_EQ(labels.Value(row), images.label(row) == 0 ? 4 : 9);
  }
}

TEST_F(ImageEncoders, ParquetAndArrowHoldFixedSizeBinary) {
  const FakeImages images({1, 2, 6}, {"4", "9"});
  const int64_t rows = 70'000;  // more than a batch
  write_single(images, "parquet", rows, path("x.parquet"));
  const auto parquet_file = arrow::io::ReadableFile::Open(path("x.parquet")).ValueOrDie();
  auto reader = parquet::arrow::OpenFile(parquet_file, arrow::default_memory_pool()).ValueOrDie();
  expect_table(*reader->ReadTable().ValueOrDie(), images, rows);
  write_single(images, "arrow", rows, path("x.arrow"));
  const auto arrow_file = arrow::io::ReadableFile::Open(path("x.arrow")).ValueOrDie();
  expect_table(*arrow::ipc::RecordBatchFileReader::Open(arrow_file).ValueOrDie()->ToTable().ValueOrDie(), images, rows);
}

TEST_F(ImageEncoders, FormatsOfTheOtherKindOfRowsAreRefused) {
  const FakeImages images({1, 2, 2}, {});
  EXPECT_THROW(find_format("csv").make(images.schema(), {}), UsageError);
  OutputSchema table;
  table.columns.emplace_back().schema.name = "a";
  for (const char* format : {"idx", "png"}) EXPECT_THROW(find_format(format).make(table, {}), UsageError);
}

TEST_F(ImageEncoders, ASingleFileHasItsCompanionBesideIt) {
  const FakeImages images({1, 4, 4}, {"0", "1"});
  write_single(images, "npy", 70, path("x.npy"), path("x_labels.npy"));
  expect_rows(read_images(path("x.npy")), images, 70);
}

TEST_F(ImageEncoders, AResumedFolderIsTheSame) {
  const FakeImages images({1, 4, 4}, {"0", "1", "2"});
  const JobOptions options = job_of("idx", 1000, 128);
  EXPECT_EQ(write_folder(images, options, path("whole")), 8);
  const auto whole = read_folder(path("whole"));
  EXPECT_EQ(whole.size(), 16u);
  const auto resume = [&](int64_t expected) {
    EXPECT_EQ(write_folder(images, options, path("whole"), IfExists::kResume), expected);
    EXPECT_EQ(read_folder(path("whole")), whole);
    EXPECT_TRUE(check_folder(path("whole"), 2).is_good());
  };
  resume(0);
  fs::remove(path("whole/part-00002-labels-idx1-ubyte"));
  resume(1);
  fs::remove(path("whole/part-00003-images-idx3-ubyte"));
  fs::resize_file(path("whole/part-00005-labels-idx1-ubyte"), 7);
  resume(2);
  write_text(path("whole/.part-00004-labels-idx1-ubyte.tmp"), "killed while writing");
  resume(0);
  EXPECT_EQ(write_folder(images, options, path("whole"), IfExists::kOverwrite), 8);
  EXPECT_EQ(read_folder(path("whole")), whole);
}

TEST_F(ImageEncoders, VerificationFindsWhatIsWrongWithEitherFile) {
  const FakeImages images({1, 4, 4}, {"0", "1", "2"});
  const JobOptions options = job_of("idx", 300, 100);
  write_folder(images, options, path("out"));
  const FolderCheck good = check_folder(path("out"), 2);
  EXPECT_TRUE(good.is_good());
  EXPECT_EQ(good.whole_bytes, 300 * 17 + 3 * (16 + 8));
  const auto recompute = [&](uint64_t seed) {
    Progress progress(0, Progress::Style::kNone);
    const FakeImages again({1, 4, 4}, {"0", "1", "2"}, seed);
    return recompute_files(path("out"), good.head, good.whole, again, job_of("idx", 0, 0), progress).different;
  };
  EXPECT_TRUE(recompute(1).empty());
  EXPECT_EQ(recompute(2).size(), 3u);  // levels depend on the seed, labels do not
  const std::string labels = path("out/part-00001-labels-idx1-ubyte"), before = read_text(labels);
  std::string flipped = before;
  flipped[50] ^= 1;
  write_text(labels, flipped);
  EXPECT_EQ(recompute(1), std::vector<std::string>{"part-00001-labels-idx1-ubyte: differs from byte 50"});
  const FolderCheck corrupt = check_folder(path("out"), 2);
  ASSERT_EQ(corrupt.corrupt.size(), 1u);
  EXPECT_NE(corrupt.corrupt[0].find("part-00001-labels-idx1-ubyte: its checksum"), std::string::npos);
  fs::remove(labels);
  EXPECT_EQ(check_folder(path("out"), 2).missing.size(), 1u);
  EXPECT_EQ(list_folder(path("out")).missing.size(), 1u);
  write_text(labels, before);
  write_text(path("out/part-00009-labels-idx1-ubyte"), "x");
  EXPECT_EQ(check_folder(path("out"), 2).extra.size(), 1u);
}

TEST_F(ImageEncoders, AStreamRefusesACompanion) {
  StreamSink sink(-1, "a stream");
  EXPECT_THROW(sink.append_to_companion("x", 1), Error);
}

TEST_F(ImageEncoders, AContactSheetHasALineALabel) {
  const FakeImages images({1, 4, 3}, {"0", "1"});
  write_contact_sheet(images, 1000, path("sheet.png"));
  const std::string bytes = read_text(path("sheet.png"));
  std::vector<uint8_t> sheet;
  const ImageShape shape = decode_png(std::as_bytes(std::span(bytes)), "sheet", 1000, sheet);
  EXPECT_EQ(shape, (ImageShape{1, 2 * 6 + 2, 10 * 5 + 2}));
  int seen[2] = {0, 0};
  for (int64_t row = 0; seen[0] < 10 || seen[1] < 10; ++row) {
    const int32_t line = images.label(row);
    if (seen[line] == 10) continue;
    const int64_t x = 2 + 5 * seen[line]++, y = 2 + 6 * line;
    for (int64_t i = 0; i < 4; ++i)
      for (int64_t j = 0; j < 3; ++j)
        ASSERT_EQ(sheet[static_cast<size_t>((y + i) * shape.width + x + j)], images.level(row, i * 3 + j));
  }
  // Fewer images than places, and no labels
  write_contact_sheet(FakeImages({3, 2, 2}, {}), 13, path("few.png"));
  sheet.clear();
  const std::string few = read_text(path("few.png"));
  EXPECT_EQ(decode_png(std::as_bytes(std::span(few)), "few", 1000, sheet), (ImageShape{3, 2 * 4 + 2, 42}));
}

}  // namespace
}  // namespace doppel
