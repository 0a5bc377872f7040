// Bits that must never change: tests/golden/sample_table.txt, sample_mixture.txt and sample_balanced.txt pin a checksum
// of every column of one table of all storages and transforms, of a PCA and of a mixture, balanced and not. A change of
// these bits makes every output written before irreproducible; the golden files are not to be made anew for it.
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

// Entries whose outcomes are least, least + 1, ... in turn.
void add_golden_entries(AliasTable& table, uint32_t entries, int32_t least, int32_t outcomes) {
  for (uint32_t i = 0; i < entries; ++i) {
    const auto place = static_cast<uint32_t>(table.threshold.size());
    table.threshold.push_back(place * 2654435761u);
    table.below.push_back(least + static_cast<int32_t>((place * 5 + 1) % static_cast<uint32_t>(outcomes - least)));
    table.above.push_back(least + static_cast<int32_t>((place * 3 + i) % static_cast<uint32_t>(outcomes - least)));
  }
}

// The same as a mixture of seven members with three variables, their trees two, three and four nodes high. Of three
// columns one has a variable and keeps its latent, one has a variable alone, one has none.
TableSampler golden_mixture() {
  constexpr int32_t kMembers = 7;
  TableSampler sampler = golden_sampler();
  sampler.members = kMembers;
  sampler.factor.clear();
  sampler.residual.clear();
  for (int i = 0; i < kMembers * 6; ++i) {
    sampler.mean.push_back(static_cast<float>(i * 5 % 11 - 5) / 8);
    sampler.residual.push_back(i % 6 < 3 ? 0 : static_cast<float>(i % 4) / 8);
    for (int k = 0; k < 5; ++k) sampler.factor.push_back(static_cast<float>((i + k) * 7 % 13 - 6) / 32);
  }
  add_golden_entries(sampler.member, 9, 0, kMembers);
  for (int32_t v = 0; v < 3; ++v) {
    Emission& emission = sampler.emissions.emplace_back();
    emission.states = 3 + 17 * v;
    emission.first = {0};
    const int32_t nodes = kMembers + 1 + v;
    for (int32_t node = 0; node < nodes; ++node) {
      const bool is_top = node + 1 == nodes;
      emission.above.push_back(is_top ? -1 : std::max(node + 1, kMembers));
      add_golden_entries(emission.table, static_cast<uint32_t>(2 + node), is_top ? 0 : Emission::kAbove,
                         emission.states);
      emission.first.push_back(static_cast<int64_t>(emission.table.threshold.size()));
    }
  }
  for (size_t c = 0; c < sampler.columns.size(); ++c) {
    ColumnSampler& column = sampler.columns[c];
    if (c % 3 == 2) continue;
    const ColumnSampler transform = column;
    if (c % 3 == 1) column = ColumnSampler{};
    column.storage = transform.storage;
    column.missing_latent = -1;
    column.emission = static_cast<int32_t>(c / 2 % 3);
    for (int32_t state = 0; state < sampler.emissions[c / 2 % 3].states; ++state) {
      column.state_role.push_back(static_cast<StateRole>(c % 3 == 0 ? (state + 2) % 3 : state % 5 == 1));
      const int32_t value = column.state_role.back() == StateRole::kValue ? 1000 + 3 * state : 0;
      if (is_integer(column.storage)) {
        column.state_integer.push_back(value);
      } else {
        column.state_real.push_back(value * 0.125);
      }
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

std::string golden_text(const TableSampler& sampler, const InstructionSet& instructions) {
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

void expect_golden(const TableSampler& sampler, const std::string& name) {
  std::ifstream file(DOPPEL_SOURCE_DIR "/tests/golden/" + name);
  ASSERT_TRUE(file) << "tests/golden/" << name << " is missing";
  std::ostringstream pinned;
  pinned << file.rdbuf();
  for (const InstructionSet& instructions : instruction_sets())
    EXPECT_EQ(golden_text(sampler, instructions), pinned.str()) << instructions.name;
}

TEST(Golden, BitsOfTheTableSamplerAreThoseOfTheFirstRelease) {
  expect_golden(golden_sampler(), "sample_table.txt");
}

TEST(Golden, BitsOfMixturesAreThoseOfTheFirstRelease) {
  expect_golden(golden_mixture(), "sample_mixture.txt");
  TableSampler balanced = golden_mixture();
  balanced.balanced = true;
  expect_golden(balanced, "sample_balanced.txt");
}

}  // namespace
}  // namespace doppel
