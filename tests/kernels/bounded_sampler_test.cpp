// The sampler of bounded rows on every instruction set of this machine, against a naive reference straight from the
// definition in kernels/bounded_sampler.h, to the bit. That the rows have the distribution that the bounds ask for is
// tested where those are planned (tests/engine/mixture_condition.cpp).
#include "kernels/cpu/bounded_sampler.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/backend.h"
#include "kernels/common/error.h"
#include "tests/kernels/bounded_cases.h"

namespace doppel {
namespace {

// ---- the reference

uint32_t word_where(uint64_t seed, uint64_t row, int32_t block, int32_t word) {
  return philox_words(seed, row, uint32_t(block), Stream::kWhere)[size_t(word)];
}

struct TriedRow {
  const BoundedCell* cell;
  std::vector<double> u;
  bool is_accepted;
};

// Words of a try are numbered from its first block.
TriedRow try_row(const BoundedCase& made, uint64_t seed, uint64_t row, int32_t first_block) {
  const auto word = [&](int32_t number) { return word_where(seed, row, first_block + number / 4, number % 4); };
  const BoundedCell& cell =
      made.cells[size_t(reference::draw(made.cell, 0, int64_t(made.cell.threshold.size()), word(0)))];
  TriedRow tried{&cell, {}, true};
  double psi = 0;
  const size_t bounds = cell.bounds.size();
  for (size_t i = 0; i < bounds; ++i) {
    const BoundedLatent& bound = cell.bounds[i];
    double shift = 0;
    for (size_t j = 0; j < i; ++j) shift = std::fma(cell.weight[i * bounds + j], tried.u[j], shift);
    const double centre = bound.tilt + shift;
    const TruncatedNormal normal(bound.low - centre, bound.high - centre);
    const uint64_t bits = uint64_t(word(int32_t(2 + 2 * i))) << 32 | word(int32_t(3 + 2 * i));
    tried.u.push_back(bound.tilt + normal.draw((double(bits >> 12) + 0.5) / 0x1p52));
    psi += normal.log_probability() + bound.tilt * (0.5 * bound.tilt - tried.u[i]);
  }
  if (bounds > 1) tried.is_accepted = log_of_positive((double(word(1)) + 0.5) / 0x1p32) <= psi - cell.log_bound;
  return tried;
}

SampledTable reference_of(const BoundedCase& made, uint64_t seed, uint64_t first_row, int64_t rows) {
  const TableSampler& sampler = made.table;
  SampledTable table(sampler.columns.size());
  for (SampledColumn& column : table) column.validity.assign(size_t(rows + 7) / 8, 0);
  const auto variables = int32_t(sampler.emissions.size());
  const int32_t words = (reference::normals_per_row(sampler) + 3) / 4, further = words + (variables + 3) / 4;
  size_t most = 0;
  for (const BoundedCell& cell : made.cells) most = std::max(most, cell.bounds.size());
  for (int64_t i = 0; i < rows; ++i) {
    const uint64_t row = first_row + uint64_t(i);
    TriedRow tried{};
    for (int32_t turn = 0; !tried.is_accepted; ++turn)
      tried = try_row(made, seed, row, further + variables + turn * int32_t((2 + 2 * most + 3) / 4));
    std::vector<float> normals;
    for (int32_t block = 0; block < words; ++block)
      for (int32_t pair = 0; pair < 4; pair += 2) {
        float first, second;
        portable::box_muller<PlainLanes>(int32_t(word_where(seed, row, block, pair)),
                                         int32_t(word_where(seed, row, block, pair + 1)), first, second);
        normals.insert(normals.end(), {first, second});
      }
    for (size_t b = 0; b < tried.u.size(); ++b) normals[b] = float(tried.u[b]);
    std::vector<float> scores;
    auto draw = size_t(sampler.components);
    for (int32_t latent = 0; latent < sampler.latents; ++latent) {
      const auto at = size_t(tried.cell->member * sampler.latents + latent);
      float z = sampler.mean[at];
      for (size_t k = 0; k < size_t(sampler.components); ++k) {
        const float product = sampler.factor[at * size_t(sampler.components) + k] * normals[k];
        z += product;
      }
      if (reference::has_residual(sampler, latent)) z += sampler.residual[at] * normals[draw++];
      scores.push_back(z);
    }
    for (const BoundedLatent& bound : tried.cell->bounds) {
      float& z = scores[size_t(bound.latent)];
      if (z < bound.span_low) z = bound.span_low;
      if (z >= bound.span_high) z = std::nextafter(bound.span_high, -std::numeric_limits<float>::infinity());
    }
    reference::Discrete drawn{tried.cell->member, {}};
    for (int32_t v = 0; v < variables; ++v) {
      const Emission& emission = sampler.emissions[size_t(v)];
      int32_t node = drawn.member, draws = 0, state;
      uint32_t word = word_where(seed, row, words + v / 4, v % 4);
      while ((state = reference::draw(emission.table, emission.first[size_t(node)], emission.first[size_t(node) + 1],
                                      word)) < 0) {
        node = emission.above[size_t(node)];
        word = word_where(seed, row, further + v, draws++);
      }
      drawn.states.push_back(state);
    }
    for (size_t c = 0; c < table.size(); ++c)
      if (reference::put_cell(sampler.columns[c], scores, drawn, table[c]))
        table[c].validity[size_t(i) / 8] |= uint8_t(1u << (i % 8));
  }
  return table;
}

void expect_rows(const BoundedCase& made, uint64_t seed, uint64_t first_row, int64_t rows) {
  const SampledTable wanted = reference_of(made, seed, first_row, rows);
  for (const InstructionSet& instructions : instruction_sets()) {
    const auto prepared = prepare_bounded_sampler_on_cpu(made.sampler(), instructions);
    bool kept = false;
    const SampledTable got = sample_with(*prepared, made.table, seed, first_row, rows, kept);
    EXPECT_TRUE(kept) << instructions.name;
    for (size_t c = 0; c < got.size(); ++c) {
      EXPECT_EQ(got[c].values, wanted[c].values) << instructions.name << ", column " << c << ", " << rows << " rows";
      if (made.table.columns[c].can_be_missing()) {
        EXPECT_EQ(got[c].validity, wanted[c].validity) << instructions.name << ", column " << c;
      }
    }
  }
}

TEST(BoundedSampler, RowsAreThoseOfTheDefinition) {
  for (const int64_t rows : {1, 7, 8, 9, 63, 64, 65, 700}) expect_rows(random_bounded({}, 3, 9, 1), 42, 1000, rows);
}

TEST(BoundedSampler, ShapesAndRowsBeyond32Bits) {
  for (const int32_t latents : {1, 7, 8, 9, 17})
    expect_rows(random_bounded({.latents = latents, .components = 9}, std::min(latents, 5), 7, 2), 7,
                (uint64_t{1} << 32) - 30, 60);
  expect_rows(random_bounded({.components = 1, .variables = 0}, 1, 3, 3), 8, 0, 50);
  expect_rows(random_bounded({.components = 2, .variables = 9, .levels = 4}, 2, 40, 4), 9, 5, 50);
}

TEST(BoundedSampler, CountsTriesThatAreAccepted) {
  const BoundedCase made = random_bounded({}, 3, 9, 5);
  int64_t accepted = 0;
  const int32_t variables = int32_t(made.table.emissions.size());
  const int32_t first = (reference::normals_per_row(made.table) + 3) / 4 + (variables + 3) / 4 + variables;
  for (uint64_t row = 0; row < 500; ++row) accepted += try_row(made, 3, row, first).is_accepted;
  EXPECT_EQ(count_accepted_tries(made.sampler(), 3, 500), accepted);
  EXPECT_GT(accepted, 100);
  EXPECT_LT(accepted, 500);
}

TEST(BoundedSampler, RefusesWhatContradictsItself) {
  const auto expect_refused = [](const auto& break_it) {
    BoundedCase made = random_bounded({}, 2, 5, 6);
    EXPECT_NO_THROW(check_bounded_sampler(made.sampler()));
    break_it(made);
    EXPECT_THROW(check_bounded_sampler(made.sampler()), Error);
    EXPECT_THROW(make_backend("cpu")->prepare_bounded_sampler(made.sampler()), Error);
  };
  expect_refused([](BoundedCase& made) { made.cells[0].member = made.table.members; });
  expect_refused([](BoundedCase& made) { made.cells[0].bounds[0].latent = made.table.latents; });
  expect_refused([](BoundedCase& made) { made.cells[0].bounds[1].high = made.cells[0].bounds[1].low; });
  expect_refused([](BoundedCase& made) { made.cells[0].bounds[0].tilt = std::nan(""); });
  expect_refused([](BoundedCase& made) { made.cells[0].weight.pop_back(); });
  expect_refused([](BoundedCase& made) { made.cells[0].weight[2] = std::numeric_limits<double>::infinity(); });
  expect_refused([](BoundedCase& made) { made.cell.below[1] = 5; });
  expect_refused([](BoundedCase& made) { made.cell.above.pop_back(); });
  expect_refused([](BoundedCase& made) { made.cells[0].bounds.resize(6), made.cells[0].weight.resize(36); });
}

}  // namespace
}  // namespace doppel
