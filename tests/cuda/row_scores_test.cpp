// Scores of rows on CUDA against their definition in long double, and in the stated order in double, to the bit; of low
// rank within a tolerance, but to the bit what they are with other rows or none beside them.
#include "kernels/cuda/row_scores.h"

#include "tests/cuda/device_under_test.h"
#include "tests/kernels/score_cases.h"

namespace doppel {
namespace {

using cuda::kScoreTileRows;

class CudaRowScores : public OnCuda {
 protected:
  void expect_definition(const ScoreShape& shape, uint64_t seed) {
    const ScoreCase made = random_scores(shape, seed);
    const Scores found = made.find_by(cuda());
    EXPECT_EQ(found, made.in_double());
    expect_near(found, made.in_long_double());
  }
  void expect_low_rank_definition(const ScoreShape& shape, uint64_t seed) {
    SCOPED_TRACE(std::to_string(shape.rows) + " rows, " + std::to_string(shape.members) + " members, " +
                 std::to_string(shape.latents) + " latents, rank " + std::to_string(shape.rank));
    const ScoreCase made = random_scores(shape, seed);
    expect_near(made.find_by(cuda()), made.in_long_double(), 1e-9);
  }
};

INSTANTIATE_TEST_SUITE_P(Device, CudaRowScores, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

// 32 rows a block of sums.
TEST_P(CudaRowScores, EveryNumberOfRows) {
  for (int64_t rows : {0, 1, kScoreTileRows - 1, kScoreTileRows, kScoreTileRows + 1, 31, 32, 33, 150})
    expect_definition({.rows = rows}, 1);
  expect_definition({.rows = 4 * kScoreTileRows, .patterns = 1}, 2);
}

// Strands of four, sectors of four, 128 members a block.
TEST_P(CudaRowScores, EveryNumberOfMembers) {
  for (int64_t members : {1, 2, 3, 4, 5, 7, 8, 64, 127, 128, 129, 130}) expect_definition({.members = members}, 3);
}

TEST_P(CudaRowScores, EveryNumberOfLatentsAndVariables) {
  for (int32_t latents : {0, 1, 2, 3, 17}) expect_definition({.latents = latents}, 4);
  for (int32_t variables : {0, 1, 5}) expect_definition({.variables = variables}, 5);
  expect_definition({.latents = 0, .variables = 0}, 6);
  expect_definition({.rows = 5, .members = 3, .latents = 90, .patterns = 2}, 7);
}

TEST_P(CudaRowScores, EveryNumberOfCells) {
  for (int32_t cells : {0, 1, 2, 40}) expect_definition({.cells = cells}, 8);
}

// Tables grow from one call to the next, and begin anew.
TEST_P(CudaRowScores, TablesGrowAndAreForgotten) {
  const ScoreCase first = random_scores({.rows = 40}, 9);
  const auto scores = cuda().prepare_scores(first.mixture);
  scores->find({}, {});
  first.tables.add_to(*scores, 0, 0);
  EXPECT_EQ(first.find_by(*scores, 0, 10), first.find_by(NaiveScores<double>(first.mixture, first.tables), 0, 10));
  ScoreCase more = first;
  const ScoreCase other = random_scores({.rows = 40}, 10);
  more.tables.states.insert(more.tables.states.end(), other.tables.states.begin(), other.tables.states.end());
  more.tables.patterns.insert(more.tables.patterns.end(), other.tables.patterns.begin(), other.tables.patterns.end());
  for (int32_t& pattern : more.pattern) pattern = (pattern + 3) % static_cast<int32_t>(more.tables.patterns.size());
  for (int32_t& state : more.states) state = (state + 5) % static_cast<int32_t>(more.tables.states.size());
  more.tables.add_to(*scores, first.tables.states.size(), first.tables.patterns.size());
  EXPECT_EQ(more.find_by(*scores, 0, 40), more.in_double());
  scores->forget();
  ScoreCase again = other;
  again.mixture = first.mixture;
  again.tables.add_to(*scores, 0, 0);
  EXPECT_EQ(again.find_by(*scores, 0, 40), again.in_double());
}

// Eight rows a tile of products and 32 a block, four rows a tile of cells, 16 in turn.
TEST_P(CudaRowScores, LowRankOfEveryNumberOfRows) {
  for (int64_t rows : {1, 3, 4, 5, 9, 31, 33, 85})
    expect_low_rank_definition({.rows = rows, .members = 5, .latents = 9, .rank = 3}, 11);
}

// Four factors a thread; groups of 8, 16 or 32 lanes have a member, so that a warp has four, two or one, and a block
// 16, eight or four.
TEST_P(CudaRowScores, LowRankOfEveryRank) {
  for (int32_t rank : {1, 2, 4, 5, 8, 9, 15, 16, 17, 31, 32})
    expect_low_rank_definition({.rows = 10, .members = 3, .latents = 40, .rank = rank}, 12);
}

TEST_P(CudaRowScores, LowRankOfEveryNumberOfMembers) {
  for (int64_t members : {1, 2, 4, 5, 15, 16, 17, 31, 32, 33, 129})
    expect_low_rank_definition({.rows = 10, .members = members, .latents = 7, .rank = 2}, 13);
  for (int64_t members : {7, 8, 9}) expect_low_rank_definition({.rows = 5, .members = members, .rank = 9}, 14);
  for (int64_t members : {4, 5}) expect_low_rank_definition({.rows = 5, .members = members, .rank = 17}, 15);
}

// 32 latents are looked at at a time, four terms taken at once.
TEST_P(CudaRowScores, LowRankOfEveryNumberOfLatents) {
  for (int32_t latents : {1, 2, 31, 32, 33, 65, 90})
    expect_low_rank_definition({.rows = 10, .members = 4, .latents = latents, .rank = 5}, 16);
}

// 128 cells a block.
TEST_P(CudaRowScores, LowRankOfEveryNumberOfCellsAndVariables) {
  for (int32_t cells : {0, 1, 128, 129}) expect_low_rank_definition({.rows = 5, .cells = cells, .rank = 2}, 17);
  for (int32_t variables : {0, 9}) expect_low_rank_definition({.rows = 10, .variables = variables, .rank = 2}, 18);
}

TEST_P(CudaRowScores, LowRankWithoutFactors) {
  ScoreCase made = random_scores({.latents = 9, .rank = 1}, 19);
  made.mixture.low_rank.rank = 0;
  made.mixture.low_rank.factor.clear();
  expect_near(made.find_by(cuda()), made.in_long_double(), 1e-9);
}

TEST_P(CudaRowScores, LowRankOfMoreFactorsIsNotTheirs) {
  EXPECT_NE(cuda().prepare_scores(random_scores({.rank = 32}, 20).mixture), nullptr);
  EXPECT_EQ(cuda().prepare_scores(random_scores({.rank = 33}, 20).mixture), nullptr);
}

TEST_P(CudaRowScores, LowRankDoesNotDependOnRowsBeside) {
  const ScoreCase made = random_scores({.rows = 23, .members = 18, .latents = 11, .rank = 4}, 21);
  const auto scores = cuda().prepare_scores(made.mixture);
  made.tables.add_to(*scores, 0, 0);
  const Scores whole = made.find_by(*scores, 0, made.rows());
  const auto cells = static_cast<std::ptrdiff_t>(made.mixture.cells.size());
  for (const int64_t most : {1, 3, 7})
    for (int64_t first = 0; first < made.rows(); first += most) {
      const int64_t count = std::min(most, made.rows() - first);
      const Scores few = made.find_by(*scores, first, count);
      const auto part = [&](const std::vector<double>& all, std::ptrdiff_t width) {
        return std::vector(all.begin() + first * width, all.begin() + (first + count) * width);
      };
      EXPECT_EQ(few, (Scores{part(whole.log_density, 1), part(whole.without, cells), part(whole.alone, cells)}));
    }
}

}  // namespace
}  // namespace doppel
