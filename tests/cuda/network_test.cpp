// Trained networks on CUDA against a naive reference in double: each kind of layer, then whole ones.
#include <random>

#include "kernels/backend.h"
#include "tests/cuda/device_under_test.h"
#include "tests/kernels/network_cases.h"

namespace doppel {
namespace {

using Kind = TrainedLayer::Kind;

constexpr Precision kBoth[] = {Precision::kSingle, Precision::kBfloat16};

// Of the root mean square of what up to six layers give: factors are rounded to 11 or 8 significant bits, an error of
// 2.8e-4 or 2.3e-3 each if it is uniform, and two factors a product.
double tolerance(Precision precision) {
  return precision == Precision::kSingle ? 1.5e-3 : 1.2e-2;
}

class CudaNetworks : public OnCuda {
 protected:
  void expect_reference(const TrainedNetwork& network, int64_t rows, int64_t block_rows, int32_t labels = 1) {
    std::mt19937_64 random(7);
    const std::vector<float> x = random_normals(rows * network.inputs(), 1, random);
    std::vector<int32_t> label(static_cast<size_t>(rows));
    for (size_t row = 0; row < label.size(); ++row) label[row] = static_cast<int32_t>(row) % labels;
    const std::vector<double> expected = run_layers(network, x.data(), label.data(), rows);
    for (const Precision precision : kBoth) {
      const auto prepared = cuda().prepare_network(network, precision, block_rows);
      std::vector<float> y(expected.size() + 1, -77);
      prepared->run(x.data(), label.data(), rows, y.data());
      EXPECT_EQ(y.back(), -77) << "wrote past the end";
      EXPECT_LT(relative_error(y, expected), tolerance(precision)) << rows << " rows";
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Device, CudaNetworks, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaNetworks, DenseLayersOfEveryWidth) {
  for (const int64_t width : {1, 3, 4, 7, 8, 9, 33})
    for (const bool rectified : {false, true})
      expect_reference({{random_dense(width + 2, width, rectified, 0, 1)}}, 17, 16);
}

TEST_P(CudaNetworks, RowsAtTheBoundariesOfBlocks) {
  const TrainedNetwork network{{random_dense(5, 6, true, 3, 2), random_dense(6, 2, false, 0, 3)}};
  for (const int64_t rows : {1, 15, 16, 17, 32, 33}) expect_reference(network, rows, 16, 3);
  expect_reference(network, 20, 1000, 3);  // fewer than a block
}

TEST_P(CudaNetworks, LabelsAddToTheirLayer) {
  expect_reference(
      {{random_dense(4, 9, false, 0, 4), random_dense(9, 11, true, 5, 5), random_dense(11, 3, false, 0, 6)}}, 20, 32,
      5);
}

// Channels on both sides of a vector's 4 and 8; images that kernels and strides leave a rest of.
TEST_P(CudaNetworks, Convolutions) {
  const std::vector<ConvShape> shapes = {{1, 4, 5, 6, 3, 1, 1}, {3, 5, 7, 4, 3, 1, 1}, {4, 8, 6, 6, 4, 2, 1},
                                         {8, 3, 5, 5, 4, 2, 1}, {2, 2, 3, 4, 1, 1, 0}, {16, 1, 4, 3, 3, 2, 1}};
  for (const ConvShape& shape : shapes)
    expect_reference({{random_image_layer(Kind::kConvolution, shape, true, 8)}}, 3, 16);
}

TEST_P(CudaNetworks, TransposedConvolutions) {
  const std::vector<ConvShape> shapes = {{1, 4, 8, 6, 4, 2, 1}, {2, 3, 7, 9, 4, 2, 1}, {4, 8, 6, 6, 3, 1, 1},
                                         {8, 2, 5, 7, 4, 2, 1}, {3, 1, 7, 7, 3, 3, 0}, {12, 5, 4, 4, 4, 2, 1}};
  for (const ConvShape& shape : shapes)
    expect_reference({{random_image_layer(Kind::kTransposed, shape, true, 9)}}, 3, 16);
}

TEST_P(CudaNetworks, Pools) {
  for (const int64_t channels : {1, 4, 6, 8})
    expect_reference({{random_image_layer(Kind::kConvolution, {1, channels, 7, 5, 3, 1, 1}, true, 10),
                       max_pool(channels, 7, 5, 2), random_dense(channels * 6, 5, false, 0, 11)}},
                     5, 16);
}

TEST_P(CudaNetworks, WholeNetworks) {
  const TrainedNetwork classifier{{random_image_layer(Kind::kConvolution, {3, 8, 12, 10, 3, 1, 1}, true, 12),
                                   max_pool(8, 12, 10, 2),
                                   random_image_layer(Kind::kConvolution, {8, 16, 6, 5, 3, 1, 1}, true, 13),
                                   max_pool(16, 6, 5, 2), random_dense(96, 12, true, 0, 14)}};
  expect_reference(classifier, 18, 16);
  const TrainedNetwork decoder{{random_dense(6, 20, true, 3, 15), random_dense(20, 20, true, 0, 16),
                                random_dense(20, 16 * 9, true, 0, 17),
                                random_image_layer(Kind::kTransposed, {8, 16, 6, 6, 4, 2, 1}, true, 18),
                                random_image_layer(Kind::kTransposed, {1, 8, 12, 12, 4, 2, 1}, false, 19)}};
  expect_reference(decoder, 9, 16, 3);
}

TEST_P(CudaNetworks, ARowDoesNotDependOnTheOthers) {
  const TrainedNetwork network{{random_dense(5, 9, true, 2, 20), random_dense(9, 4, false, 0, 21)}};
  std::mt19937_64 random(22);
  const std::vector<float> x = random_normals(40 * 5, 1, random);
  std::vector<int32_t> labels(40);
  for (size_t row = 0; row < labels.size(); ++row) labels[row] = row % 2;
  const auto prepared = cuda().prepare_network(network, Precision::kSingle, 16);
  std::vector<float> whole(40 * 4), parts(40 * 4);
  prepared->run(x.data(), labels.data(), 40, whole.data());
  for (int64_t first = 0; first < 40; first += 8)
    prepared->run(x.data() + first * 5, labels.data() + first, 8, parts.data() + first * 4);
  EXPECT_EQ(parts, whole);
}

}  // namespace
}  // namespace doppel
