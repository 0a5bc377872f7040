// Scores of rows on CUDA against their definition in long double, and in the stated order in double, to the bit.
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

}  // namespace
}  // namespace doppel
