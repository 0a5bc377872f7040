// The host's half of the CUDA table sampler: constants uploaded once, and a pipeline of two buffers.
#include "kernels/cuda/sample_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/cpu/sample_table.h"
#include "kernels/cuda/device.h"

namespace doppel::cuda {
namespace {

constexpr int kBlocksPerMultiprocessor = 16;
constexpr size_t kScratchBytes = size_t{16} << 20;  // at most: stays in the L2 cache of a large device

// Bytes to upload; each table begins at a multiple of 16.
class Blob {
 public:
  template <class T>
  size_t put(const std::vector<T>& values) {
    const size_t offset = bytes_.size();
    bytes_.resize(offset + (values.size() * sizeof(T) + 15) / 16 * 16);
    if (!values.empty()) std::memcpy(bytes_.data() + offset, values.data(), values.size() * sizeof(T));
    return offset;
  }
  template <class T>
  uint32_t offset_of(const std::vector<T>& values) {  // whose range `make_constants` checks
    return static_cast<uint32_t>(put(values));
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// ---- columns

template <class Value>
std::vector<Value> values_of(const std::vector<StateValue<Value>>& states) {
  std::vector<Value> values;
  for (const StateValue<Value>& state : states) values.push_back(state.value);
  return values;
}

SampleColumn make_column(Blob& blob, const PreparedColumn& from) {
  SampleColumn to{};
  to.storage = from.storage;
  to.transform = from.transform;
  to.has_missing = from.has_missing;
  to.emission = from.emission;
  to.missing_threshold = from.missing_threshold;
  to.mean = from.mean;
  to.deviation = from.deviation;
  to.minimum = from.minimum;
  to.maximum = from.maximum;
  if (from.emission >= 0) {
    to.state_role = blob.offset_of(from.state_role);
    to.state_value = bytes_per_value(from.storage) == 8 ? blob.offset_of(values_of(from.states64))
                                                        : blob.offset_of(values_of(from.states32));
  }
  if (from.has_latent && from.transform == Transform::kSegments) {
    to.bucket_scale = from.bucket_scale;
    to.bucket_offset = from.bucket_offset;
    to.search_steps = std::bit_width(static_cast<uint32_t>(from.most));
    to.first = blob.offset_of(from.first);
    to.lower = blob.offset_of(from.lower);
    const bool wide = bytes_per_value(from.storage) == 8;
    to.segments = wide ? blob.offset_of(from.segments64) : blob.offset_of(from.segments32);
  }
  return to;
}

// ---- groups

// The columns in their order, and for each group of them the latents that they need: at most eight, a column's two in
// one group. A latent that columns of several groups share is computed in each.
struct GroupPlan {
  int32_t first_column = 0, columns = 0;
  std::vector<int32_t> latents;

  size_t missing(int32_t first, int32_t second) const {  // how many of the two would have to be added
    const auto absent = [this](int32_t latent) {
      return latent >= 0 && std::find(latents.begin(), latents.end(), latent) == latents.end();
    };
    return static_cast<size_t>(absent(first)) + static_cast<size_t>(second != first && absent(second));
  }
  int8_t score_of(int32_t latent) {  // -1: none
    if (latent < 0) return -1;
    auto found = std::find(latents.begin(), latents.end(), latent);
    if (found == latents.end()) found = latents.insert(latents.end(), latent);
    return static_cast<int8_t>(found - latents.begin());
  }
};

std::vector<GroupPlan> plan_groups(const TableSampler& sampler, std::vector<SampleColumn>& columns) {
  std::vector<GroupPlan> groups;
  for (size_t c = 0; c < columns.size(); ++c) {
    const ColumnSampler& column = sampler.columns[c];
    const int32_t latent = column.has_latent() ? column.latent : -1;
    const auto full = [&](const GroupPlan& group) {
      return group.latents.size() + group.missing(latent, column.missing_latent) > kGroupScores;
    };
    if (groups.empty() || full(groups.back())) groups.push_back({static_cast<int32_t>(c), 0, {}});
    GroupPlan& group = groups.back();
    ++group.columns;
    columns[c].score = group.score_of(latent);
    columns[c].missing_score = group.score_of(column.missing_latent);
  }
  return groups;
}

// The own-noise normals of a group's latents, by Philox block.
std::vector<NoiseBlock> plan_noise(const GroupPlan& group, const std::vector<int32_t>& draws) {
  std::vector<NoiseBlock> blocks;
  for (size_t score = 0; score < group.latents.size(); ++score) {
    const int32_t number = draws[group.latents[score]];
    if (number < 0) continue;
    const auto block = static_cast<uint32_t>(number / 4);
    auto found = std::find_if(blocks.begin(), blocks.end(), [&](const NoiseBlock& b) { return b.block == block; });
    if (found == blocks.end()) found = blocks.insert(blocks.end(), NoiseBlock{block, {-1, -1, -1, -1}});
    found->score[number % 4] = static_cast<int8_t>(score);
  }
  return blocks;
}

// ---- mixtures

// Where in the upload a mixture's tables lie.
struct MixtureTables {
  size_t member = 0, member_pairs = 0, member_nodes = 0, entries = 0, variable = 0;
  SampleMixture numbers{};  // but for the pointers
};

MixtureTables put_mixture(Blob& blob, const PreparedTable& table) {
  const PreparedMixture& mixture = *table.mixture;
  MixtureTables to;
  to.numbers.first_word_block = static_cast<uint32_t>(table.blocks);
  to.numbers.word_blocks = static_cast<uint32_t>(mixture.word_blocks);
  to.numbers.member_entries = static_cast<uint32_t>(mixture.member.size());
  to.numbers.variables = mixture.variables;
  to.numbers.padded_variables = mixture.padded_variables;
  to.member = blob.put(mixture.member);
  to.member_pairs = blob.put(mixture.member_pairs);
  to.member_nodes = blob.put(mixture.member_nodes);
  to.entries = blob.put(mixture.entries);
  std::vector<SampleVariable> variables;
  for (size_t v = 0; v < static_cast<size_t>(mixture.variables); ++v) {
    std::vector<std::array<int32_t, 4>> nodes;
    for (const PreparedMixture::Node& node : mixture.nodes_above[v])
      nodes.push_back({static_cast<int32_t>(node.first), static_cast<int32_t>(node.entries), node.above, 0});
    variables.push_back({blob.offset_of(mixture.above[v]), blob.offset_of(nodes), blob.offset_of(mixture.pairs[v]),
                         !mixture.pairs[v].empty()});
  }
  to.variable = blob.put(variables);
  return to;
}

// ---- weights

// Weights of a group's latents, [rows, kGroupScores], appended row by row.
template <class Function>
void append_weights(const GroupPlan& plan, std::vector<float>& to, Function weight_of) {
  to.resize(to.size() + kGroupScores);
  for (size_t score = 0; score < plan.latents.size(); ++score)
    to[to.size() - kGroupScores + score] = effective_weight(weight_of(static_cast<size_t>(plan.latents[score])));
}

// The groups' factors one after the other, or for each member of a mixture means, factor and residuals of each group.
std::vector<float> make_weights(const TableSampler& sampler, const std::vector<GroupPlan>& groups) {
  const auto latents = static_cast<size_t>(sampler.latents), components = static_cast<size_t>(sampler.components);
  const bool is_mixture = sampler.is_mixture();
  std::vector<float> weights;
  weights.reserve(static_cast<size_t>(sampler.members) * groups.size() * (components + (is_mixture ? 2 : 0)) *
                  kGroupScores);
  for (size_t member = 0; member < static_cast<size_t>(sampler.members); ++member) {
    const size_t first = member * latents;
    for (const GroupPlan& plan : groups) {
      if (is_mixture) append_weights(plan, weights, [&](size_t latent) { return sampler.mean[first + latent]; });
      for (size_t k = 0; k < components; ++k)
        append_weights(plan, weights, [&](size_t latent) { return sampler.factor[(first + latent) * components + k]; });
      if (is_mixture) append_weights(plan, weights, [&](size_t latent) { return sampler.residual[first + latent]; });
    }
  }
  return weights;
}

SampleGroup make_group(const GroupPlan& plan, const TableSampler& sampler, const std::vector<int32_t>& draws) {
  SampleGroup group{plan.first_column, plan.columns, 0, 0, {}};
  for (size_t score = 0; score < plan.latents.size(); ++score) {
    const int32_t latent = plan.latents[score];
    if (draws[latent] >= 0)
      group.residual[score] = sampler.is_mixture() ? 1 : effective_weight(sampler.residual[latent]);
  }
  return group;
}

// Everything the kernel reads, and where in the upload it lies.
struct Constants {
  Blob blob;
  int32_t groups = 0;
  size_t factor = 0, group = 0, noise = 0, column = 0;
  uint32_t row_bytes = 0;
  int32_t bitmaps = 0;
  MixtureTables mixture;
};

Constants make_constants(const TableSampler& sampler) {
  const PreparedTable table = prepare_table(sampler);
  Constants constants;
  std::vector<SampleColumn> columns;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    columns.push_back(make_column(constants.blob, table.columns[c]));
    columns.back().bytes_before = constants.row_bytes;
    columns.back().bitmaps_before = constants.bitmaps;
    constants.row_bytes += static_cast<uint32_t>(bytes_per_value(table.columns[c].storage));
    constants.bitmaps += table.columns[c].has_missing;
  }
  const std::vector<int32_t> draws = residual_draws(sampler);
  const std::vector<GroupPlan> plans = plan_groups(sampler, columns);
  std::vector<SampleGroup> groups;
  std::vector<NoiseBlock> noise;
  for (const GroupPlan& plan : plans) {
    const std::vector<NoiseBlock> blocks = plan_noise(plan, draws);
    groups.push_back(make_group(plan, sampler, draws));
    groups.back().first_noise = static_cast<int32_t>(noise.size());
    groups.back().noises = static_cast<int32_t>(blocks.size());
    noise.insert(noise.end(), blocks.begin(), blocks.end());
  }
  constants.groups = static_cast<int32_t>(groups.size());
  constants.factor = constants.blob.put(make_weights(sampler, plans));
  constants.group = constants.blob.put(groups);
  constants.noise = constants.blob.put(noise);
  constants.column = constants.blob.put(columns);
  if (sampler.is_mixture()) {
    constants.mixture = put_mixture(constants.blob, table);
    constants.mixture.numbers.member_weights = int64_t{constants.groups} * (sampler.components + 2) * kGroupScores / 4;
  }
  if (constants.blob.bytes().size() >> 32) throw Error("table sampler: tables of more than 4 GiB");
  return constants;
}

// ---- the pipeline

// A batch goes through in pieces, two at a time: while one is copied the next is computed. Columns whose memory is pinned
// (`allocate`) are copied to where they belong; others to a staging buffer, from which the host moves them: at 5 GB/s a
// thread (measured beside an H200), a tenth of what the bus takes.
class CudaTableSampler : public PreparedTableSampler {
 public:
  CudaTableSampler(const TableSampler& sampler, int device, size_t buffer_bytes);
  ~CudaTableSampler() override;
  void sample(uint64_t seed, uint64_t first_row, int64_t rows, std::span<const ColumnBuffer> columns) override;
  HostMemory allocate(size_t bytes) const override;
  size_t preferred_bytes() const override { return 2 * buffer_bytes_; }  // so that copies overlap kernels

