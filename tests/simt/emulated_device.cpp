// The device of test_simt: the emulator, in three orders of threads, in one of them with cuDNN. The backend's own code
// is linked in, not the plugin.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernels/common/error.h"
#include "kernels/cuda/bounded_sampler.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/decode_table.h"
#include "kernels/cuda/factor_rows.h"
#include "kernels/cuda/mixture_rows.h"
#include "kernels/cuda/responsibilities.h"
#include "kernels/cuda/row_products.h"
#include "kernels/cuda/row_scores.h"
#include "kernels/cuda/sample_table.h"
#include "kernels/cuda/trainer.h"
#include "tests/cuda/device_under_test.h"
#include "tests/kernels/bounded_cases.h"
#include "tests/kernels/decoder_cases.h"
#include "tests/kernels/expectation_cases.h"
#include "tests/kernels/factor_cases.h"
#include "tests/kernels/network_cases.h"
#include "tests/kernels/pair_cases.h"
#include "tests/kernels/product_cases.h"
#include "tests/kernels/sampler_cases.h"
#include "tests/kernels/score_cases.h"
#include "tests/kernels/training_cases.h"
#include "tests/simt/emulator.h"

extern "C" const doppel::CudaPlugin doppel_cuda_plugin;

namespace doppel {

std::vector<std::string> devices_under_test() {
  return {"Ascending", "Descending", "Random"};
}

namespace {

std::unique_ptr<Backend> make_emulated(const std::string& device, std::vector<int> numbers) {
  simt::options() = {};
  simt::options().order = device == "Ascending"    ? simt::Order::kAscending
                          : device == "Descending" ? simt::Order::kDescending
                                                   : simt::Order::kRandom;
  simt::options().cudnn = device == "Random" ? simt::Cudnn::kIsThere : simt::Cudnn::kNone;
  simt::options().devices = static_cast<int>(numbers.size());
  simt::take_reports();
  return doppel_cuda_plugin.make(numbers);
}

}  // namespace

std::unique_ptr<Backend> make_backend_under_test(const std::string& device) {
  return make_emulated(device, {0});
}
std::unique_ptr<Backend> make_group_under_test(const std::string& device) {
  return make_emulated(device, {0, 1, 2});
}

std::vector<std::string> reports_of_device() {
  return simt::take_reports();
}

namespace {

SampledTable sampled(PreparedTableSampler& prepared, const TableSampler& sampler, int64_t rows,
                     const Allocate& allocate = allocate_host_memory) {
  bool kept = false;
  SampledTable table = sample_with(prepared, sampler, 9, 123, rows, kept, allocate);
  EXPECT_TRUE(kept);
  return table;
}

constexpr size_t kSmallestBuffer = 1;  // byte: a piece is a tile then

// A batch that goes through the two buffers many times.
void expect_same_rows(PreparedTableSampler& pieces, PreparedTableSampler& whole, const TableSampler& table) {
  for (int64_t tiles : {1, 2, 3, 6}) {
    for (int64_t more : {-1, 0, 1}) {
      const int64_t rows = tiles * cuda::kTileRows + more;
      const SampledTable wanted = sampled(whole, table, rows);
      EXPECT_EQ(sampled(pieces, table, rows), wanted) << rows << " rows";
      EXPECT_EQ(sampled(pieces, table, rows, [&](size_t bytes) { return pieces.allocate(bytes); }), wanted)
          << rows << " rows into pinned memory";
    }
  }
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

TEST(CudaPipeline, ManyPiecesGiveTheSameBytes) {
  const auto backend = make_backend_under_test("Random");
  const TableSampler sampler = every_kind_of_column(5, 6, 50, 1);
  const auto pieces = cuda::prepare_cuda_table_sampler(sampler, 0, kSmallestBuffer);
  expect_same_rows(*pieces, *backend->prepare_table_sampler(sampler), sampler);
}

TEST(CudaPipeline, ManyPiecesOfADecoderGiveTheSameBytes) {
  const auto backend = make_backend_under_test("Random");
  const TableDecoder decoder = random_decoder({}, 1);
  const auto pieces = cuda::prepare_cuda_table_decoder(decoder, 0, kSmallestBuffer);
  expect_same_rows(*pieces, *backend->prepare_table_decoder(decoder), decoder.table);
}

// Calls run() with less and less of the device's memory until it is too short, which is an error that says so. Nothing
// stays on the device. Returns how often it ran.
template <class Run>
int runs_in_less_memory(size_t most, const Run& run) {
  const size_t taken = simt::device_bytes(0);
  for (int runs = 0;; ++runs, most = most * 3 / 4) {
    SCOPED_TRACE(std::to_string(most) + " bytes");
    simt::options().device_memory = taken + most;
    bool was_short = false;
    try {
      run();
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("out of memory"), std::string::npos) << error.what();
      was_short = true;
    }
    EXPECT_EQ(simt::device_bytes(0), taken) << "bytes left behind";
    if (was_short) return runs;
  }
}

// A block of rows and an entry at a time, or some; and as few as the device has memory for, and an error where not even
// one's fit.
TEST(CudaPipeline, StepsOfFewRowsAtATimeAreTheSame) {
  const auto backend = make_backend_under_test("Random");
  const ExpectationCase made = random_expectation({.rows = 299, .latents = 3, .absent = 2}, 1);
  const MixtureRows& rows = made.of_density.rows;
  const Expectation whole = made.expect_by(*backend->prepare_mixture_rows(rows, 3, 3));
  for (const size_t bytes : {0, 1000, 5000}) {
    SCOPED_TRACE(std::to_string(bytes) + " bytes");
    expect_same(made.expect_by(*cuda::prepare_cuda_mixture_rows(rows, 3, 3, 0, bytes, bytes)), whole);
  }
  const int runs = runs_in_less_memory(
      size_t{1} << 20, [&] { expect_same(made.expect_by(*backend->prepare_mixture_rows(rows, 3, 3)), whole); });
  EXPECT_GT(runs, 6);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

// Likewise; of a table's scores the tables stay.
TEST(CudaPipeline, ScoresOfFewRowsAtATimeAreTheSame) {
  const auto backend = make_backend_under_test("Random");
  const ScoreCase made = random_scores({.rows = 300, .members = 20}, 1);
  const Scores whole = made.find_by(*backend);
  for (const size_t bytes : {0, 3000, 20000}) {
    const auto pieces = cuda::prepare_cuda_scores(made.mixture, 0, bytes);
    made.tables.add_to(*pieces, 0, 0);
    EXPECT_EQ(made.find_by(*pieces, 0, made.rows()), whole) << bytes << " bytes";
  }
  const int runs = runs_in_less_memory(size_t{1} << 19, [&] { EXPECT_EQ(made.find_by(*backend), whole); });
  EXPECT_GT(runs, 6);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

// Of low rank, too, where rows with gaps have memory of their own.
TEST(CudaPipeline, ScoresOfLowRankOfFewRowsAtATimeAreTheSame) {
  const auto backend = make_backend_under_test("Random");
  const ScoreCase made = random_scores({.rows = 90, .members = 6, .latents = 12, .rank = 3}, 1);
  const Scores whole = made.find_by(*backend);
  for (const size_t bytes : {0, 3000, 20000}) {
    const auto pieces = cuda::prepare_cuda_scores(made.mixture, 0, bytes);
    made.tables.add_to(*pieces, 0, 0);
    EXPECT_EQ(made.find_by(*pieces, 0, made.rows()), whole) << bytes << " bytes";
  }
  const int runs = runs_in_less_memory(size_t{1} << 19, [&] { EXPECT_EQ(made.find_by(*backend), whole); });
  EXPECT_GT(runs, 6);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

TEST(CudaPipeline, ProductsOfFewRowsAtATimeAreTheSame) {
  const auto backend = make_backend_under_test("Random");
  constexpr int64_t kRows = 500;
  const ProductCase made = random_product(2, 30, 20, kRows, 1);
  const auto both = [&](PreparedProducts& products) {
    std::vector<double> found = product_by(products, made, false, 1, made.rows.data(), kRows);
    const std::vector<double> more = product_by(products, made, true, 0, made.rows.data(), kRows);
    found.insert(found.end(), more.begin(), more.end());
    return found;
  };
  const std::vector<double> whole = both(*backend->prepare_products(made.doubles()));
  for (const size_t bytes : {0, 60000}) EXPECT_EQ(both(*cuda::prepare_cuda_products(made.doubles(), 0, bytes)), whole);
  constexpr size_t kWorkspace = size_t{4} << 20;  // of cuBLAS
  const size_t taken = simt::device_bytes(0);
  for (const size_t kilobytes : {300, 150, 60}) {
    simt::options().device_memory = taken + kWorkspace + (kilobytes << 10);
    EXPECT_EQ(both(*backend->prepare_products(made.floats())), whole) << kilobytes << " kB";
  }
  simt::options().device_memory = taken + kWorkspace + 1000;
  EXPECT_THROW(both(*backend->prepare_products(made.floats())), Error);
  EXPECT_EQ(simt::device_bytes(0), taken) << "bytes left behind";
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

// No allocation once there is room, and one wait a piece: of low rank one of rows without gaps and one of others.
void expect_no_allocation(const ScoreShape& shape, int64_t pieces) {
  const auto backend = make_backend_under_test("Ascending");
  const ScoreCase made = random_scores(shape, 1);
  const auto scores = backend->prepare_scores(made.mixture);
  made.tables.add_to(*scores, 0, 0);
  const Scores first = made.find_by(*scores, 0, made.rows());
  const auto before = simt::counts();
  EXPECT_EQ(made.find_by(*scores, 0, made.rows()), first);
  EXPECT_EQ(simt::counts().allocations, before.allocations);
  EXPECT_EQ(simt::counts().waits, before.waits + pieces);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}
TEST(CudaPipeline, ScoresOfKnownTablesNeitherAllocateNorWait) {
  expect_no_allocation({.rows = 50}, 1);
  expect_no_allocation({.rows = 50, .rank = 2}, 2);
}

void expect_near(const std::vector<double>& found, const std::vector<double>& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_TRUE(found[i] == wanted[i] || std::abs(found[i] - wanted[i]) < 1e-4) << found[i] << ", not " << wanted[i];
}

// But for the order of sums.
void expect_near(const FactorStep& found, const FactorStep& wanted) {
  expect_near(found.log_density, wanted.log_density);
  expect_same_sums(found, wanted, kSumTolerance);
}

TEST(CudaPipeline, StepsOfFactorsOfFewRowsAtATimeAreTheSame) {
  const auto backend = make_backend_under_test("Random");
  const FactorCase made = random_factors({.rows = 53}, 1);
  const FactorStep whole = made.expect_by(*made.prepared_by(*backend));
  const auto prepared = [&](size_t factor_bytes, size_t covariance_bytes) {
    return cuda::prepare_cuda_factor_rows(made.rows, made.density.states.variables, made.shape.latents, 0, factor_bytes,
                                          covariance_bytes);
  };
  const auto row_bytes =
      static_cast<size_t>(padded_members(made.shape.members) * (1 + made.density.rank)) * sizeof(float);
  for (size_t rows : {0, 8, 20, 32}) {
    SCOPED_TRACE(std::to_string(rows) + " rows at a time");
    expect_near(made.expect_by(*prepared(rows * row_bytes, cuda::kCovarianceBytes)), whole);
  }
  const auto rank = static_cast<size_t>(made.shape.rank);
  for (size_t entries : {0, 1, 7, 50}) {
    SCOPED_TRACE(std::to_string(entries) + " covariances at a time");
    const FactorStep found = made.expect_by(*prepared(cuda::kFactorBytes, entries * rank * rank * sizeof(double)));
    expect_same_sums(found, whole, 1e-12);
  }
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

struct Trained {
  double loss;
  std::vector<std::vector<float>> first_moments;  // of each parameter
};
Trained trained_a_step(PreparedTrainer& trainer, const TrainableNetwork& network, int64_t rows) {
  const PreparedTrainer::Batch batch = trainer.batch();
  for (int64_t i = 0; i < rows * network.inputs(); ++i) batch.x[i] = static_cast<float>(i * 37 % 256) / 255;
  std::fill_n(batch.labels, rows, 1);
  trainer.step(rows, {{1, 2}, 1, 0.01, 1, 0});
  Trained trained{trainer.losses().loss, {}};
  for (const TrainableLayer& of_chain : network.layers)
    for (const auto* some : {&of_chain.layer.weight, &of_chain.layer.bias, &of_chain.layer.label_weight})
      if (!some->empty()) trained.first_moments.emplace_back(some->size());
  std::vector<ParameterState> states;
  for (auto& some : trained.first_moments) states.push_back({{}, some, {}, {}});
  trainer.read(states);
  return trained;
}
void expect_near(const Trained& found, const Trained& expected) {
  for (size_t p = 0; p < expected.first_moments.size(); ++p) {
    const std::vector<float>& moments = expected.first_moments[p];
    EXPECT_LT(relative_error(found.first_moments[p], {moments.begin(), moments.end()}), 1e-5) << "parameter " << p;
  }
}

TEST(CudaPipeline, PatchesOfFewRowsAtATimeTrainTheSame) {
  const auto backend = make_backend_under_test("Ascending");
  const TrainableNetwork network = image_vae({1, 4, 6, 5, 4, 2, 1}, 2, TrainingLoss::kBernoulli);
  constexpr int64_t kSmallest = 1;  // byte: 16 rows at a time then
  const Trained whole = trained_a_step(*backend->prepare_trainer(network, 40), network, 40),
                pieces = trained_a_step(*cuda::prepare_cuda_trainer(network, 40, 0, kSmallest), network, 40);
  EXPECT_EQ(whole.loss, pieces.loss);
  expect_near(pieces, whole);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

// With cuDNN no patches are made. Where it has no algorithm, or none when it comes to it, there are patches as without
// it.
TEST(CudaPipeline, ConvolutionsAreCudnnsWhereItHasAnAlgorithm) {
  const auto backend = make_backend_under_test("Random");
  const TrainableNetwork network = image_vae({1, 4, 6, 5, 4, 2, 1}, 2, TrainingLoss::kBernoulli);
  const auto train = [&](simt::Cudnn cudnn) {
    simt::options().cudnn = cudnn;
    const simt::Counts before = simt::counts();
    const Trained trained = trained_a_step(*backend->prepare_trainer(network, 40), network, 40);
    return std::pair(trained, simt::counts().launches - before.launches);
  };
  const auto [without, launches_without] = train(simt::Cudnn::kNone);
  const auto [with, launches_with] = train(simt::Cudnn::kIsThere);
  EXPECT_NEAR(with.loss, without.loss, 1e-6 * without.loss);
  expect_near(with, without);
  EXPECT_LT(launches_with, launches_without);
  for (const simt::Cudnn of_no_use : {simt::Cudnn::kKnowsNothing, simt::Cudnn::kRefusesLate}) {
    const auto [trained, launches] = train(of_no_use);
    EXPECT_EQ(trained.loss, without.loss);
    EXPECT_EQ(trained.first_moments, without.first_moments);
    EXPECT_EQ(launches, launches_without);
  }
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

void train_on_grey(PreparedTrainer& trainer, const TrainableNetwork& network, int64_t rows, int64_t number) {
  const PreparedTrainer::Batch batch = trainer.batch();
  std::fill_n(batch.x, rows * network.inputs(), 0.5f);
  std::fill_n(batch.labels, rows, 1);
  trainer.step(rows, {{1, 2}, 1, 0.01, number, 0});
}

// Samplers wait for the copies of their pieces by events alone.
TEST(CudaPipeline, SamplersNeitherAllocateNorWaitOnceTheyRun) {
  const auto backend = make_backend_under_test("Random");
  const TableSampler table = every_kind_of_column(5, 6, 50, 1);
  const TableDecoder decoder = random_decoder({}, 1);
  ImageSampler images = random_image_sampler({{random_dense(9, 24, true, 3, 1), random_dense(24, 35, false, 0, 2)}},
                                             PixelLikelihood::kBernoulli, 3, 4, 1);
  images.block_rows = 16;
  const auto rows = backend->prepare_table_sampler(table), decoded = backend->prepare_table_decoder(decoder);
  const auto made = backend->prepare_image_sampler(images);
  constexpr int64_t kRows = 3 * cuda::kTileRows;
  const HostMemory levels = made->allocate(static_cast<size_t>(kRows * images.levels()));
  simt::Counts before;
  for (int turn = 0; turn < 4; ++turn) {
    sampled(*rows, table, kRows);
    sampled(*decoded, decoder.table, kRows);
    made->sample(1, 5, kRows, reinterpret_cast<uint8_t*>(levels.get()), nullptr);
    if (turn == 0) before = simt::counts();  // by then staging buffers are made
  }
  EXPECT_EQ(simt::counts().allocations, before.allocations);
  EXPECT_EQ(simt::counts().waits, before.waits);
  EXPECT_GT(simt::counts().launches, before.launches);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

TEST(CudaPipeline, StepsOfATrainingNeitherAllocateNorWait) {
  const auto backend = make_backend_under_test("Random");
  const TrainableNetwork network = image_vae({1, 4, 6, 5, 4, 2, 1}, 2, TrainingLoss::kBernoulli);
  const auto trainer = backend->prepare_trainer(network, 20);
  const simt::Counts before = simt::counts();
  for (int64_t number = 1; number <= 6; ++number) {
    train_on_grey(*trainer, network, 20 - number % 2, number);
    if (number % 2 == 0) {
      trainer->batch();
      trainer->measure(20, {1, 2}, false);
    }
  }
  EXPECT_EQ(simt::counts().allocations, before.allocations);
  EXPECT_EQ(simt::counts().waits, before.waits);
  trainer->losses();
  EXPECT_GT(simt::counts().waits, before.waits) << "waits are counted";
  EXPECT_GT(simt::counts().launches, before.launches);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

// Of any network: a graph's launch, three copies (pixels, labels, numbers), the events between the streams.
TEST(CudaPipeline, AStepIsElevenCallsOnceItWasRecorded) {
  constexpr uint64_t kCalls = 11;
  const auto backend = make_backend_under_test("Random");
  for (const TrainableNetwork& network :
       {image_vae({1, 4, 6, 5, 4, 2, 1}, 2, TrainingLoss::kBernoulli), image_classifier({1, 4, 7, 6, 3, 1, 1}, 3)}) {
    const auto trainer = backend->prepare_trainer(network, 20);
    int64_t number = 0;
    while (number < 4) train_on_grey(*trainer, network, 20, ++number);  // both slots by calls, then recorded
    trainer->losses();
    for (int64_t more = 0; more < 4; ++more) {
      const simt::Counts before = simt::counts();
      train_on_grey(*trainer, network, 17 + more, ++number);
      EXPECT_EQ(simt::counts().calls, before.calls + kCalls);
      EXPECT_EQ(simt::counts().graph_launches, before.graph_launches + 1);
      EXPECT_EQ(simt::counts().kernel_calls, before.kernel_calls);
      trainer->losses();
      EXPECT_GT(simt::counts().launches, before.launches + 10) << "kernels of the graph";
    }
  }
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

TEST(CudaPipeline, ACallThatFailsWhileAStepIsRecordedIsAnError) {
  const auto backend = make_backend_under_test("Ascending");
  const TrainableNetwork network = dense_vae(5, 6, 1, 2, TrainingLoss::kBernoulli);
  uint64_t calls = 0;
  for (uint64_t call = 0; call == 0 || call <= calls; ++call) {
    const auto trainer = backend->prepare_trainer(network, 4);
    for (int64_t number = 1; number <= 2; ++number) train_on_grey(*trainer, network, 4, number);
    const uint64_t before = simt::counts().calls;
    if (call > 0) simt::options().failing_call = before + call;
    try {
      train_on_grey(*trainer, network, 4, 3);
      EXPECT_TRUE(call == 0 || call == calls - 2) << "call " << call << " of " << calls;  // a graph's destruction
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("kernels/cuda/"), std::string::npos) << error.what();
    }
    if (call == 0) calls = simt::counts().calls - before;
    simt::options().failing_call = 0;
  }
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

// Parameters by member, which rows with gaps want, are made at the first of these: memory may be too short just then.
// Rows that do not fit are uploaded at each step.
TEST(CudaPipeline, RowsOfFactorsShrinkToTheDevicesMemory) {
  const auto backend = make_backend_under_test("Ascending");
  const FactorCase made = random_factors({.rows = 100}, 1);
  const FactorStep whole = made.expect_by(*made.prepared_by(*backend));
  const int runs =
      runs_in_less_memory(size_t{1} << 18, [&] { expect_near(made.expect_by(*made.prepared_by(*backend)), whole); });
  EXPECT_GT(runs, 3);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

// Rows that a device holds make room where a step does not fit beside them.
TEST(CudaPipeline, RowsOfFactorsMakeRoomForSteps) {
  const auto backend = make_backend_under_test("Random");
  const FactorCase made = random_factors({.rows = 500, .members = 3}, 2);
  const FactorStep whole = made.expect_by(*made.prepared_by(*backend));
  bool has_made_room = false;
  for (size_t beside = size_t{1} << 16; !has_made_room && beside > 0; beside = beside * 3 / 4) {
    SCOPED_TRACE(std::to_string(beside) + " bytes");
    simt::options().device_memory = size_t{1} << 30;
    const auto rows = made.prepared_by(*backend);
    const size_t taken = simt::device_bytes(0);
    simt::options().device_memory = taken + beside;
    expect_near(made.expect_by(*rows), whole);
    has_made_room = simt::device_bytes(0) < taken;
  }
  EXPECT_TRUE(has_made_room);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

// Columns that do not fit come in pieces of rows for each pair, whose counts are added.
TEST(CudaPipeline, PairsAreCountedInTheDevicesMemory) {
  const auto backend = make_backend_under_test("Ascending");
  const CodedTable table = make_coded_table(600, {3, 90, 4000}, 1);
  EXPECT_GT(runs_in_less_memory(size_t{1} << 17, [&] { expect_pair_counts(*backend, table); }), 6);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

TEST(CudaPipeline, SortsWhatTheDeviceHasMemoryFor) {
  const auto backend = make_backend_under_test("Ascending");
  EXPECT_GT(runs_in_less_memory(size_t{1} << 14, [&] { expect_sorted(*backend, 500); }), 10);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

// Less memory, smaller pieces, the same rows; and where not even a tile's fits an error, after which nothing is left.
TEST(CudaPipeline, PiecesShrinkToTheDevicesMemory) {
  const auto backend = make_backend_under_test("Ascending");
  const TableSampler sampler = every_kind_of_column(5, 6, 50, 1);
  const TableDecoder decoder = random_decoder({}, 1);
  const auto whole = backend->prepare_table_sampler(sampler), whole_decoder = backend->prepare_table_decoder(decoder);
  constexpr int64_t kRows = 5 * cuda::kTileRows - 1;
  const SampledTable rows = sampled(*whole, sampler, kRows), decoded = sampled(*whole_decoder, decoder.table, kRows);
  const size_t taken = simt::device_bytes(0);
  int shrunk = 0;
  for (const size_t memory : {size_t{6} << 20, size_t{1} << 20, size_t{1} << 10}) {
    simt::options().device_memory = taken + memory;
    try {
      const auto smaller = backend->prepare_table_sampler(sampler);
      EXPECT_LT(smaller->preferred_bytes(), whole->preferred_bytes());
      EXPECT_EQ(sampled(*smaller, sampler, kRows), rows) << memory << " bytes";
      ++shrunk;
    } catch (const Error& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find("out of memory"), std::string::npos) << text;
      EXPECT_EQ(text.find("kernels/cuda/device.h:"), 0u) << text;
    }
    try {
      EXPECT_EQ(sampled(*backend->prepare_table_decoder(decoder), decoder.table, kRows), decoded) << memory << " bytes";
      ++shrunk;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("out of memory"), std::string::npos) << error.what();
    }
    EXPECT_EQ(simt::device_bytes(0), taken) << "bytes left behind";
  }
  EXPECT_EQ(shrunk, 4) << "all but those with a kilobyte";
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

TEST(CudaPipeline, BoundedRowsInPiecesThatTheDeviceHasMemoryForAreTheSame) {
  const auto backend = make_backend_under_test("Random");
  const BoundedCase made = random_bounded({}, 2, 7, 1);
  const auto whole = backend->prepare_bounded_sampler(made.sampler());
  expect_same_rows(*cuda::prepare_cuda_bounded_sampler(made.sampler(), 0, kSmallestBuffer), *whole, made.table);
  constexpr int64_t kRows = 5 * cuda::kTileRows - 1;
  const SampledTable rows = sampled(*whole, made.table, kRows);
  const int runs = runs_in_less_memory(size_t{1} << 23, [&] {
    EXPECT_EQ(sampled(*backend->prepare_bounded_sampler(made.sampler()), made.table, kRows), rows);
  });
  EXPECT_GT(runs, 5);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

TEST(CudaPipeline, WithoutPinnedMemoryRowsGoToOrdinaryMemory) {
  const auto backend = make_backend_under_test("Ascending");
  const TableSampler sampler = every_kind_of_column(5, 6, 50, 1);
  const auto prepared = backend->prepare_table_sampler(sampler);
  simt::options().failing_call = simt::counts().calls + 2;  // cudaMallocHost, after the choice of the device
  const HostMemory memory = prepared->allocate(1000);
  EXPECT_EQ(simt::counts().calls, simt::options().failing_call);
  std::memset(memory.get(), 1, 1000);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

TEST(CudaGroup, NetworksOnDevicesOfTwoKindsAreRefused) {
  make_group_under_test("Ascending");
  simt::options().unlike_devices = true;
  const auto group = doppel_cuda_plugin.make({});
  EXPECT_EQ(group->description(), "cuda:0,1,2 (CPU emulation, another CPU emulation, another CPU emulation)");
  const TableSampler sampler = every_kind_of_column(5, 6, 50, 1);
  EXPECT_NO_THROW(group->prepare_table_sampler(sampler));
  EXPECT_THROW(group->prepare_network({}, Precision::kSingle, 16), UsageError);
  EXPECT_THROW(group->prepare_image_sampler({}), UsageError);
}

TEST(CudaPipeline, NoDeviceIsAnErrorWithCudasWords) {
  simt::options() = {};
  simt::options().devices = 0;
  EXPECT_EQ(doppel_cuda_plugin.devices(), 0);
  try {
    doppel_cuda_plugin.make({});
    FAIL() << "was made";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "no CUDA device: no CUDA-capable device is detected (cudaErrorNoDevice); take --backend cpu");
  }
  simt::options() = {};
  for (const int number : {1, -1}) EXPECT_THROW(doppel_cuda_plugin.make(std::vector{0, number}), Error);
}

}  // namespace
}  // namespace doppel
