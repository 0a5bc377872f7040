// Bits that must never change: tests/golden/sample_table.txt pins a checksum of every column of one table of all
// storages and transforms. A change of these bits makes every output written before irreproducible; the golden file is
// not to be made anew for it.
#include <gtest/gtest.h>

#include <fstream>
#include <iomanip>
#include <sstream>

#include "kernels/cpu/sample_table.h"
#include "tests/kernels/sampler_cases.h"

namespace doppel {
namespace {

// A table written with exact numbers alone, so that no standard library's distributions have a part in it.
TableSampler golden_sampler() {
  TableSampler sampler;
  sampler.latents = 6;
  sampler.components = 5;
  for (int i = 0; i < 30; ++i) sampler.factor.push_back(static_cast<float>(i * 7 % 13 - 6) / 16);
  for (int i = 0; i < 6; ++i) sampler.residual.push_back(static_cast<float>(i % 3) / 4);
  for (Storage storage : {Storage::kInt32, Storage::kInt64, Storage::kFloat32, Storage::kFloat64}) {
    for (int segments : {0, 5, 64}) {  // 0: linear
      ColumnSampler column = linear_column(storage);
      column.latent = static_cast<int32_t>(sampler.columns.size() % 6);
      if (segments > 0) {
        column.transform = Transform::kSegments;
        column.missing_latent = 5 - column.latent;
        column.missing_threshold = -0.75f;
      }
      for (int s = 0; s < segments; ++s) {
        column.lower.push_back(s == 0 ? -kScoreLimit
                                      : static_cast<float>(4 * s - 2 * segments) / static_cast<float>(segments));
        column.base.push_back(100 * s - 7);
        column.width.push_back(1 + s % 3 * 50);
        column.scale.push_back(static_cast<double>(column.width.back()) * segments / 4);
        column.real_base.push_back(s * 0.375);
        column.real_top.push_back(s * 0.375 + s % 3 * 0.125);
        column.real_slope.push_back(s % 3 * 0.125 * segments / 4);
      }
      sampler.columns.push_back(column);
    }
  }
  return sampler;
}

uint64_t checksum(const SampledColumn& column) {  // FNV-1a, 64 bits
  uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&](uint8_t byte) { hash = (hash ^ byte) * 0x100000001b3; };
  for (std::byte byte : column.values) add(static_cast<uint8_t>(byte));
  for (uint8_t byte : column.validity) add(byte);
  return hash;
}

std::string golden_text(const InstructionSet& instructions) {
  const TableSampler sampler = golden_sampler();
  const auto prepared = prepare_cpu_table_sampler(sampler, instructions);
  std::ostringstream text;
  text << "# seed 42, 1000 rows each; first row, then a checksum (FNV-1a 64) of each column's values and validity\n";
  for (uint64_t first_row : {uint64_t{0}, (uint64_t{1} << 32) - 300}) {
    bool survived = false;
    text << first_row;
    for (const SampledColumn& column : sample_with(*prepared, sampler, 42, first_row, 1000, survived))
      text << ' ' << std::hex << std::setw(16) << std::setfill('0') << checksum(column) << std::dec;
    text << '\n';
  }
  return text.str();
}

TEST(Golden, BitsOfTheTableSamplerAreThoseOfTheFirstRelease) {
  std::ifstream file(DOPPEL_SOURCE_DIR "/tests/golden/sample_table.txt");
  ASSERT_TRUE(file) << "tests/golden/sample_table.txt is missing";
  std::ostringstream pinned;
  pinned << file.rdbuf();
  for (const InstructionSet& instructions : instruction_sets())
    EXPECT_EQ(golden_text(instructions), pinned.str()) << instructions.name;
}

}  // namespace
}  // namespace doppel
