// Nearest neighbours on CUDA against the CPU's, to the bit; that one is tested against a naive search (tests/kernels).
#include "kernels/cuda/nearest.h"

#include <limits>

#include "kernels/common/error.h"
#include "tests/cuda/device_under_test.h"
#include "tests/kernels/points.h"

namespace doppel {
namespace {

using cuda::kNearestTileColumns;
using cuda::kNearestTileRows;

class CudaNearest : public OnCuda {
 protected:
  void expect_cpu_bits(const PointSet& queries, const PointSet& references) {
    EXPECT_EQ(cuda().nearest_distances(queries.points(), references.points()),
              make_backend("cpu")->nearest_distances(queries.points(), references.points()))
        << queries.rows << " queries, " << references.rows << " references, " << queries.columns << " columns";
  }
};

INSTANTIATE_TEST_SUITE_P(Device, CudaNearest, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaNearest, EverySizeBoundaryOfRows) {
  for (int64_t queries : {0, 1, 3, kNearestTileRows - 1, kNearestTileRows, kNearestTileRows + 1})
    for (int64_t references :
         {0, 1, kNearestTileRows - 1, kNearestTileRows, kNearestTileRows + 1, 3 * kNearestTileRows + 5})
      expect_cpu_bits(random_points(queries, 5, 1), random_points(references, 5, 2));
}

TEST_P(CudaNearest, EverySizeBoundaryOfColumns) {
  for (int64_t columns :
       {0, 1, kNearestTileColumns - 1, kNearestTileColumns, kNearestTileColumns + 1, 2 * kNearestTileColumns + 3})
    expect_cpu_bits(random_points(70, columns, 3), random_points(130, columns, 4));
}

TEST_P(CudaNearest, RowsOfTheReferencesAreAtDistanceZero) {
  const PointSet points = random_points(150, 7, 5);
  EXPECT_EQ(cuda().nearest_distances(points.points(), points.points()), std::vector<float>(150, 0.0f));
}

TEST_P(CudaNearest, ContradictionsAreErrors) {
  const PointSet two{1, 2, {0, 0}}, three{1, 3, {0, 0, 0}}, infinite{1, 2, {0, INFINITY}};
  EXPECT_THROW(cuda().nearest_distances(two.points(), three.points()), Error);
  EXPECT_THROW(cuda().nearest_distances(two.points(), infinite.points()), Error);
}

}  // namespace
}  // namespace doppel