 private:
  struct Column {
    Storage storage;
    bool has_missing;
    bool can_be_missing() const { return has_missing; }
  };
  struct Piece {  // one of the two buffers
    DeviceBuffer<std::byte> values;
    PinnedBuffer<std::byte> staging;  // made when it is needed
    Event computed = make_event(), copied = make_event();
    int64_t first = 0, rows = 0;  // of the batch
  };
  void start(Piece& piece, uint64_t seed, uint64_t first_row, std::span<const ColumnBuffer> columns);
  void finish(Piece& piece, std::span<const ColumnBuffer> columns);
  template <class Function>
  void for_parts(const Piece& piece, std::span<const ColumnBuffer> columns, Function function) const;
  size_t padded_bytes(int64_t rows) const;  // of the output of so many rows, rounded up to a tile

  int device_;
  size_t buffer_bytes_;
  std::vector<Column> columns_;
  std::vector<bool> is_pinned_;  // [columns] of the batch at hand
  SampleArguments arguments_{};
  int32_t bitmaps_ = 0;
  int blocks_ = 0;
  int64_t piece_rows_ = 0;
  cuda::Stream compute_, copy_;
  DeviceBuffer<std::byte> constants_;
  DeviceBuffer<float> scratch_;
  std::array<Piece, 2> pieces_;
};

const void* select_device(int device) {  // before the members that allocate on it
  CUDA_CHECK(cudaSetDevice(device));
  return nullptr;
}

CudaTableSampler::CudaTableSampler(const TableSampler& sampler, int device, size_t buffer_bytes)
    : device_((select_device(device), device)),
      buffer_bytes_(buffer_bytes),
      compute_(make_stream()),
      copy_(make_stream()) {
  for (const ColumnSampler& column : sampler.columns) columns_.push_back({column.storage, column.can_be_missing()});
  const Constants constants = make_constants(sampler);
  const std::vector<std::byte>& bytes = constants.blob.bytes();
  constants_ = DeviceBuffer<std::byte>(bytes.size(), compute_.get());
  if (!bytes.empty()) {
    CUDA_CHECK(cudaMemcpyAsync(constants_.data(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice, compute_.get()));
  }
  const auto at = [this](size_t offset) { return constants_.data() + offset; };
  arguments_.components = sampler.components;
  arguments_.kept = kept_normals(sampler.components);
  arguments_.groups = constants.groups;
  arguments_.factor = reinterpret_cast<const float*>(at(constants.factor));
  arguments_.group = reinterpret_cast<const SampleGroup*>(at(constants.group));
  arguments_.noise = reinterpret_cast<const NoiseBlock*>(at(constants.noise));
  arguments_.column = reinterpret_cast<const SampleColumn*>(at(constants.column));
  arguments_.tables = at(0);
  arguments_.row_bytes = constants.row_bytes;
  bitmaps_ = constants.bitmaps;
  if (sampler.is_mixture()) {
    arguments_.is_mixture = true;
    arguments_.mixture = constants.mixture.numbers;
    arguments_.mixture.member = reinterpret_cast<const uint2*>(at(constants.mixture.member));
    if (sampler.members > kMostNarrowOutcomes)
      arguments_.mixture.member_pairs = reinterpret_cast<const int2*>(at(constants.mixture.member_pairs));
    arguments_.mixture.member_nodes = reinterpret_cast<const uint32_t*>(at(constants.mixture.member_nodes));
    arguments_.mixture.entries = reinterpret_cast<const uint2*>(at(constants.mixture.entries));
    arguments_.mixture.variable = reinterpret_cast<const SampleVariable*>(at(constants.mixture.variable));
  }

  cudaDeviceProp properties;
  CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  blocks_ = properties.multiProcessorCount * kBlocksPerMultiprocessor;
  const int32_t variables = arguments_.mixture.variables;
  if (sampler.is_mixture() ? !mixture_fits_shared(sampler.components, variables)
                           : !fits_shared(sampler.components, constants.groups)) {
    const size_t block_bytes = scratch_bytes(sampler.components, variables);
    blocks_ = static_cast<int>(std::clamp<size_t>(kScratchBytes / block_bytes, 1, static_cast<size_t>(blocks_)));
    scratch_ = DeviceBuffer<float>(static_cast<size_t>(blocks_) * block_bytes / sizeof(float), compute_.get());
    arguments_.scratch = scratch_.data();
  }
  const size_t tile_bytes = std::max<size_t>(padded_bytes(kTileRows), 1);
  piece_rows_ = static_cast<int64_t>(std::max<size_t>(buffer_bytes / tile_bytes, 1)) * kTileRows;
  for (Piece& piece : pieces_) piece.values = DeviceBuffer<std::byte>(padded_bytes(piece_rows_), compute_.get());
  CUDA_CHECK(cudaStreamSynchronize(compute_.get()));  // `bytes` goes out of scope
}

CudaTableSampler::~CudaTableSampler() {  // an exception may have left copies under way
  cudaSetDevice(device_);
  cudaStreamSynchronize(copy_.get());
  cudaStreamSynchronize(compute_.get());
}

size_t CudaTableSampler::padded_bytes(int64_t rows) const {
  const auto tiles = static_cast<size_t>((rows + kTileRows - 1) / kTileRows);
  return tiles * kTileRows * arguments_.row_bytes + tiles * (kTileRows / 8) * static_cast<size_t>(bitmaps_);
}

HostMemory CudaTableSampler::allocate(size_t bytes) const {
  CUDA_CHECK(cudaSetDevice(device_));
  return HostMemory(make_pinned<std::byte>(std::max<size_t>(bytes, 1)).release(),
                    [](std::byte* memory) { cudaFreeHost(memory); });
}

void CudaTableSampler::sample(uint64_t seed, uint64_t first_row, int64_t rows, std::span<const ColumnBuffer> columns) {
  check_buffers(columns_, columns, rows);
  if (rows <= 0 || columns.empty()) return;
  CUDA_CHECK(cudaSetDevice(device_));
  is_pinned_.clear();
  for (const ColumnBuffer& column : columns)
    is_pinned_.push_back(is_pinned(column.values) && (column.validity == nullptr || is_pinned(column.validity)));
  Piece* waiting = nullptr;
  size_t turn = 0;
  for (int64_t first = 0; first < rows; first += piece_rows_, ++turn) {
    Piece& piece = pieces_[turn % 2];
    piece.first = first;
    piece.rows = std::min(piece_rows_, rows - first);
    start(piece, seed, first_row, columns);
    if (waiting) finish(*waiting, columns);
    waiting = &piece;
  }
  finish(*waiting, columns);
}

// Calls function(offset in the piece, bytes, where in the batch, column) for values and for validity.
template <class Function>
void CudaTableSampler::for_parts(const Piece& piece, std::span<const ColumnBuffer> columns, Function function) const {
  const auto padded_rows = static_cast<size_t>((piece.rows + kTileRows - 1) / kTileRows * kTileRows);
  const auto rows = static_cast<size_t>(piece.rows), first = static_cast<size_t>(piece.first);
  size_t values = 0, bitmap = padded_rows * arguments_.row_bytes;
  for (size_t c = 0; c < columns.size(); ++c) {
    const size_t size = bytes_per_value(columns_[c].storage);
    function(values, rows * size, static_cast<std::byte*>(columns[c].values) + first * size, c);
    values += padded_rows * size;
    if (!columns_[c].has_missing) continue;
    function(bitmap, (rows + 7) / 8, reinterpret_cast<std::byte*>(columns[c].validity) + first / 8, c);
    bitmap += padded_rows / 8;
  }
}

// The piece's last copy was waited for by `finish`, so both its buffers are free.
void CudaTableSampler::start(Piece& piece, uint64_t seed, uint64_t first_row, std::span<const ColumnBuffer> columns) {
  SampleArguments arguments = arguments_;
  arguments.seed = seed;
  arguments.first_row = first_row + static_cast<uint64_t>(piece.first);
  arguments.rows = piece.rows;
  arguments.tiles = (piece.rows + kTileRows - 1) / kTileRows;
  arguments.out = piece.values.data();
  sample_table(arguments, blocks_, compute_.get());
  CUDA_CHECK(cudaEventRecord(piece.computed.get(), compute_.get()));
  CUDA_CHECK(cudaStreamWaitEvent(copy_.get(), piece.computed.get(), 0));
  const auto copy = [&](std::byte* to, size_t offset, size_t bytes) {
    CUDA_CHECK(cudaMemcpyAsync(to, piece.values.data() + offset, bytes, cudaMemcpyDeviceToHost, copy_.get()));
  };
  if (std::count(is_pinned_.begin(), is_pinned_.end(), true) == 0) {  // one copy, whatever the number of columns
    if (!piece.staging) piece.staging = make_pinned<std::byte>(padded_bytes(piece_rows_));
    copy(piece.staging.get(), 0, padded_bytes(piece.rows));
  } else {
    for_parts(piece, columns, [&](size_t offset, size_t bytes, std::byte* to, size_t column) {
      if (!is_pinned_[column] && !piece.staging) piece.staging = make_pinned<std::byte>(padded_bytes(piece_rows_));
      copy(is_pinned_[column] ? to : piece.staging.get() + offset, offset, bytes);
    });
  }
  CUDA_CHECK(cudaEventRecord(piece.copied.get(), copy_.get()));
}

void CudaTableSampler::finish(Piece& piece, std::span<const ColumnBuffer> columns) {
  const auto rows = static_cast<size_t>(piece.rows), first = static_cast<size_t>(piece.first);
  for (size_t c = 0; c < columns.size(); ++c) {
    if (columns_[c].has_missing || columns[c].validity == nullptr) continue;
    std::memset(columns[c].validity + first / 8, 0xff, rows / 8);
    if (rows % 8) columns[c].validity[(first + rows) / 8] = static_cast<uint8_t>((1u << rows % 8) - 1);
  }
  CUDA_CHECK(cudaEventSynchronize(piece.copied.get()));
  for_parts(piece, columns, [&](size_t offset, size_t bytes, std::byte* to, size_t column) {
    if (!is_pinned_[column]) std::memcpy(to, piece.staging.get() + offset, bytes);
  });
}

}  // namespace

std::unique_ptr<PreparedTableSampler> prepare_cuda_table_sampler(const TableSampler& sampler, int device,
                                                                 size_t buffer_bytes) {
  return std::make_unique<CudaTableSampler>(sampler, device, buffer_bytes);
}

}  // namespace doppel::cuda
