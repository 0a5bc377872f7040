// The table sampler on every instruction set of this machine, against the naive reference, to the bit.
#include "kernels/cpu/sample_table.h"

#include <gtest/gtest.h>

#include <array>
#include <map>

#include "kernels/common/error.h"
#include "kernels/common/half.h"
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
  // Every split of the rows gives the bytes of the whole.
  void expect_splits(const TableSampler& sampler) {
    const int64_t rows = 1024;
    const SampledTable whole = sample(sampler, 9, 77, rows);
    for (int64_t part : {8, 24, 64, 200, 512}) {
      for (int64_t first = 0; first < rows; first += part) {
        const int64_t count = std::min(part, rows - first);
        const SampledTable piece = sample(sampler, 9, 77 + uint64_t(first), count);
        for (size_t c = 0; c < piece.size(); ++c) {
          const size_t size = bytes_per_value(sampler.columns[c].storage);
          const auto& [values, validity] = piece[c];
          ASSERT_EQ(std::memcmp(values.data(), whole[c].values.data() + size_t(first) * size, values.size()), 0)
              << "column " << c << " rows " << first << " + " << count;
          ASSERT_EQ(std::memcmp(validity.data(), whole[c].validity.data() + first / 8, validity.size()), 0)
              << "column " << c << " rows " << first << " + " << count;
        }
      }
    }
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
  expect_splits(every_kind_of_column(6, 5, 100, 4));
  expect_splits(random_mixture({.members = 9, .variables = 4, .levels = 3}, 4));
  expect_splits(random_mixture({.members = 9, .variables = 4, .levels = 3, .balanced = true}, 4));
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

TEST_P(SampleTable, MixturesAtEverySizeBoundary) {
  const TableSampler sampler = random_mixture({}, 21);
  const int64_t tile = prepare_table(sampler).tile_rows;
  for (int64_t rows : {int64_t{0}, int64_t{1}, int64_t{7}, int64_t{8}, int64_t{9}, int64_t{16}, int64_t{63},
                       int64_t{64}, int64_t{65}, tile - 1, tile, tile + 1, 2 * tile + 3})
    expect_reference(sampler, 42, 1000, rows);
}

TEST_P(SampleTable, MixturesOfAllShapes) {
  for (int32_t members : {1, 2, 7})
    for (int32_t variables : {0, 1, 3, 9})
      for (int32_t levels : {1, 2, 3, 1 + Emission::kMostNodesUp})
        expect_reference(random_mixture({members, 6, 5, variables, levels}, 22), 7, 3, 300);
  expect_reference(random_mixture({1000, 6, 5, 5, 3}, 22), 7, 3, 300);
}

TEST_P(SampleTable, BalancedMixtures) {
  const TableSampler sampler = random_mixture({.balanced = true}, 29);
  for (int64_t rows : {0, 1, 7, 64, 257, 2500}) expect_reference(sampler, 42, 1000, rows);
  for (uint64_t first : {(uint64_t{1} << 32) - 1500, (uint64_t{1} << 32) - 5, uint64_t{5} << 32})
    expect_reference(sampler, 0xFEDCBA9876543210, first, 300);
  // A member and 62, 63 and 64 variables: from the 64th on words are independent.
  for (int32_t variables : {0, 1, 3, 4, 7, 8, 15, 16, 62, 63, 64})
    expect_reference(random_mixture({.members = 3, .variables = variables, .balanced = true}, 29), 7, 3, 300);
}

TEST_P(SampleTable, Images) {
  expect_reference(image_mixture(3, 147, 20, 30), 9, 5, 300);
}

TEST_P(SampleTable, MixturesOfAnyNumberOfLatents) {
  for (int32_t latents : {0, 1, 4, 7, 8, 9, 16, 20, 33})
    for (int32_t components : {0, 1, 7, 20, 40})
      expect_reference(random_mixture({5, latents, components, 2, 2}, 23), 8, 0, 70);
}

TEST_P(SampleTable, WeightsInHalfPrecisionAndThoseItDoesNotHold) {
  for (int32_t latents : {1, 6, 9, 20}) {
    TableSampler sampler = random_mixture({5, latents, latents, 2, 2}, 31);
    for (auto* weights : {&sampler.mean, &sampler.factor})
      for (float& weight : *weights) weight = float_of_half(half_of_float(weight));
    sampler.factor[0] = 0x1p-24f;  // subnormal
    EXPECT_FALSE(prepare_table(sampler).mixture->half_weights.empty());
    expect_reference(sampler, 8, 0, 300);
    for (const float other : {0x1p-25f, 1 + 0x1p-11f, 65536.0f}) {
      sampler.factor[0] = other;
      EXPECT_TRUE(prepare_table(sampler).mixture->half_weights.empty());
      expect_reference(sampler, 8, 0, 70);
    }
  }
}

TEST_P(SampleTable, MoreMembersAndStatesThanSixteenBitsNumber) {
  for (int32_t count : {1 << 15, (1 << 15) + 1}) expect_reference(wide_mixture(count, 28), 6, 0, 600);
}

TEST_P(SampleTable, RowNumbersOfMixturesAcrossTheLowWord) {
  const TableSampler sampler = random_mixture({.levels = 3}, 24);
  for (uint64_t first : {(uint64_t{1} << 32) - 200, (uint64_t{1} << 32) - 5, uint64_t{1} << 32,
                         (uint64_t{5} << 32) - 64, (uint64_t{0xFFFFFFFF} << 32) + 3})
    expect_reference(sampler, 0xFEDCBA9876543210, first, 300);
}

TEST_P(SampleTable, AMemberAtTheOriginIsThePcaWhoseNormalsItShares) {
  const TableSampler pca = every_kind_of_column(6, 5, 100, 25);
  TableSampler mixture = pca;
  mixture.mean.assign(6, 0.0f);
  add_entries(mixture.member, 1, 0, 1, *std::make_unique<std::mt19937_64>(1));
  EXPECT_EQ(sample(pca, 5, 0, 600), sample(mixture, 5, 0, 600));
}

// Probabilities of the outcomes of entries [first, last): [kAbove, state 0, 1, ...].
std::vector<double> exact_probabilities(const AliasTable& table, int64_t first, int64_t last, int32_t states) {
  std::vector<double> probabilities(static_cast<size_t>(states) + 1);
  for (auto entry = static_cast<size_t>(first); entry < static_cast<size_t>(last); ++entry) {
    const double below = table.threshold[entry] * 0x1p-32;
    probabilities[static_cast<size_t>(table.below[entry] + 1)] += below / static_cast<double>(last - first);
    probabilities[static_cast<size_t>(table.above[entry] + 1)] += (1 - below) / static_cast<double>(last - first);
  }
  return probabilities;
}

// Probabilities of the states at a node, those drawn further up with them.
std::vector<double> state_probabilities(const Emission& emission, int32_t node) {
  std::vector<double> here = exact_probabilities(emission.table, emission.first[static_cast<size_t>(node)],
                                                 emission.first[static_cast<size_t>(node) + 1], emission.states);
  const double up = here[0];
  here.erase(here.begin());
  if (up == 0) return here;
  const std::vector<double> above = state_probabilities(emission, emission.above[static_cast<size_t>(node)]);
  for (size_t state = 0; state < here.size(); ++state) here[state] += up * above[state];
  return here;
}

// A mixture whose columns show what was drawn: the member, two variables' states, and a latent's score.
TableSampler telling_mixture() {
  constexpr int32_t kMembers = 6;
  TableSampler sampler = random_mixture({kMembers, 2, 2, 3, 4}, 31);
  sampler.columns.clear();
  std::mt19937_64 random(32);
  Emission& shown = sampler.emissions[0];
  shown = Emission{.states = kMembers, .above = std::vector<int32_t>(kMembers, -1), .first = {0}, .table = {}};
  for (int32_t member = 0; member < kMembers; ++member) {
    shown.first.push_back(member + 1);
    shown.table.threshold.push_back(1u << 31);
    shown.table.below.push_back(member);
    shown.table.above.push_back(member);
  }
  for (int32_t v = 0; v < 3; ++v) {
    ColumnSampler column;
    column.emission = v;
    for (int32_t state = 0; state < sampler.emissions[static_cast<size_t>(v)].states; ++state) {
      column.state_role.push_back(StateRole::kValue);
      column.state_integer.push_back(state);
    }
    sampler.columns.push_back(column);
  }
  ColumnSampler score = linear_column(Storage::kInt32);
  score.storage = Storage::kFloat64;
  score.latent = 1;
  score.mean = 0, score.deviation = 1, score.minimum = -100, score.maximum = 100;
  sampler.columns.push_back(score);
  return sampler;
}

// A count of so many rows is within 5 standard deviations of what its probability says.
void expect_frequency(int64_t count, int64_t rows, double probability, const std::string& what) {
  const double expected = probability * static_cast<double>(rows);
  EXPECT_LE(std::abs(static_cast<double>(count) - expected), 5 * std::sqrt(expected * (1 - probability))) << what;
}

TEST(SampleTable, FrequenciesOfMembersAndStatesAreTheirProbabilities) {
  constexpr int64_t kRows = 400'000;
  const TableSampler sampler = telling_mixture();
  const auto prepared = prepare_cpu_table_sampler(sampler, instruction_sets().front());
  bool survived = false;
  const SampledTable table = sample_with(*prepared, sampler, 33, 0, kRows, survived);
  const auto* member = reinterpret_cast<const int32_t*>(table[0].values.data());
  const auto* first = reinterpret_cast<const int32_t*>(table[1].values.data());
  const auto* second = reinterpret_cast<const int32_t*>(table[2].values.data());
  std::map<std::array<int32_t, 3>, int64_t> counts;
  for (int64_t row = 0; row < kRows; ++row) ++counts[{member[row], first[row], second[row]}];
  const std::vector<double> of_member = exact_probabilities(sampler.member, 0, 12, sampler.members);
  for (int32_t m = 0; m < sampler.members; ++m) {
    const auto of_first = state_probabilities(sampler.emissions[1], m);
    const auto of_second = state_probabilities(sampler.emissions[2], m);
    for (int32_t a = 0; a < sampler.emissions[1].states; ++a)
      for (int32_t b = 0; b < sampler.emissions[2].states; ++b)
        expect_frequency(counts[{m, a, b}], kRows,
                         of_member[static_cast<size_t>(m) + 1] * of_first[static_cast<size_t>(a)] *
                             of_second[static_cast<size_t>(b)],
                         "member " + std::to_string(m) + " states " + std::to_string(a) + ", " + std::to_string(b));
  }
}

// Every 1,024 rows from a multiple of 1,024 on have their share of each member, but for a row at either end of each
// interval of words that chooses it: two an entry of the alias table.
TEST(SampleTable, BalancedRowsShareOutTheMembers) {
  TableSampler sampler = telling_mixture();
  sampler.balanced = true;
  const auto prepared = prepare_cpu_table_sampler(sampler, instruction_sets().front());
  const std::vector<double> of_member = exact_probabilities(sampler.member, 0, 12, sampler.members);
  for (uint64_t first_row : {uint64_t{0}, uint64_t{5} << 10, (uint64_t{3} << 32) - 1024}) {
    bool survived = false;
    const SampledTable table = sample_with(*prepared, sampler, 35, first_row, 1024, survived);
    const auto* member = reinterpret_cast<const int32_t*>(table[0].values.data());
    for (int32_t m = 0; m < sampler.members; ++m) {
      const AliasTable& alias = sampler.member;
      const auto intervals =
          std::count(alias.below.begin(), alias.below.end(), m) + std::count(alias.above.begin(), alias.above.end(), m);
      EXPECT_LE(std::abs(static_cast<double>(std::count(member, member + 1024, m)) -
                         1024 * of_member[static_cast<size_t>(m) + 1]),
                static_cast<double>(2 * intervals))
          << "member " << m << " from row " << first_row;
    }
  }
}

TEST(SampleTable, ScoresOfAMemberHaveItsMeanAndVariance) {
  constexpr int64_t kRows = 200'000;
  const TableSampler sampler = telling_mixture();
  const auto prepared = prepare_cpu_table_sampler(sampler, instruction_sets().front());
  bool survived = false;
  const SampledTable table = sample_with(*prepared, sampler, 34, 0, kRows, survived);
  const auto* member = reinterpret_cast<const int32_t*>(table[0].values.data());
  const auto* score = reinterpret_cast<const double*>(table[3].values.data());
  for (int32_t m = 0; m < sampler.members; ++m) {
    const auto at = static_cast<size_t>(2 * m + 1);
    const double a = sampler.factor[2 * at], b = sampler.factor[2 * at + 1], residual = sampler.residual[at];
    const double variance = a * a + b * b + residual * residual;
    double count = 0, sum = 0, square = 0;
    for (int64_t row = 0; row < kRows; ++row) {
      if (member[row] != m) continue;
      const double apart = score[row] - static_cast<double>(sampler.mean[at]);
      count += 1, sum += apart, square += apart * apart;
    }
    ASSERT_GT(count, 1000);
    EXPECT_LE(std::abs(sum / count), 5 * std::sqrt(variance / count)) << "member " << m;
    EXPECT_LE(std::abs(square / count - variance), 5 * variance * std::sqrt(2 / count)) << "member " << m;
  }
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

TEST(CheckTableSampler, RefusesContradictionsOfMixtures) {
  const TableSampler good = random_mixture({7, 6, 5, 3, 3}, 26);
  EXPECT_NO_THROW(check_table_sampler(good));
  const auto refuses = [&](auto spoil) {
    TableSampler sampler = good;
    spoil(sampler);
    EXPECT_THROW(check_table_sampler(sampler), Error);
  };
  using Mixture = TableSampler&;
  refuses([](Mixture s) { s.members = 6; });
  refuses([](Mixture s) { s.member = AliasTable(); });
  refuses([](Mixture s) { s.member.below.pop_back(); });
  refuses([](Mixture s) { s.member.below[3] = 7; });
  refuses([](Mixture s) { s.member.above[0] = -1; });
  refuses([](Mixture s) { s.mean.pop_back(); });
  refuses([](Mixture s) { s.mean[3] = NAN; });
  refuses([](Mixture s) { s.mean[3] = 1e30f; });
  refuses([](Mixture s) { s.emissions.resize(1); });  // a column has the second
  refuses([](Mixture s) { s.emissions[1].states = 0; });
  refuses([](Mixture s) { s.emissions[2].states -= 1; });
  refuses([](Mixture s) { s.emissions[1].above.pop_back(); });
  refuses([](Mixture s) { s.emissions[1].above[0] = 0; });
  refuses([](Mixture s) { s.emissions[1].above[0] = 1; });  // a member
  refuses([](Mixture s) { s.emissions[1].above[7] = 6; });
  refuses([](Mixture s) { s.emissions[1].above[0] = 11; });
  refuses([](Mixture s) { s.emissions[1].above[0] = -2; });
  refuses([](Mixture s) { s.emissions[1].above.assign(11, -1); });  // but some outcome is kAbove
  refuses([](Mixture s) { s.emissions[1].first.pop_back(); });
  refuses([](Mixture s) { s.emissions[1].first[0] = 1; });
  refuses([](Mixture s) { s.emissions[1].first[2] = s.emissions[1].first[3]; });
  refuses([](Mixture s) { s.emissions[1].first[2] = s.emissions[1].first[1] - 1; });
  refuses([](Mixture s) { s.emissions[1].first.back() += 1; });
  refuses([](Mixture s) { s.emissions[1].table.above.pop_back(); });
  refuses([](Mixture s) { s.emissions[1].table.above[0] = 2; });
  refuses([](Mixture s) { s.emissions[1].table.below[0] = -2; });
  refuses([](Mixture s) { s.emissions[1].table.below.back() = -1; });  // the topmost node
  refuses([](Mixture s) { s.columns[0].emission = 3; });
  refuses([](Mixture s) { s.columns[0].emission = -2; });
  refuses([](Mixture s) { s.columns[0].emission = -1; });
  refuses([](Mixture s) { s.columns[0].missing_latent = 1; });
  refuses([](Mixture s) { s.columns[0].state_role.push_back(StateRole::kValue); });
  refuses([](Mixture s) { s.columns[0].state_role[0] = static_cast<StateRole>(3); });
  refuses([](Mixture s) { s.columns[0].state_integer.pop_back(); });
  refuses([](Mixture s) { s.columns[0].state_integer[0] = int64_t{1} << 31; });
  refuses([](Mixture s) { s.columns[0].state_real.push_back(0); });
  refuses([](Mixture s) { s.columns[0].lower = {-kScoreLimit}; });  // no state uses it
  refuses([](Mixture s) { s.columns[1].latent = 6; });
  refuses([](Mixture s) { s.columns[1].state_integer[0] = 1; });  // of a state that is no value
  refuses([](Mixture s) { s.columns[9].state_real[0] = 1e300; });
  refuses([](Mixture s) { s.columns[12].state_real[0] = INFINITY; });
}

TEST(CheckTableSampler, RefusesTreesThatOneBlockOfWordsCannotClimb) {
  EXPECT_NO_THROW(check_table_sampler(random_mixture({2, 1, 1, 2, 1 + Emission::kMostNodesUp}, 27)));
  EXPECT_THROW(check_table_sampler(random_mixture({2, 1, 1, 2, 2 + Emission::kMostNodesUp}, 27)), Error);
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
