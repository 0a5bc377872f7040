// The table sampler on every instruction set of this machine, against the naive reference, to the bit.
#include "kernels/cpu/sample_table.h"

#include <gtest/gtest.h>

#include "kernels/common/error.h"
#include "tests/kernels/sampler_cases.h"

namespace doppel {
namespace {

class SampleTable : public testing::TestWithParam<InstructionSet> {
 protected:
  SampledTable sample(const TableSampler& sampler, uint64_t seed, uint64_t first_row, int64_t rows) {
    bool survived = false;
    const auto prepared = prepare_cpu_table_sampler(sampler, GetParam());
    SampledTable table = sample_with(*prepared, sampler, seed, first_row, rows, survived);
    EXPECT_TRUE(survived) << "wrote outside its buffers, rows " << rows;
    return table;
  }
  void expect_reference(const TableSampler& sampler, uint64_t seed, uint64_t first_row, int64_t rows) {
    const SampledTable got = sample(sampler, seed, first_row, rows);
    const SampledTable wanted = reference::sample(sampler, seed, first_row, rows);
    for (size_t c = 0; c < got.size(); ++c) {
      EXPECT_EQ(got[c].values, wanted[c].values) << "column " << c << " rows " << rows << " from " << first_row;
      EXPECT_EQ(got[c].validity, wanted[c].validity) << "column " << c << " rows " << rows << " from " << first_row;
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Cpu, SampleTable, testing::ValuesIn(instruction_sets()), [](const auto& instructions) {
  std::string name = instructions.param.name;
  std::erase(name, '-');
  return name;
});

TEST_P(SampleTable, EveryStorageAndTransformAtEverySizeBoundary) {
  const TableSampler sampler = every_kind_of_column(6, 5, 300, 1);
  const int64_t tile = prepare_table(sampler).tile_rows;
  for (int64_t rows :
       {int64_t{0}, int64_t{1}, int64_t{3}, int64_t{4}, int64_t{7}, int64_t{8}, int64_t{9}, int64_t{15}, int64_t{16},
        int64_t{17}, int64_t{63}, int64_t{64}, int64_t{65}, tile - 1, tile, tile + 1, 2 * tile + 3})
    expect_reference(sampler, 42, 1000, rows);
}

TEST_P(SampleTable, ShapesOfTheProduct) {
  for (int32_t latents : {1, 3, 4, 5, 8, 9, 33})
    for (int32_t components : {0, 1, 4, 7, 40})
      expect_reference(every_kind_of_column(latents, components, 20, 2), 7, 0, 70);
}

TEST_P(SampleTable, RowNumbersAcrossTheLowWord) {
  const TableSampler sampler = every_kind_of_column(5, 4, 30, 3);
  for (uint64_t first : {(uint64_t{1} << 32) - 200, (uint64_t{1} << 32) - 5, (uint64_t{1} << 32),
                         (uint64_t{5} << 32) - 64, (uint64_t{0xFFFFFFFF} << 32) + 3})
    expect_reference(sampler, 0xFEDCBA9876543210, first, 300);
}

TEST_P(SampleTable, AnySplitGivesTheSameBytes) {
  const TableSampler sampler = every_kind_of_column(6, 5, 100, 4);
  const int64_t rows = 1024;
  const SampledTable whole = sample(sampler, 9, 77, rows);
  for (int64_t part : {8, 24, 64, 200, 512}) {
    for (int64_t first = 0; first < rows; first += part) {
      const int64_t count = std::min(part, rows - first);
      const SampledTable piece = sample(sampler, 9, 77 + uint64_t(first), count);
      for (size_t c = 0; c < piece.size(); ++c) {
        const size_t size = bytes_per_value(sampler.columns[c].storage);
        ASSERT_EQ(
            std::memcmp(piece[c].values.data(), whole[c].values.data() + size_t(first) * size, piece[c].values.size()),
            0)
            << "column " << c << " rows " << first << " + " << count;
        ASSERT_EQ(std::memcmp(piece[c].validity.data(), whole[c].validity.data() + first / 8, piece[c].validity.size()),
                  0);
      }
    }
  }
}

TEST_P(SampleTable, ScoresFarBeyondTheLimit) {
  TableSampler sampler = every_kind_of_column(4, 2, 200, 5);
  for (float& weight : sampler.factor) weight *= 1000;
  expect_reference(sampler, 3, 0, 500);
  for (float& weight : sampler.factor) weight *= 1e12f;
  expect_reference(sampler, 3, 0, 500);
}

TEST_P(SampleTable, NegligibleWeightsCountAsZero) {
  TableSampler sampler = every_kind_of_column(5, 6, 50, 6), without = sampler;
  for (size_t i = 0; i < sampler.factor.size(); i += 2) {
    sampler.factor[i] = i % 4 == 0 ? 0x1p-101f : -0x1p-120f;
    without.factor[i] = 0;
  }
  EXPECT_EQ(sample(sampler, 1, 0, 100), sample(without, 1, 0, 100));
}

TEST_P(SampleTable, ManySegmentsBeginInOneBucket) {
  TableSampler sampler = every_kind_of_column(1, 1, 10, 8);
  sampler.columns.resize(1);
  ColumnSampler& column = sampler.columns[0];
  column = ColumnSampler();
  for (int s = 0; s < 1000; ++s) {
    column.lower.push_back(s == 0 ? -kScoreLimit : 1e-6f * static_cast<float>(s));
    column.base.push_back(s);
    column.width.push_back(1);
    column.scale.push_back(1);
  }
  sampler.factor = {1e-3f};
  sampler.residual = {0};
  expect_reference(sampler, 1, 0, 2000);
}

TEST(CheckTableSampler, RefusesContradictions) {
  const TableSampler good = every_kind_of_column(4, 3, 10, 9);
  EXPECT_NO_THROW(check_table_sampler(good));
  const auto refuses = [&](auto spoil) {
    TableSampler sampler = good;
    spoil(sampler);
    EXPECT_THROW(check_table_sampler(sampler), Error);
  };
  refuses([](TableSampler& s) { s.factor.pop_back(); });
  refuses([](TableSampler& s) { s.residual.push_back(1); });
  refuses([](TableSampler& s) { s.factor[0] = NAN; });
  refuses([](TableSampler& s) { s.factor[0] = 1e30f; });
  refuses([](TableSampler& s) { s.residual[0] = -1; });
  refuses([](TableSampler& s) { s.columns[0].latent = 4; });
  refuses([](TableSampler& s) { s.columns[0].missing_latent = 4; });
  refuses([](TableSampler& s) { s.columns[0].missing_threshold = NAN; });
  refuses([](TableSampler& s) { s.columns[0].deviation = INFINITY; });
  refuses([](TableSampler& s) { s.columns[0].maximum = 1e10; });
  refuses([](TableSampler& s) { s.columns[2].lower[1] = s.columns[2].lower[0]; });
  refuses([](TableSampler& s) { s.columns[2].lower.pop_back(); });
  refuses([](TableSampler& s) { s.columns[2].width[0] = 0; });
  refuses([](TableSampler& s) { s.columns[2].width[0] = (1 << 24) + 1; });
  refuses([](TableSampler& s) { s.columns[2].base[0] = int64_t{1} << 31; });
  refuses([](TableSampler& s) { s.columns[2].scale[0] = -1; });
  refuses([](TableSampler& s) { s.columns[10].real_base[0] = NAN; });
  refuses([](TableSampler& s) { s.columns[10].real_top[0] = s.columns[10].real_base[0] - 1; });
  refuses([](TableSampler& s) { s.columns[10].lower.clear(); });
}

TEST(PreparedTableSampler, RefusesBuffersThatDoNotFit) {
  const TableSampler sampler = every_kind_of_column(4, 3, 10, 9);
  const auto prepared = prepare_cpu_table_sampler(sampler, kScalarInstructions);
  std::vector<ColumnBuffer> buffers(sampler.columns.size());
  EXPECT_THROW(prepared->sample(0, 0, 1, buffers), Error);
  buffers.pop_back();
  EXPECT_THROW(prepared->sample(0, 0, 0, buffers), Error);
}

}  // namespace
}  // namespace doppel
