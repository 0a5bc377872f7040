// Writes a file of every format for tests/oracle/test_encoders.py, into the folder that DOPPEL_ENCODER_FILES names.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/host/encoder_cases.h"

namespace doppel {
namespace {

constexpr int64_t kRows = 10'007, kBatchRows = 2'500;
constexpr uint64_t kFirstRow = 3;

void write_file(const std::string& name, const EncoderCase& table, const Format& format, int64_t rows,
                const std::string& compression) {
  const std::string path = std::string(std::getenv("DOPPEL_ENCODER_FILES")) + "/" + name + format.extension;
  std::ofstream file(path, std::ios::binary);
  file << encode_file(table, format.name, kFirstRow, rows, kBatchRows,
                      {.compression = compression, .provenance = "{\"seed\": 1}"});
  ASSERT_TRUE(file.good()) << path;
}

TEST(EncoderFiles, AreWrittenForTheOracle) {
  if (std::getenv("DOPPEL_ENCODER_FILES") == nullptr) GTEST_SKIP() << "DOPPEL_ENCODER_FILES is not set";
  const EncoderCase table = every_kind();
  for (const Format& format : formats()) {
    if (format.is_of_images) continue;
    for (const std::string& compression : format.compressions)
      write_file("every_kind_" + compression, table, format, kRows, compression);
    write_file("one_row", table, format, 1, "default");
    write_file("no_rows", table, format, 0, "default");
  }
}

}  // namespace
}  // namespace doppel
