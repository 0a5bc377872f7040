#include "kernels/cuda/pair_counts.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "kernels/common/pair_counts.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/grid.cuh"

namespace doppel::cuda {
namespace {

constexpr int64_t kMostHeldRows = int64_t{1} << 30;  // at a time
constexpr int64_t kMostCells = int64_t{1} << 22;     // of the pairs that are counted at a time

int64_t whole_vectors(int64_t size) {  // of 16 bytes, as kernels take them
  return (size + 3) / 4 * 4;
}

// Adds what pieces of rows counted; cells ascend.
PairCounts merge(const PairCounts& a, const PairCounts& b) {
  PairCounts merged;
  merged.reserve(std::max(a.size(), b.size()));
  for (auto i = a.begin(), j = b.begin(); i != a.end() || j != b.end();) {
    const bool in_a = i != a.end() && (j == b.end() || i->cell <= j->cell);
    const bool in_b = j != b.end() && (i == a.end() || j->cell <= i->cell);
    merged.push_back({in_a ? i->cell : j->cell, (in_a ? i->rows : 0) + (in_b ? j->rows : 0)});
    i += in_a, j += in_b;
  }
  return merged;
}

class PairCountsOnDevice : public PreparedPairCounts {
 public:
  PairCountsOnDevice(const CodedColumns& columns, int device)
      : columns_(columns), device_(select_device(device)), stream_(make_stream()) {
    check_coded_columns(columns);
  }
  ~PairCountsOnDevice() override { cudaSetDevice(device_); }  // whose memory it frees

  std::vector<PairCounts> count(std::span<const ColumnPair> pairs) const override {
    CUDA_CHECK(cudaSetDevice(device_));
    std::vector<PairCounts> counted(pairs.size());
    for_pieces_that_fit(columns_.rows, kMostHeldRows, [&](int64_t first, int64_t rows) {
      hold(first, rows);
      std::vector<PairCounts> of_piece = count_held(pairs);
      for (size_t p = 0; p < pairs.size(); ++p)
        counted[p] = counted[p].empty() ? std::move(of_piece[p]) : merge(counted[p], of_piece[p]);
    });
    return counted;
  }

 private:
  // Rows of all columns, which stay for the next pairs.
  void hold(int64_t first, int64_t rows) const {
    if (first == first_ && rows == rows_) return;
    rows_ = 0;
    codes_ = {};
    stride_ = whole_vectors(rows);
    codes_ = DeviceBuffer<int32_t>(columns_.codes.size() * static_cast<size_t>(stride_), stream_.get());
    for (size_t c = 0; c < columns_.codes.size(); ++c)
      CUDA_CHECK(cudaMemcpyAsync(codes_.data() + static_cast<int64_t>(c) * stride_, columns_.codes[c].data() + first,
                                 static_cast<size_t>(rows) * sizeof(int32_t), cudaMemcpyHostToDevice, stream_.get()));
    first_ = first;
    rows_ = rows;
  }
  const int32_t* codes_of(int32_t column) const { return codes_.data() + column * stride_; }

  std::vector<PairCounts> count_held(std::span<const ColumnPair> pairs) const {
    std::vector<PairCounts> counted(pairs.size());
    std::vector<size_t> batch;
    int64_t cells_of_batch = 0;
    const auto count_batch = [&] {
      if (!batch.empty()) count_all_cells(pairs, batch, cells_of_batch, counted);
      batch.clear();
      cells_of_batch = 0;
    };
    for (size_t p = 0; p < pairs.size(); ++p) {
      const int64_t cells = cells_of(columns_, pairs[p]);
      if (!is_dense(cells, rows_)) {
        counted[p] = count_runs(pairs[p], cells);
        continue;
      }
      if (cells_of_batch + cells > kMostCells || batch.size() == kMostBlocks) count_batch();
      batch.push_back(p);
      cells_of_batch += cells;
    }
    count_batch();
    return counted;
  }

