// Several devices as one give what one gives, to the bit, whichever of them makes it.
#include <string>

#include "kernels/common/error.h"
#include "tests/cuda/device_under_test.h"
#include "tests/kernels/decoder_cases.h"
#include "tests/kernels/expectation_cases.h"
#include "tests/kernels/factor_cases.h"
#include "tests/kernels/network_cases.h"
#include "tests/kernels/points.h"
#include "tests/kernels/product_cases.h"
#include "tests/kernels/sampler_cases.h"
#include "tests/kernels/score_cases.h"

namespace doppel {
namespace {

constexpr int kDevices = 3;

class CudaGroup : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    try {
      one_ = make_backend_under_test(GetParam());
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
    group_ = make_group_under_test(GetParam());
  }
  void TearDown() override { EXPECT_EQ(reports_of_device(), std::vector<std::string>{}); }
  const Backend& one() const { return *one_; }
  const Backend& group() const { return *group_; }

 private:
  std::unique_ptr<Backend> one_, group_;
};

INSTANTIATE_TEST_SUITE_P(Device, CudaGroup, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaGroup, SaysWhatItIs) {
  EXPECT_NE(group().description().find(" (3 x "), std::string::npos) << group().description();
}

TEST_P(CudaGroup, SamplersOfEachDeviceWriteTheCpusRows) {
  const TableSampler table = every_kind_of_column(5, 6, 50, 1);
  const auto on_cpu = make_backend("cpu")->prepare_table_sampler(table);
  std::vector<std::unique_ptr<PreparedTableSampler>> samplers;
  for (int i = 0; i < kDevices; ++i) samplers.push_back(group().prepare_table_sampler(table));
  uint64_t first_row = 0;
  for (const auto& sampler : samplers) {
    expect_same_bytes(*sampler, *on_cpu, table, 7, first_row, 1000);
    first_row += 1000;
  }
}

TEST_P(CudaGroup, DecodersOfEachDeviceWriteTheCpusRows) {
  const TableDecoder decoder = random_decoder({}, 1);
  const auto on_cpu = make_backend("cpu")->prepare_table_decoder(decoder);
  for (int i = 0; i < kDevices; ++i)
    expect_same_bytes(*group().prepare_table_decoder(decoder), *on_cpu, decoder.table, 7, 1000, 300);
}

TEST_P(CudaGroup, ScoresOfEachDeviceAreTheSame) {
  const ScoreCase made = random_scores({}, 1);
  const Scores of_one = made.find_by(one());
  for (int i = 0; i < kDevices; ++i) EXPECT_EQ(made.find_by(group()), of_one) << "device " << i;
}

TEST_P(CudaGroup, ProductsOfEachDeviceAreTheSame) {
  const ProductCase made = random_product(1, 20, 10, 70, 1);
  const auto of_one = one().prepare_products(made.doubles());
  const std::vector<double> wanted = product_by(*of_one, made, false, 0, made.rows.data(), 70);
  for (int i = 0; i < kDevices; ++i)
    EXPECT_EQ(product_by(*group().prepare_products(made.doubles()), made, false, 0, made.rows.data(), 70), wanted);
}

TEST_P(CudaGroup, ImagesOfEachDeviceAreTheSame) {
  ImageSampler sampler = random_image_sampler({{random_dense(9, 24, true, 3, 1), random_dense(24, 35, false, 0, 2)}},
                                              PixelLikelihood::kBernoulli, 3, 4, 1);
  sampler.block_rows = 16;
  constexpr int64_t kRows = 50;
  const auto bytes = static_cast<size_t>(kRows * sampler.levels());
  std::vector<uint8_t> first(bytes), images(bytes);
  group().prepare_image_sampler(sampler)->sample(3, 5, kRows, first.data(), nullptr);
  for (int i = 1; i < kDevices; ++i) {
    group().prepare_image_sampler(sampler)->sample(3, 5, kRows, images.data(), nullptr);
    EXPECT_EQ(images, first) << "device " << i;
  }
}

TEST_P(CudaGroup, StepsOfFactorAnalysersAreTheirDefinition) {
  expect_definition(group(), {.rows = 31}, 1);
}

TEST_P(CudaGroup, StepsOfMixturesAreTheirDefinition) {
  const ExpectationCase made = random_expectation({}, 1);
  expect_definition(made, made.expect_by(*group().prepare_mixture_rows(made.of_density.rows, 3, 4)));
}

TEST_P(CudaGroup, NearestRowsAreTheCpus) {
  const PointSet references = random_points(200, 7, 2);
  for (const int64_t rows : {0, 1, 2, 3, 100}) {
    const PointSet queries = random_points(rows, 7, 1);
    EXPECT_EQ(group().nearest_distances(queries.points(), references.points()),
              make_backend("cpu")->nearest_distances(queries.points(), references.points()));
  }
  const PointSet three{1, 3, {0, 0, 0}};
  EXPECT_THROW(group().nearest_distances(three.points(), references.points()), Error);
}

}  // namespace
}  // namespace doppel