  void count_all_cells(std::span<const ColumnPair> pairs, const std::vector<size_t>& batch, int64_t cells,
                       std::vector<PairCounts>& counted) const {
    std::vector<CodedPair> coded;
    int64_t first_cell = 0;
    for (const size_t p : batch) {
      const int64_t of_pair = cells_of(columns_, pairs[p]);
      coded.push_back({codes_of(pairs[p].first), codes_of(pairs[p].second), columns_.code_count[pairs[p].second],
                       static_cast<int32_t>(of_pair), static_cast<int32_t>(first_cell)});
      first_cell += of_pair;
    }
    const auto size = static_cast<size_t>(whole_vectors(cells));
    const DeviceBuffer<CodedPair> on_device = upload(coded, stream_.get());
    const DeviceBuffer<int32_t> counts(size, stream_.get()), selected(1, stream_.get());
    const DeviceBuffer<Occurrence> numbered(size, stream_.get()), occurring(size, stream_.get());
    CUDA_CHECK(cudaMemsetAsync(counts.data(), 0, size * sizeof(int32_t), stream_.get()));
    count_cells(on_device.data(), static_cast<int64_t>(coded.size()), rows_, counts.data(), stream_.get());
    number_cells(counts.data(), cells, numbered.data(), stream_.get());
    select_occurring(numbered.data(), cells, occurring.data(), selected.data(), stream_.get());
    const std::vector<Occurrence> found = download_first(occurring, selected);
    size_t pair = 0;
    for (const Occurrence& cell : found) {
      while (cell.number >= coded[pair].first_cell + coded[pair].cells) ++pair;
      counted[batch[pair]].push_back({cell.number - coded[pair].first_cell, cell.count});
    }
  }

  PairCounts count_runs(ColumnPair pair, int64_t cells) const {
    const auto size = static_cast<size_t>(rows_);
    DeviceBuffer<int64_t> keys(size, stream_.get()), other(size, stream_.get());
    const DeviceBuffer<int32_t> lengths(size, stream_.get()), runs(1, stream_.get());
    find_cells(codes_of(pair.first), codes_of(pair.second), columns_.code_count[pair.second], rows_, keys.data(),
               stream_.get());
    sort_ascending(keys, other, std::bit_width(static_cast<uint64_t>(cells - 1)), stream_.get());
    find_runs(keys, other.data(), lengths.data(), runs.data(), stream_.get());
    const std::vector<int64_t> distinct = download_first(other, runs);
    const std::vector<int32_t> rows = download_first(lengths, runs);
    PairCounts counted;
    counted.reserve(distinct.size());
    for (size_t i = 0; i < distinct.size(); ++i) counted.push_back({distinct[i], rows[i]});
    return counted;
  }

  // As many values as `count` [1] says. Waits for the stream.
  template <class T>
  std::vector<T> download_first(const DeviceBuffer<T>& values, const DeviceBuffer<int32_t>& count) const {
    const std::vector<int32_t> size = download(count, stream_.get());
    CUDA_CHECK(cudaStreamSynchronize(stream_.get()));
    std::vector<T> found(static_cast<size_t>(size[0]));
    if (!found.empty())
      CUDA_CHECK(cudaMemcpyAsync(found.data(), values.data(), found.size() * sizeof(T), cudaMemcpyDeviceToHost,
                                 stream_.get()));
    CUDA_CHECK(cudaStreamSynchronize(stream_.get()));
    return found;
  }

  CodedColumns columns_;
  int device_;
  Stream stream_;
  mutable DeviceBuffer<int32_t> codes_;  // [columns, stride_] of rows [first_, first_ + rows_)
  mutable int64_t first_ = 0, rows_ = 0, stride_ = 0;
};

}  // namespace

std::unique_ptr<PreparedPairCounts> prepare_cuda_pair_counts(const CodedColumns& columns, int device) {
  return std::make_unique<PairCountsOnDevice>(columns, device);
}

}  // namespace doppel::cuda
